package agent

import (
	"strings"
	"testing"
	"time"
)

// Promise: crashes in a row make pauses that grow to five minutes; an orderly end, or a
// long run, ends the row; a clock that was set makes no pause longer.
func TestRestartPauses(t *testing.T) {
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	r, pause := restarts{}.next(now)
	if pause != 0 || r.Crashes != 0 {
		t.Errorf("first start: %v, %+v", pause, r)
	}
	for i, want := range []time.Duration{0, 0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
		now = r.Started.Add(time.Second)
		if r, pause = r.next(now); pause != want || r.Crashes != i+1 {
			t.Errorf("crash %d: pause %v, want %v (%+v)", i+1, pause, want, r)
		}
	}
	for range 100 {
		if r, pause = r.next(r.Started); pause != longestPause {
			t.Fatalf("pause %v", pause)
		}
	}
	long := r
	if _, pause := long.next(r.Started.Add(shortRun)); pause != 0 {
		t.Errorf("after a long run: %v", pause)
	}
	back := r
	if _, pause := back.next(r.Started.Add(-24 * time.Hour)); pause != 0 {
		t.Errorf("after the clock was set back: %v", pause)
	}
	orderly := r
	orderly.Running = false
	if _, pause := orderly.next(r.Started.Add(time.Second)); pause != 0 {
		t.Errorf("after an orderly end: %v", pause)
	}
}

// Promise: while it pauses, the agent answers, says why nothing is captured and when it
// goes on, and stops when asked to; that is an orderly end.
func TestPauseIsSaid(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	a := w.agent()
	a.opts.Supervised = true
	path := w.config.StateDir + "/" + restartsFile
	if err := writeForm(path, restarts{V: restartsShape, Running: true, Started: time.Now(), Crashes: 9}); err != nil {
		t.Fatal(err)
	}
	r := w.run(a)
	w.waitFor("status says so", func() bool {
		s := a.Status()
		return s.Overall == Blind && strings.Contains(s.Reasons[0].What, "the agent crashed 10 times in a row and begins again at ")
	})
	r.end("test")
	a = w.agent()
	a.opts.Supervised = true
	r = w.run(a)
	w.waitFor("it captures", func() bool { return a.Status().Spool != nil })
	r.end("test")
}
