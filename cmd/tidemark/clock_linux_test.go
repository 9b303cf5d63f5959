package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// setClock sets the agent's clock off.
func (s *site) setClock(off time.Duration) {
	s.t.Helper()
	if err := os.WriteFile(s.path("clock"), []byte(off.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// The device's clock jumps ten years ahead, ten years back and to 1970, while the agent
// runs and between two runs, and the machine sleeps: the process stands still and the
// clock is hours later. Nothing is lost, doubled or invented, fresh messages flow by
// themselves after each jump, and each record tells the client's clock, the device's and
// the archive's. The program is the released one but for its clock, see clock_fault.go.
func TestClockJumps(t *testing.T) {
	bin, err := build("-tags", "faultclock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bin) })
	s := newSite(t)
	s.bin = bin
	t.Setenv("TIDEMARK_FAULT_CLOCK", s.path("clock"))
	s.serve()
	s.world.Chat("--count", "20", "--rate", "0", "--recall", "0").Wait()
	s.configure("capture: {poll: 500ms}\n")
	s.enroll()
	s.runAgent()
	const years = 10 * 365 * 24 * time.Hour
	flows := func(after string) {
		t.Helper()
		before := s.records()
		s.world.Chat("--count", "10", "--rate", "0", "--recall", "0").Wait()
		s.wait("messages flow after "+after, func() bool { return s.records() >= before+10 }, s.agent, s.archive)
		used, start := s.agent.used(t), time.Now()
		time.Sleep(2 * time.Second)
		if share := float64(s.agent.used(t)-used) / float64(time.Since(start)); share > 0.1 {
			t.Errorf("%.0f %% of a core after %s", 100*share, after)
		}
	}
	s.wait("all is captured", func() bool { return s.records() >= 20 }, s.agent, s.archive)
	for _, c := range []struct {
		name string
		off  time.Duration
	}{{"ten years ahead", years}, {"twenty years back", -years}, {"1970", -time.Until(time.Unix(0, 0)).Abs()}, {"right again", 0}} {
		s.setClock(c.off)
		flows(c.name)
		s.stop(s.agent)
		s.runAgent()
		flows(c.name + ", started anew")
	}
	s.agent.cmd.Process.Signal(syscall.SIGSTOP)
	s.world.Chat("--count", "10", "--rate", "0", "--recall", "0").Wait()
	time.Sleep(2 * time.Second)
	s.setClock(9 * time.Hour)
	s.agent.cmd.Process.Signal(syscall.SIGCONT)
	flows("a sleep")
	s.stop(s.agent)
	s.must("tidemark", "once")
	s.stop(s.archive)
	s.compare("--grace", "1m")
	s.verify()

	far := 0
	for line := range strings.Lines(s.must("tidemark-archive", "records", "--kind", "message")) {
		var r struct {
			Captured time.Time `json:"captured_at"`
			Sent     time.Time `json:"sent_at"`
			Archive  struct {
				Received time.Time `json:"received_at"`
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Archive.Received.IsZero() || time.Since(r.Archive.Received).Abs() > time.Hour || r.Sent.IsZero() {
			t.Fatalf("a record of %+v does not tell its clocks", r)
		}
		if r.Captured.Sub(r.Archive.Received).Abs() > years/2 {
			far++
		}
	}
	if far < 60 {
		t.Errorf("%d records tell of a device's clock that was years off: the jumps did nothing", far)
	}
}
