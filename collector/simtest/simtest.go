// Package simtest runs the simulator, a real SQLCipher writer with a real client's
// habits, for the tests of other packages. The simulator is a module of its own that
// needs a C compiler; it is built once for each test program and driven by its command
// line, never imported.
package simtest

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the simulator once, where make simulator puts it; test programs that
// do so at the same time replace each other's whole. TIDEMARK_SIMULATOR names one that
// is built already.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TIDEMARK_SIMULATOR"); path != "" {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	out := filepath.Join(root, "bin", "simulator")
	temp := fmt.Sprintf("%s.%d", out, os.Getpid())
	defer os.Remove(temp)
	cmd := exec.Command("go", "build", "-C", filepath.Join(root, "simulator"), "-o", temp, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the simulator: %w\n%s", err, msg)
	}
	return out, os.Rename(temp, out)
})

// Binary returns the path of the simulator. Where there is no C compiler the test is
// skipped, and says so.
func Binary(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CC") == "" && os.Getenv("TIDEMARK_SIMULATOR") == "" {
		t.Skip("the simulator is real SQLCipher and needs a C compiler")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Generation is a generation of the client, as the simulator names it.
type Generation string

// The generations.
const (
	V4 Generation = "v4" // 4.x on every system
	W3 Generation = "w3" // 3.x on Windows
	M3 Generation = "m3" // 3.x on macOS
)

// Generations are all of them, for tests that hold for each.
var Generations = []Generation{V4, W3, M3}

// World is a folder with one simulated account in it.
type World struct {
	Dir        string // everything is below
	Root       string // xwechat_files, WeChat Files, or what holds com.tencent.xinWeChat
	Account    string // the account folder
	Owner      string // its username
	Keys       string // key file
	Oracle     string // oracle file
	Generation Generation

	bin string
	t   testing.TB
}

// New makes an empty world of 4.x; Make or Chat lays out the account.
func New(t testing.TB) *World { return NewOf(t, V4) }

// NewOf makes an empty world of a generation.
func NewOf(t testing.TB, g Generation) *World {
	t.Helper()
	w := &World{Owner: "wxid_tide", Generation: g, bin: Binary(t), t: t}
	w.Use(t.TempDir())
	return w
}

// As is a second world in the same folder, with the same owner, keys and oracle: the
// account after the client was replaced by one of another generation.
func (w *World) As(g Generation) *World {
	next := *w
	next.Generation = g
	next.Use(w.Dir)
	return &next
}

// Use makes dir the world's folder: one that an earlier World laid out.
func (w *World) Use(dir string) {
	w.Dir = dir
	switch w.Generation {
	case W3:
		w.Root = filepath.Join(dir, "WeChat Files")
		w.Account = filepath.Join(w.Root, w.Owner)
	case M3:
		w.Root = dir
		hash := md5.Sum([]byte(w.Owner))
		w.Account = filepath.Join(w.Root, "com.tencent.xinWeChat", "2.0b4.0.9", hex.EncodeToString(hash[:]))
	default:
		w.Root = filepath.Join(dir, "xwechat_files")
		w.Account = filepath.Join(w.Root, w.Owner+"_1a2b")
	}
	w.Keys, w.Oracle = filepath.Join(dir, "keys.json"), filepath.Join(dir, "oracle.ndjson")
}

// DB returns the path of a database of the account, which the oracle names relative
// to db_storage (4.x), Msg (3.x on Windows) or the account folder (3.x on macOS).
func (w *World) DB(file string) string {
	inner := map[Generation]string{V4: "db_storage", W3: "Msg"}[w.Generation]
	return filepath.Join(w.Account, inner, filepath.FromSlash(file))
}

// First is a message database that every account has.
func (w *World) First() string {
	return map[Generation]string{V4: "message/message_0.db", W3: "Multi/MSG0.db", M3: "Message/msg_0.db"}[w.Generation]
}

// Key returns the account's key in hex.
func (w *World) Key() string {
	w.t.Helper()
	data, err := os.ReadFile(w.Keys)
	if err != nil {
		w.t.Fatal(err)
	}
	var k struct {
		Accounts []struct{ Account, Key string }
	}
	if err := json.Unmarshal(data, &k); err != nil || len(k.Accounts) == 0 {
		w.t.Fatalf("key file: %v", err)
	}
	if w.Generation == V4 { // after an upgrade the older client's key comes first
		return k.Accounts[len(k.Accounts)-1].Key
	}
	return k.Accounts[0].Key
}

func (w *World) place() []string {
	return []string{"--generation", string(w.Generation), "--root", w.Root, "--keys-out", w.Keys, "--oracle", w.Oracle}
}

// Make fills the account with messages.
func (w *World) Make(messages, conversations int, args ...string) {
	w.t.Helper()
	w.Run(append(append([]string{"make", "--messages", fmt.Sprint(messages), "--conversations", fmt.Sprint(conversations)}, w.place()...), args...)...)
}

// Upgrade is the account after its owner upgraded to 4.x and had the messages of w
// imported, under the same server ids. The old account stays where it is.
func (w *World) Upgrade(args ...string) *World {
	w.t.Helper()
	next := w.As(V4)
	next.Run(append(append([]string{"migrate"}, next.place()...), args...)...)
	return next
}

// Run runs the simulator to its end and returns what it printed; failing fails the
// test.
func (w *World) Run(args ...string) string {
	w.t.Helper()
	out, err := exec.Command(w.bin, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("simulator %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// Chat starts a chatting client and returns at once.
func (w *World) Chat(args ...string) *Chat {
	w.t.Helper()
	cmd := exec.Command(w.bin, append(append([]string{"chat"}, w.place()...), args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	c := &Chat{cmd: cmd, said: &said, done: make(chan struct{}), t: w.t}
	go func() { c.err = cmd.Wait(); close(c.done) }()
	w.t.Cleanup(func() { cmd.Process.Kill(); <-c.done })
	return c
}

// Ready waits until the client has laid out the account and written its key.
func (w *World) Ready(ctx context.Context) {
	w.t.Helper()
	for {
		if _, err := os.Stat(w.DB(w.First())); err == nil {
			if info, err := os.Stat(w.Keys); err == nil && info.Size() > 0 {
				return
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			w.t.Fatal("the simulator did not lay out its account")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Faults is what Compare found.
type Faults struct {
	OK     bool
	Report string
}

// Cell says of how many messages something was judged, and how many of them have a fault.
type Cell struct{ Judged, Faulty int }

// Matrix holds an archive's records against the oracle, as Compare, and counts by kind of
// message and what became of it.
func (w *World) Matrix(records string, args ...string) map[string]map[string]Cell {
	w.t.Helper()
	cmd := exec.Command(w.bin, append([]string{"compare", "--json", "--oracle", w.Oracle, "--records", records}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	var report struct{ Matrix map[string]map[string]Cell }
	if err := json.Unmarshal(out, &report); err != nil || len(report.Matrix) == 0 {
		w.t.Fatalf("compare printed no matrix: %v", err)
	}
	return report.Matrix
}

// Compare holds an archive's records against the oracle.
func (w *World) Compare(records string, args ...string) Faults {
	w.t.Helper()
	cmd := exec.Command(w.bin, append([]string{"compare", "--oracle", w.Oracle, "--records", records}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return Faults{err == nil, string(out)}
}

// Chat is a running client.
type Chat struct {
	cmd  *exec.Cmd
	said *strings.Builder
	done chan struct{}
	err  error
	t    testing.TB
}

// Wait waits for the client to end by itself; a failure fails the test.
func (c *Chat) Wait() {
	c.t.Helper()
	<-c.done
	if c.err != nil {
		c.t.Fatalf("simulator chat: %v\n%s", c.err, c.said)
	}
}

// Done is closed when the client has ended.
func (c *Chat) Done() <-chan struct{} { return c.done }

// Stop ends the client in good order, as quitting does.
func (c *Chat) Stop() {
	c.t.Helper()
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.Wait()
}

// Kill ends the client at once, with nothing tidied up.
func (c *Chat) Kill() {
	c.cmd.Process.Kill()
	<-c.done
}
