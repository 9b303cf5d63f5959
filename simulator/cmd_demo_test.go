package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// watched is a demo that runs as a process, with everything it makes below one folder.
type watched struct {
	t      *testing.T
	bin    string
	temp   string
	cmd    *exec.Cmd
	out    said // both outputs
	done   chan struct{}
	code   int
	oracle string // once it is there
}

// said is a buffer that is written and read at the same time.
type said struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestDemo runs the demo with the programs as they are now.
func TestDemo(t *testing.T) {
	bin := buildPrograms(t)
	t.Run("Whole", func(t *testing.T) { testDemoWhole(t, bin) })
	t.Run("Fault", func(t *testing.T) { testDemoFault(t, bin) })
	t.Run("ProgramDies", func(t *testing.T) { testDemoProgramDies(t, bin) })
	t.Run("Interrupted", func(t *testing.T) { testDemoInterrupted(t, bin) })
}

// buildPrograms builds the agent and the archive and returns their folder.
func buildPrograms(t *testing.T) string {
	t.Helper()
	if mod, err := os.ReadFile("../go.mod"); err != nil || !bytes.HasPrefix(mod, []byte("module tidemark\n")) {
		t.Skip("the programs that the demo runs are in the module above, which is not here")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-C", "..", "-o", bin+"/", "./cmd/tidemark", "./cmd/tidemark-archive")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	return bin
}

func startDemo(t *testing.T, bin string, args ...string) *watched {
	t.Helper()
	// The agent's socket must fit below it, so its name is shorter than t.TempDir's.
	temp, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	w := &watched{t: t, bin: bin, temp: temp, done: make(chan struct{})}
	w.cmd = exec.Command(os.Args[0], append([]string{"demo", "--bin", bin, "--grace", "1m"}, args...)...)
	w.cmd.Env = append(os.Environ(), "SIMULATOR_TEST_RUN=1", "TMPDIR="+w.temp)
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		w.cmd.Wait()
		w.code = w.cmd.ProcessState.ExitCode()
		close(w.done)
	}()
	t.Cleanup(func() { w.cmd.Process.Kill(); <-w.done })
	return w
}

// until waits for something that must come, or for the end of the demo.
func (w *watched) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-w.done:
			w.t.Fatalf("the demo ended before %s:\n%s", what, &w.out)
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// untilChatting waits until the client has committed something.
func (w *watched) untilChatting() {
	w.t.Helper()
	w.until("the client chats", func() bool {
		found, _ := filepath.Glob(filepath.Join(w.temp, "tidemark-demo-*", "oracle.ndjson"))
		if len(found) == 1 {
			w.oracle = found[0]
		}
		return len(found) == 1 && bytes.Contains(read0(found[0]), []byte(`{"op":"commit"`))
	})
}

// untilAgent waits until the agent has looked at the account and returns its process
// id.
func (w *watched) untilAgent() (pid int) {
	w.t.Helper()
	w.untilChatting()
	w.until("the agent has looked", func() bool {
		out, _ := exec.Command(filepath.Join(w.bin, "tidemark"), "status", "--json", "--config", filepath.Join(filepath.Dir(w.oracle), "tidemark.yaml")).Output()
		var s struct {
			PID     int
			Capture struct{ Passes int }
		}
		json.Unmarshal(out, &s)
		pid = s.PID
		return s.Capture.Passes > 0
	})
	return pid
}

// ended waits for the end and demands that nothing is left of the demo.
func (w *watched) ended() string {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(3 * time.Minute):
		w.t.Fatal("the demo does not end")
	}
	left, err := os.ReadDir(w.temp)
	if err != nil || len(left) > 0 {
		w.t.Errorf("left behind: %v, %v", left, err)
	}
	if runtime.GOOS == "linux" {
		environments, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range environments {
			if bytes.Contains(read0(name), []byte("="+w.temp+"/")) {
				w.t.Errorf("process %s still runs", filepath.Base(filepath.Dir(name)))
			}
		}
	}
	return w.out.String()
}

