package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
)

// peak is the most memory that a program has had resident, in bytes.
func (p *process) peak(t testing.TB) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	for line := range bytes.Lines(b) {
		fmt.Sscanf(string(line), "VmHWM: %d kB", &kib)
	}
	return kib << 10
}

// captured is what the agent says of its only account.
func (s *site) captured() (state string, messages int) {
	_, text := s.status()
	var st struct {
		Capture struct {
			Accounts []struct {
				State    string
				Messages int
			}
		}
	}
	if json.Unmarshal([]byte(text), &st) != nil || len(st.Capture.Accounts) == 0 {
		return "", 0
	}
	return st.Capture.Accounts[0].State, st.Capture.Accounts[0].Messages
}

// The agent keeps to the ceilings of the configuration while it reads a history: of
// processor time, and of memory. What it owes for the history, it does not owe for ever:
// everything is captured in the end.
func TestCeilings(t *testing.T) {
	const history, memory = 250_000, 160 << 20
	s := newSite(t)
	s.serve()
	s.world.Make(history, 20)
	s.configure("limits: {cpu: 5%}\n")
	s.enroll()
	s.runAgent()
	start := time.Now()
	s.wait("history is being read", func() bool { state, _ := s.captured(); return state == "catching up" }, s.agent)
	time.Sleep(15 * time.Second)
	if state, n := s.captured(); state != "catching up" || n >= history {
		t.Errorf("%s, %d messages: the history was not held back, so this shows nothing", state, n)
	}
	// The burst of 2 s, a twentieth of the time, and the pieces of history that were begun
	// before the burst was used up.
	used, elapsed := s.agent.used(t), time.Since(start)
	t.Logf("used %v in %v", used, elapsed)
	if allowed := 2*time.Second + elapsed/20 + 3*time.Second; used > allowed {
		t.Errorf("used %v of processor time, at most %v", used, allowed)
	}
	s.stop(s.agent)

	s.configure(fmt.Sprintf("limits: {cpu: 0, memory: %d}\n", memory))
	s.runAgent()
	s.wait("the history is read", func() bool { state, _ := s.captured(); return state == "current" }, s.agent)
	peak := s.agent.peak(t)
	t.Logf("%d MiB resident at most of %d", peak>>20, memory>>20)
	if peak > memory {
		t.Errorf("%d MiB resident at most, the ceiling is %d", peak>>20, memory>>20)
	}
	s.wait("everything is archived", func() bool { return s.records() >= history }, s.agent, s.archive)
	s.stop(s.agent)
	s.stop(s.archive)
	s.verify()
}
