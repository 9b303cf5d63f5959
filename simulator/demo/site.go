package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tidemark/simulator/account"
)

// owner is the demo's account. The name is no real one, and the only one in scope.
const owner = "wxid_tidemark_demo"

// startWithin is how long a program may take to be ready.
const startWithin = time.Minute

// longestTemp leaves room below it for the path of the agent's socket: a system allows
// as few as 103 bytes, of which /tidemark-demo-xxxx/state/agent.sock are 36.
const longestTemp = 67

// site is the folder and the programs in it.
type site struct {
	dir       string
	env       []string
	agentBin  string
	archBin   string
	simulator string

	client, agent, archive *process
	processes              []*process // all that were started, for killAll
}

// newSite makes the folder. Its name is short, so that commands with it fit on a line.
func newSite(o Options) (*site, error) {
	s := &site{
		agentBin: filepath.Join(o.Bin, "tidemark"), archBin: filepath.Join(o.Bin, "tidemark-archive"), simulator: o.Simulator,
	}
	for _, program := range []string{s.agentBin, s.archBin} {
		if info, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("find programs: %w (make build makes them; --bin names their folder)", err)
		} else if info.IsDir() {
			return nil, fmt.Errorf("find programs: %s is a folder", program)
		}
	}
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if len(temp) > longestTemp {
		temp = "/tmp"
	}
	for {
		s.dir = filepath.Join(temp, "tidemark-demo-"+strings.ToLower(rand.Text()[:4]))
		if err = os.Mkdir(s.dir, 0o700); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	for _, name := range []string{"home", "tmp"} {
		if err == nil {
			err = os.Mkdir(s.path(name), 0o700)
		}
	}
	if err != nil {
		os.RemoveAll(s.dir)
		return nil, fmt.Errorf("make folder: %w", err)
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "TIDEMARK_") && name != "HOME" && name != "TMPDIR" {
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env, "HOME="+s.path("home"), "TMPDIR="+s.path("tmp"),
		"TIDEMARK_CONFIG="+s.config(), "TIDEMARK_ARCHIVE_DIR="+s.archiveDir())
	return s, nil
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }
func (s *site) archiveDir() string      { return s.path("archive") }
func (s *site) config() string          { return s.path("tidemark.yaml") }
func (s *site) keys() string            { return s.path("keys.json") }
func (s *site) oracle() string          { return s.path("oracle.ndjson") }

func (s *site) place() account.Place {
	return account.Place{Root: s.path("xwechat_files"), Name: owner, Suffix: "1a2b"}
}

// start makes the archive, the device and the account, and starts the three programs:
// the archive, which must answer before a device can enrol, the client, and, once the
// client has said something, the agent, until ready is content with it.
func (s *site) start(ctx context.Context, o Options, note func(string), ready func(agentStatus) bool) (err error) {
	note("making an archive")
	key, err := s.output(ctx, s.archBin, "init", "--name", "demo")
	if err != nil {
		return err
	}
	addrFile := s.path("addr")
	if s.archive, err = s.spawn(s.archBin, "serve", "--listen", "127.0.0.1:0", "--addr-file", addrFile); err != nil {
		return err
	}
	if err := s.await(ctx, s.archive, func() bool { return size(addrFile) > 0 }); err != nil {
		return err
	}
	addr, err := os.ReadFile(addrFile)
	if err != nil {
		return fmt.Errorf("read the archive's address: %w", err)
	}
	url := "http://" + strings.TrimSpace(string(addr))

	note("enrolling this device")
	p := s.place()
	if err := s.configure(url, key); err != nil {
		return err
	}
	if err := s.refusePolicy(ctx); err != nil {
		return err
	}
	token, err := s.output(ctx, s.archBin, "token")
	if err == nil {
		err = writeFile(s.path("token"), token+"\n")
	}
	if err == nil {
		_, err = s.output(ctx, s.agentBin, "enroll", "--url", url, "--key", key, "--token-file", s.path("token"))
	}
	if err != nil {
		return err
	}

	note("starting the client, which lays out its account and chats")
	if err := writeFile(s.oracle(), ""); err != nil { // so that it can be followed from the start
		return err
	}
	s.client, err = s.spawn(s.simulator, "chat", "--root", p.Root, "--account", p.Name, "--suffix", p.Suffix,
		"--keys-out", s.keys(), "--oracle", s.oracle(), "--rate", fmt.Sprint(o.Rate), "--count", fmt.Sprint(o.Count),
		"--kinds", "all", "--recall", "0.05", "--recall-after", o.RecallAfter.String())
	if err != nil {
		return err
	}
	if err := s.await(ctx, s.client, func() bool { return size(s.oracle()) > 0 }); err != nil {
		return err
	}
	note("starting the agent")
	if s.agent, err = s.spawn(s.agentBin, "run"); err != nil {
		return err
	}
	return s.await(ctx, s.agent, func() bool { return ready(s.status(ctx)) })
}