// number is the number that stands after one text and before another.
func number(t *testing.T, s, before, after string) int {
	t.Helper()
	_, rest, ok := strings.Cut(s, before)
	digits, _, ok2 := strings.Cut(rest, after)
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if !ok || !ok2 || err != nil {
		t.Fatalf("no number between %q and %q:\n%s", before, after, s)
	}
	return n
}

// Promise: a demo that ends by itself has everything in the archive, says so with the
// numbers of this run, exits 0, and leaves neither a process nor a file.
func testDemoWhole(t *testing.T, bin string) {
	w := startDemo(t, bin, "--count", "60", "--rate", "30", "--recall-after", "800ms")
	out := w.ended()
	if w.code != 0 {
		t.Fatalf("exit code %d:\n%s", w.code, out)
	}
	if n := number(t, out, "written ", " messages"); n != 60 {
		t.Errorf("written: %d, want 60", n)
	}
	if n := number(t, out, "archived  ", " of these messages"); n != 60 {
		t.Errorf("archived: %d, want 60", n)
	}
	recalls, kept, late := number(t, out, "by the client,", " of them recalled"), number(t, out, "of these messages,", " recalls kept"), 0
	if strings.Contains(out, "recalled before capture") {
		late = number(t, out, "kept with the original,", " recalled before")
	}
	if recalls == 0 || kept+late != recalls {
		t.Errorf("%d recalls, %d kept and %d too early, want all of at least one", recalls, kept, late)
	}
	for _, want := range []string{"0 missing, 0 doubled, 0 different, 0 other faults", "log entries: no fault"} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
}

// Promise: a message that is committed and not in the archive fails the demo, which
// names it, and stops all the same at Ctrl-C and leaves nothing.
func testDemoFault(t *testing.T, bin string) {
	w := startDemo(t, bin)
	w.untilChatting()
	f, err := os.OpenFile(w.oracle, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	const n = 1 << 40 // beyond what the client itself numbers
	_, err = fmt.Fprintf(f, `{"op":"begin","n":%d,"change":{"op":"insert","n":%d,"file":"message/message_0.db","table":"Msg_0","local_id":"7",`+
		`"conversation":"filehelper","sender":"nobody","type":1,"create_time":%d,"sort_seq":"1","text":"never said"}}`+"\n"+
		`{"op":"commit","n":%d,"at":%q}`+"\n", n, n, time.Now().Unix(), n, time.Now().UTC().Format(time.RFC3339Nano))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.until("it shows what happens", func() bool { return strings.Contains(w.out.String(), " written, ") })
	w.cmd.Process.Signal(os.Interrupt)
	out := w.ended()
	if w.code != 1 || !strings.Contains(out, "1 missing, 0 doubled") || !strings.Contains(out, "table=Msg_0 local_id=7") {
		t.Errorf("exit code %d, and the message is to be named:\n%s", w.code, out)
	}
}

// Promise: a program that dies early is an error that names it, and ends the demo.
func testDemoProgramDies(t *testing.T, bin string) {
	w := startDemo(t, bin)
	if err := syscall.Kill(w.untilAgent(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out := w.ended()
	if w.code != 1 || !strings.Contains(out, "simulator: error: run tidemark run: signal: killed") || !strings.Contains(out, "agent started") {
		t.Errorf("exit code %d:\n%s", w.code, out)
	}
}

// Promise: whenever it is interrupted, and twice, nothing is left.
func testDemoInterrupted(t *testing.T, bin string) {
	for name, reached := range map[string]func(*watched){
		"at once":              func(*watched) {},
		"while a client chats": (*watched).untilChatting,
		"while an agent runs":  func(w *watched) { w.untilAgent() },
	} {
		t.Run(name, func(t *testing.T) {
			w := startDemo(t, bin)
			w.until("it has a folder", func() bool {
				found, _ := filepath.Glob(filepath.Join(w.temp, "tidemark-demo-*"))
				return len(found) == 1
			})
			reached(w)
			for {
				w.cmd.Process.Signal(os.Interrupt)
				select {
				case <-w.done:
					out := w.ended()
					if w.code != 1 || strings.Contains(out, "came to") {
						t.Errorf("exit code %d:\n%s", w.code, out)
					}
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}
