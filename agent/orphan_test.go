package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/record"
)

// A device whose identity is lost while a backlog waits says so and keeps all; enrolled
// anew it delivers the backlog of the lost identity and what it captures as the new one,
// each batch once.
func TestIdentityLost(t *testing.T) {
	w := newWorld(t)
	old := w.enrol()
	once := func(text string) error {
		w.source = newFakeSource()
		w.source.pass = text
		_, err := w.agent().Once(t.Context())
		return err
	}
	if err := once("delivered"); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = nil
	addr := w.config.ArchiveURL
	w.config.ArchiveURL = "http://127.0.0.1:1" // nothing listens there
	for _, text := range []string{"waits 1", "waits 2"} {
		if err := once(text); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("without an archive: %v", err)
		}
	}
	w.config.ArchiveURL = addr
	w.server.Config.Handler = w.archive

	if err := os.Remove(filepath.Join(w.config.StateDir, identityFile)); err != nil {
		t.Fatal(err)
	}
	if err := once("never"); !errors.Is(err, ErrNotEnrolled) || !errors.Is(err, ErrIdentityLost) {
		t.Fatalf("without an identity: %v", err)
	}
	r := w.run(w.agent())
	waiting := func() *Status { return r.a.Status() }
	for s := waiting(); len(s.Reasons) == 0 || !strings.Contains(s.Reasons[0].What, "identity is lost"); s = waiting() {
		time.Sleep(time.Millisecond)
	}
	now := w.enrol()
	if now.Device == old.Device {
		t.Fatal("the same device")
	}
	<-w.source.running // it goes on by itself
	w.source.say(t, "new")
	w.waitRecords(11) // 3 of the delivered pass, 6 of the backlog, started and new; and identity_lost
	r.end("test")
	if err := once("later"); err != nil {
		t.Fatal(err)
	}

	texts := map[string]string{}
	lost := 0
	for _, r := range w.archive.Records() {
		if r.Text != nil {
			if texts[*r.Text] != "" {
				t.Errorf("%q came twice", *r.Text)
			}
			texts[*r.Text] = r.Device
		}
		if r.Event == record.EventIdentityLost {
			lost++
			if r.Device != now.Device || r.Detail["before"] != old.Device || r.Detail["waiting_batches"] != "6" {
				t.Errorf("event %+v", r)
			}
		}
	}
	for text, device := range map[string]string{
		"delivered": old.Device, "waits 1": old.Device, "waits 2": old.Device, "new": now.Device, "later": now.Device,
	} {
		if texts[text] != device {
			t.Errorf("%q is of device %q, want %q", text, texts[text], device)
		}
	}
	if lost != 1 {
		t.Errorf("%d events of a lost identity", lost)
	}
	if left := orphans(w.config.StateDir); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
	if names := w.events(); !slices.Contains(names, record.EventStarted) {
		t.Errorf("events %v", names)
	}
}

// A device is not enrolled anew under a running agent, whose spool is in use.
func TestIdentityLostWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	r := w.run(w.agent())
	<-w.source.running
	if err := os.Remove(filepath.Join(w.config.StateDir, identityFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Enrol(t.Context(), w.config, w.enrolOptions()); err == nil {
		t.Error("enrolled beside a running agent of the lost identity")
	}
	w.source.say(t, "kept")
	r.end("test")
	if _, err := Enrol(t.Context(), w.config, w.enrolOptions()); err != nil {
		t.Error(err)
	}
}
