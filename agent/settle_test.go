package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/record"
	"tidemark/spool"
)

func (w *world) settle() (*Settlement, error) {
	a := w.agent()
	return Settle(context.Background(), a.opts)
}

// leftBehind is a device that has stopped while its archive was away, so that records
// wait.
func leftBehind(t *testing.T) *world {
	w := newWorld(t)
	w.enrol()
	w.down(true)
	a := w.agent()
	a.opts.Grace = time.Millisecond
	r := w.run(a)
	w.waitFor("it captures", func() bool { return a.Status().Spool != nil })
	r.end("test")
	if n, err := undelivered(w.config.StateDir); err != nil || n == 0 {
		t.Fatalf("%d records wait, %v", n, err)
	}
	return w
}

// Promise: what a removal does to undelivered records is what removal.undelivered says,
// and how many were delivered, kept or discarded is said; the identity stays in each
// case, and the archive learns that the agent was removed as soon as it can.
func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		rule       string
		down, left bool
		says       string
	}{
		"deliver":                      {SettleDeliver, false, false, "; nothing is left"},
		"deliver, the archive is away": {SettleDeliver, true, true, "not delivered: "},
		"keep":                         {SettleKeep, false, true, "not delivered: "},
		"discard":                      {SettleDiscard, false, false, "discarded, as removal.undelivered says: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := leftBehind(t)
			w.down(c.down)
			w.config.RemovalUndelivered, w.config.RemovalWait = c.rule, time.Minute // no test waits for it
			if c.down {
				w.config.RemovalWait = 50 * time.Millisecond
			}
			s, err := w.settle()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(s.String(), c.says) || (s.Left > 0) != c.left || s.Waiting == 0 {
				t.Errorf("%s (%+v)", s, s)
			}
			if n, err := undelivered(w.config.StateDir); err != nil || (n > 0) != c.left {
				t.Errorf("%d records left, %v", n, err)
			}
			if text, err := os.ReadFile(filepath.Join(w.config.StateDir, removalFile)); err != nil || string(text) != s.String()+"\n" {
				t.Errorf("kept %q, %v", text, err)
			}
			if _, err := readIdentity(w.config.StateDir); err != nil {
				t.Error(err)
			}
			removed := false
			for _, r := range w.archive.Records() {
				removed = removed || r.Kind == record.KindEvent && r.Event == record.EventStopped && r.Detail["reason"] == "removed from this device"
			}
			if removed != (c.rule == SettleDeliver && !c.down) {
				t.Errorf("the archive knows of the removal: %t", removed)
			}
			if !c.left {
				return
			}
			// Installed again, it delivers what was left.
			w.down(false)
			r := w.run(w.agent())
			w.waitFor("all is delivered", func() bool {
				removed := 0
				for _, x := range w.archive.Records() {
					if x.Event == record.EventStopped && x.Detail["reason"] == "removed from this device" {
						removed++
					}
				}
				return removed == 1
			})
			r.end("test")
		})
	}
}

// Promise: a device that never enrolled has nothing to settle, and that is said; an
// agent that runs is left alone.
func TestSettleNothing(t *testing.T) {
	w := newWorld(t)
	s, err := w.settle()
	if err != nil || s.String() != "everything that was captured is delivered" {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := os.Stat(w.config.StateDir); err == nil {
		t.Error("a state folder was made")
	}
	w.enrol()
	a := w.agent()
	r := w.run(a)
	w.waitFor("it captures", func() bool { return a.Status().Spool != nil })
	if _, err := w.settle(); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("beside a running agent: %v", err)
	}
	r.end("test")
}

// Promise: a purge deletes the state folder and nothing but one.
func TestPurge(t *testing.T) {
	w := newWorld(t)
	if err := Purge(w.config); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	w.enrol()
	if err := os.Chmod(w.config.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Purge(w.config); err == nil {
		t.Error("a folder that others may enter is deleted")
	}
	if err := os.Chmod(w.config.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Purge(w.config); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(w.config.StateDir); err == nil {
		t.Error("it is still there")
	}
}
