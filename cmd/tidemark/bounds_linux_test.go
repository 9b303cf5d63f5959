package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// used is the processor time that a program has used so far, by its threads that have
// ended too, in hundredths of a second.
func (p *process) used(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var user, system int64
	fmt.Sscan(f[11], &user)
	fmt.Sscan(f[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// A crash leaves nothing of the agent's memory: no core file, although the shell that
// started it allows one, no content in what the crash prints, and neither texts nor keys
// in the state folder and the logs. What is in memory is messages in flight and keys.
func TestNoCoreDump(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newSite(t)
			s.serve()
			s.world.Make(300, 3)
			s.configure("")
			s.enroll()
			if err := os.Mkdir(s.path("cwd"), 0o700); err != nil {
				t.Fatal(err)
			}
			// A shell that allows core files becomes the agent.
			cmd := exec.Command("sh", "-c", `ulimit -c unlimited && exec "$0" run`, filepath.Join(s.bin, "tidemark"))
			cmd.Dir, cmd.Env = s.path("cwd"), []string{"GOTRACEBACK=crash"}
			s.agent = s.launch(cmd)
			s.wait("the history is archived", func() bool { return s.records() == 300 }, s.agent, s.archive)
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.agent.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for sc := bufio.NewScanner(bytes.NewReader(limits)); sc.Scan(); {
				if f := strings.Fields(sc.Text()); strings.HasPrefix(sc.Text(), "Max core file size") && (f[4] != "0" || f[5] != "0") {
					t.Errorf("a core file may be written: %s", sc.Text())
				}
			}
			if err := s.agent.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-s.agent.done
			if s.agent.err == nil {
				t.Error("it did not crash")
			}
			if !strings.Contains(s.agent.log.String(), "goroutine") {
				t.Errorf("it printed nothing of the crash:\n%s", s.agent.log)
			}
			left, err := os.ReadDir(s.path("cwd"))
			if err != nil || len(left) > 0 {
				t.Errorf("%d files are left: %v", len(left), err)
			}
			s.searchForSecrets(s.agent, s.archive)
		})
	}
}
