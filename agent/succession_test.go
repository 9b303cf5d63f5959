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
	"tidemark/uploader/archivetest"
)

// rollover gives the archive its next keys.
func (w *world) rollover() {
	next := w.archive.Keys.Rollover(w.t)
	w.archive.Do(func() { w.archive.Keys = next })
}

// settled waits until the agent is healthy under the archive's newest key.
func (w *world) settled(r *running) {
	w.t.Helper()
	var want string
	w.archive.Do(func() { want = w.archive.Keys.Archive.Key.String() })
	for range 3000 {
		if s := r.a.Status(); s.Archive != nil && s.Archive.Key == want && s.Delivery.State.OK() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.t.Fatalf("never under the new key: %+v", r.a.Status())
}

// An agent that pinned the archive's first key goes on by itself when the archive has new
// ones: while it runs, at its next start, and at a single pass. What waits sealed for the
// old key arrives, all is sealed for the new key from then on, and an event says so.
func TestFollowsTheArchive(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	r := w.run(w.agent())
	<-w.source.running
	w.source.say(t, "one")
	w.waitRecords(2)

	w.rollover()
	w.source.say(t, "two") // sealed for the old key, receipted under the new
	w.settled(r)
	w.source.say(t, "three")
	w.waitRecords(7) // started, one, two, stopped, started, archive_keys, three
	r.end("test")

	w.rollover() // while it does not run
	w.source = newFakeSource()
	r = w.run(w.agent())
	<-w.source.running
	w.settled(r)
	w.source.say(t, "four")
	r.end("test")
	w.rollover()
	w.source = newFakeSource()
	if _, err := w.agent().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, r := range w.archive.Records() {
		if r.Text != nil {
			texts = append(texts, *r.Text)
		}
	}
	if want := []string{"one", "two", "three", "four", "once"}; !slices.Equal(texts, want) {
		t.Errorf("records %q, want %q", texts, want)
	}
	keys := 0
	for _, name := range w.events() {
		if name == record.EventArchiveKeys {
			keys++
		}
	}
	if keys != 3 {
		t.Errorf("%d events of new keys for 3 rollovers", keys)
	}
	e, err := readEnrolment(w.config)
	if err != nil || e.archive.Key != w.archive.Keys.Archive.Key || e.pinned == e.archive.Key {
		t.Fatalf("the enrolment on disk: %+v %v", e, err)
	}

	// The configuration may name any key the archive has had, or its next.
	for _, l := range w.archive.Keys.Chain {
		w.config.ArchiveKey = l.Key().String()
		if _, err := readEnrolment(w.config); err != nil {
			t.Errorf("configured with %s: %v", w.config.ArchiveKey, err)
		}
	}
	w.rollover()
	w.config.ArchiveKey = w.archive.Keys.Archive.Key.String()
	if _, err := readEnrolment(w.config); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("a key that is not known yet: %v", err)
	}
	w.source = newFakeSource()
	if _, err := w.agent().Once(t.Context()); err != nil {
		t.Errorf("configured with the archive's next key: %v", err)
	}
	w.config.ArchiveKey = archivetest.NewKeys(t, "archive.test").Archive.Key.String()
	if _, err := w.agent().Once(t.Context()); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("configured with another archive: %v", err)
	}
}

// A device may be given any of the archive's keys when it enrols, the first or a later.
func TestEnrolWithAnOlderKey(t *testing.T) {
	for _, pin := range []int{0, 1, 2} {
		w := newWorld(t)
		w.rollover()
		w.rollover()
		o := w.enrolOptions()
		o.Key = w.archive.Keys.Chain[pin].Key().String()
		if _, err := Enrol(t.Context(), w.config, o); err != nil {
			t.Fatalf("pinned document %d: %v", pin, err)
		}
		e, err := readEnrolment(w.config)
		if err != nil || e.archive.Key != w.archive.Keys.Archive.Key || e.pinned.String() != o.Key {
			t.Errorf("pinned document %d: %v", pin, err)
		}
		o.Key = w.archive.Keys.Archive.Key.String() // and again with the newest
		if _, err := Enrol(t.Context(), w.config, o); err != nil {
			t.Errorf("pinned document %d, enrolled again with the newest key: %v", pin, err)
		}
		o.Key = archivetest.NewKeys(t, "archive.test").Archive.Key.String()
		if _, err := Enrol(t.Context(), w.config, o); !errors.Is(err, ErrEnrolledElsewhere) {
			t.Errorf("with another archive's key: %v", err)
		}
	}
}

// An agent never goes back: an older copy of the archive, a fork of its keys and another
// archive are refused and told, capture goes on, and nothing is let go of.
func TestSuccessionRefused(t *testing.T) {
	for name, forge := range map[string]func(t *testing.T, first, second archivetest.Keys) archivetest.Keys{
		"rolled back": func(t *testing.T, first, _ archivetest.Keys) archivetest.Keys { return first },
		"forked":      func(t *testing.T, first, _ archivetest.Keys) archivetest.Keys { return first.Rollover(t) },
		"another archive": func(t *testing.T, _, _ archivetest.Keys) archivetest.Keys {
			return archivetest.NewKeys(t, "archive.test")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enrol()
			first := w.archive.Keys
			w.rollover()
			second := w.archive.Keys
			if _, err := w.agent().Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			forged := forge(t, first, second)
			w.archive.Do(func() { w.archive.Keys = forged })
			w.source = newFakeSource()
			r := w.run(w.agent())
			<-w.source.running
			w.source.say(t, "kept")
			told := func(s *Status) bool {
				return slices.ContainsFunc(s.Reasons, func(r Reason) bool { return strings.Contains(r.What, "offers keys that do not lead on") })
			}
			for range 3000 {
				if told(r.a.Status()) {
					break
				}
				time.Sleep(2 * time.Millisecond)
			}
			s := r.a.Status()
			if !told(s) || s.Archive.Key != second.Archive.Key.String() || s.Overall != Degraded {
				t.Errorf("status %+v", s)
			}
			waiting := s.Spool.Lanes["messages"].Batches
			w.archive.Do(func() { w.archive.Keys = second })
			r.a.opts.Grace = time.Minute
			r.end("test")
			if waiting == 0 {
				t.Error("something was let go of on an older receipt key")
			}
			e, err := readEnrolment(w.config)
			if err != nil || e.archive.Key != second.Archive.Key {
				t.Errorf("the enrolment on disk is under %s, %v", e.archive.Key, err)
			}
		})
	}
}

// A succession file that was damaged or taken away costs nothing: the pinned document
// holds, and the rest is asked for again.
func TestSuccessionFileDamaged(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.rollover()
	if _, err := w.agent().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.config.StateDir, successionFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string]string{
		"empty": "", "cut": string(good[:len(good)/2]), "another link": strings.Replace(string(good), "old tmk1", "old tmk2", 1),
		"a newer version": strings.Replace(string(good), `"v": 1`, `"v": 2`, 1),
	} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err := readEnrolment(w.config); err != nil || e.archive.Key != e.pinned {
			t.Errorf("%s: %v", what, err)
		}
		w.source = newFakeSource()
		if _, err := w.agent().Once(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if e, err := readEnrolment(w.config); err != nil || e.archive.Key != w.archive.Keys.Archive.Key {
			t.Errorf("%s, asked again: %v", what, err)
		}
	}
}
