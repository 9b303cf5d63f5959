package agent

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/record"
	"tidemark/seal"
)

// gaps lists the gap events in the archive that give the reason.
func (w *world) gaps(reason string) []*record.Record {
	w.t.Helper()
	var out []*record.Record
	for _, r := range w.archive.Records() {
		if r.Event == record.EventGap && r.Detail["reason"] == reason {
			out = append(out, r)
		}
	}
	return out
}

// waitGap waits until the archive has one with the reason.
func (w *world) waitGap(reason string) *record.Record {
	w.t.Helper()
	w.waitUntil(func() bool { return len(w.gaps(reason)) > 0 })
	return w.gaps(reason)[0]
}

// waitUntil looks again each time the archive has got something.
func (w *world) waitUntil(ok func() bool) {
	w.t.Helper()
	for n := 1; !ok(); n++ {
		w.waitRecords(n)
	}
}

// texts counts the texts in the archive.
func (w *world) texts() map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for _, r := range w.archive.Records() {
		if r.Text != nil {
			out[*r.Text]++
		}
	}
	return out
}

func (w *world) down(yes bool) {
	w.archive.Do(func() {
		w.archive.Intercept = nil
		if yes {
			w.archive.Intercept = func(http.ResponseWriter, *http.Request, []byte) bool {
				w.refused.Add(1)
				panic(http.ErrAbortHandler)
			}
		}
	})
}

// Promise: a spool that is damaged while the agent runs is healed without a person,
// capture goes on in the same process, and an event tells what is known of the loss.
func TestDamagedWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.down(true)
	a := w.agent()
	a.opts.Grace = time.Millisecond
	r := w.run(a)
	w.source.say(t, "safe")
	w.source.say(t, "the last")
	path := filepath.Join(w.config.StateDir, spoolFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var last []byte // the batch of the greatest number
	for i := 0; ; i++ {
		j := bytes.Index(raw[i:], []byte("TMKB"))
		if j < 0 {
			break
		}
		i += j
		if h, err := seal.ParseHeader(raw[i:]); err == nil && h.Seq == 3 {
			last = raw[i : i+164]
			if _, err := f.WriteAt(make([]byte, 32), int64(i)+100); err != nil { // every copy's signature
				t.Fatal(err)
			}
		}
	}
	f.Close()
	if last == nil {
		t.Fatal("the last batch is not in the file")
	}
	// A request that was made before the damage must not bring the batch home whole.
	for n := w.refused.Load(); w.refused.Load() < n+2; {
		time.Sleep(10 * time.Millisecond)
	}
	w.down(false)
	gap := w.waitGap("spool: damaged")
	if gap.Severity != record.SeverityDegraded || !strings.Contains(gap.Detail["cause"], "does not verify") || gap.Detail["missing_batches"] == "0" ||
		gap.Detail["aside"] == "" || gap.Since.IsZero() || gap.Detail["until"] == "" {
		t.Errorf("gap %+v", gap.Detail)
	}
	w.source.say(t, "fresh")
	w.waitUntil(func() bool { return w.texts()["fresh"] > 0 })
	r.end("x")
	if got := w.gaps("spool: damaged"); len(got) != 1 {
		t.Errorf("told %d times", len(got))
	}
	texts := w.texts()
	if texts["safe"] != 1 || texts["fresh"] != 1 {
		t.Errorf("the archive has %v", texts)
	}
}

// Promise: while the spool is full, reading stands still, the status says so, and
// when there is room again an event says since when, until when and what is at risk,
// also when the agent was restarted in between.
func TestFullIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.config.SpoolMaxBytes = 4 << 10
	w.down(true)
	begin := time.Now().Add(-time.Second)
	for range 2 {
		w.source = newFakeSource()
		a := w.agent()
		a.opts.Grace = time.Millisecond
		r := w.run(a)
		for i := range 50 {
			w.source.tell <- strings.Repeat("x", i)
			if err := <-w.source.told; err != nil {
				break
			}
		}
		for a.Status().Overall != Blind {
			time.Sleep(time.Millisecond)
		}
		if s := a.Status(); !slices.ContainsFunc(s.Reasons, func(r Reason) bool { return strings.Contains(r.What, "it is full") }) {
			t.Errorf("reasons %+v", s.Reasons)
		}
		r.end("x")
	}
	w.down(false)
	w.source = newFakeSource()
	r := w.run(w.agent())
	gap := w.waitGap("spool: full")
	r.end("x")
	if gap.Since.Before(begin) || gap.Detail["until"] == "" || gap.Detail["accounts"] != "wxid_a" || gap.Detail["at_risk"] == "" {
		t.Errorf("gap since %v: %v", gap.Since, gap.Detail)
	}
	if got := w.gaps("spool: full"); len(got) != 1 {
		t.Errorf("told %d times", len(got))
	}
}

// Promise: a disk that cannot be written is a state of a running agent that says so
// and goes on when the cause is gone.
func TestDiskFails(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	path := filepath.Join(w.config.StateDir, spoolFile)
	if err := os.Mkdir(path, 0o700); err != nil { // what stands there cannot be opened
		t.Fatal(err)
	}
	a := w.agent()
	r := w.run(a)
	for a.Status().Reasons == nil || !strings.Contains(a.Status().Reasons[0].What, "disk") {
		time.Sleep(time.Millisecond)
	}
	if s := a.Status(); s.Overall != Blind || !s.Enrolled {
		t.Errorf("status %+v", s)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	<-w.source.running
	w.source.say(t, "after")
	w.waitRecords(2)
	r.end("x")
}