// await waits until ready, or for whatever makes waiting pointless.
func (s *site) await(ctx context.Context, p *process, ready func() bool) error {
	deadline := time.Now().Add(startWithin)
	for !ready() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			if p.err == nil && ready() { // a client that had little to say
				return nil
			}
			return p.died()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start %s: it is not ready after %v%s", p.name, startWithin, p.log)
		}
	}
	return nil
}

// configure writes the agent's configuration. JSON is YAML, and quotes any path.
func (s *site) configure(url, key string) error {
	type object map[string]any
	b, err := json.MarshalIndent(object{
		"archive":   object{"url": url, "key": key},
		"state_dir": s.path("state"),
		"sources":   []string{s.place().Root},
		"capture":   object{"accounts": object{"include": []string{owner}}},
		"keys":      []object{{"source": "file", "path": s.keys()}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return writeFile(s.config(), string(b)+"\n")
}

// refusePolicy ends a demo on a machine whose administrator has set something: that
// would stand above the demo's own configuration.
func (s *site) refusePolicy(ctx context.Context) error {
	out, err := s.output(ctx, s.agentBin, "config", "--json")
	if err != nil {
		return err
	}
	var config struct {
		Settings []struct{ Key, Origin, Where string }
	}
	if err := json.Unmarshal([]byte(out), &config); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	for _, v := range config.Settings {
		if v.Origin == "policy" {
			return fmt.Errorf("start agent: this machine's managed policy sets %s (%s), so the demo would not be on its own here", v.Key, v.Where)
		}
	}
	return nil
}

// size is a file's size, 0 when it cannot be told.
func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// agentStatus is what the demo shows of "tidemark status --json".
type agentStatus struct {
	Overall string
	Running bool
	Capture *struct {
		Accounts []struct {
			Account, State string
			Messages       int
			LastRead       time.Time `json:"last_read"`
		}
	}
	Delivery *struct{ State string }
	Spool    *struct {
		Bytes int64
		Lanes map[string]struct{ Records int }
	}
}

// status asks the agent; one that does not answer has the zero status. The exit code
// says what "overall" says.
func (s *site) status(ctx context.Context) (st agentStatus) {
	out, _ := s.output(ctx, s.agentBin, "status", "--json")
	if json.Unmarshal([]byte(out), &st) != nil {
		return agentStatus{}
	}
	return st
}

// rowText is what the client's own database has in place of a message now, read with
// SQLCipher by a process that leaves the client's files as they are.
func (s *site) rowText(ctx context.Context, k key) (string, error) {
	b, err := os.ReadFile(s.keys())
	var keys struct{ Accounts []struct{ Key string } }
	if err == nil {
		err = json.Unmarshal(b, &keys)
	}
	if err != nil || len(keys.Accounts) == 0 {
		return "", errors.Join(errors.New("read keys file"), err)
	}
	db := s.place().Path(k.file)
	out, err := s.output(ctx, s.simulator, "exec", "--no-close-checkpoint", "--db", db, "--key", keys.Accounts[0].Key,
		"--sql", fmt.Sprintf(`SELECT CAST(message_content AS BLOB) FROM "%s" WHERE local_id = %s`, k.table, k.localID))
	if err != nil {
		return "", err
	}
	var row []struct{ Base64 []byte }
	if err := json.Unmarshal([]byte(out), &row); err != nil || len(row) != 1 {
		return "", errors.New("read recalled row: it is not there")
	}
	return noticeOf(string(row[0].Base64)), nil
}

// noticeOf is the sentence that the client shows for a recalled message's content,
// which is that sentence or the server's XML around it.
func noticeOf(content string) string {
	var x struct {
		Notice string `xml:"revokemsg>replacemsg"`
	}
	if xml.Unmarshal([]byte(content), &x) == nil && x.Notice != "" {
		return x.Notice
	}
	return content
}

// logEntries is how many entries the archive's transparency log has signed for: the
// second line of its checkpoint (C2SP tlog-checkpoint).
func (s *site) logEntries() string {
	b, err := os.ReadFile(filepath.Join(s.archiveDir(), "log", "checkpoint"))
	lines := strings.Split(string(b), "\n")
	if err != nil || len(lines) < 2 {
		return "0"
	}
	return lines[1]
}

// archiveBytes is what the archive takes on disk. Files that come and go are not an
// error.
func (s *site) archiveBytes() (n int64) {
	filepath.WalkDir(s.archiveDir(), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
