package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"tidemark/record"
)

// A state folder that was copied to another machine, or restored from an image, makes two
// devices of one identity. Both deliver, all that both captured is in the archive, and an
// event says where the histories part.
func TestClonedStateFolder(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	once := func(w *world, text string) {
		t.Helper()
		w.source = newFakeSource()
		w.source.pass = text
		a := w.agent()
		if _, err := a.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	once(w, "before")

	other := *w
	cfg := *w.config
	cfg.StateDir = filepath.Join(filepath.Dir(w.config.StateDir), "clone")
	if err := os.CopyFS(cfg.StateDir, os.DirFS(w.config.StateDir)); err != nil {
		t.Fatal(err)
	}
	other.config = &cfg
	var texts []string
	for _, text := range []string{"1", "2", "3"} {
		once(w, "original "+text)
		once(&other, "clone "+text)
		texts = append(texts, "original "+text, "clone "+text)
	}
	once(w, "last") // and what it has to tell of the fork
	once(&other, "last of the clone")
	texts = append([]string{"before"}, append(texts, "last", "last of the clone")...)

	var got []string
	forks := 0
	for _, r := range w.archive.Records() {
		if r.Text != nil {
			got = append(got, *r.Text)
		}
		if r.Event == record.EventFork {
			forks++
			if r.Detail["archive_seq"] == "" || r.Detail["next_seq"] == "" || r.Severity != record.SeverityDegraded {
				t.Errorf("fork %+v", r)
			}
		}
	}
	if !slices.Equal(got, texts) {
		t.Errorf("the archive has %q, want %q", got, texts)
	}
	if forks != 2 {
		t.Errorf("%d events of a fork, want one of each clone in a day", forks)
	}
	w.archive.Do(func() {
		if len(w.archive.Restarts) < 5 {
			t.Errorf("%d restarts", len(w.archive.Restarts))
		}
	})
}

// An archive restored from yesterday's copy has lost what it gave receipts for: the
// device goes on, and says which numbers are gone.
func TestArchiveRestored(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	for range 3 {
		w.source = newFakeSource()
		if _, err := w.agent().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var lost int
	w.archive.Do(func() {
		lost = len(w.archive.Kept)
		w.archive.Kept = w.archive.Kept[:2]
	})
	for range 2 {
		w.source = newFakeSource()
		if _, err := w.agent().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.archive.Records() {
		if r.Event == record.EventFork {
			if r.Detail["lost_from"] != "3" || r.Detail["lost_to"] != strconv.Itoa(lost) {
				t.Errorf("detail %v, lost up to %d", r.Detail, lost)
			}
			return
		}
	}
	t.Error("no event tells of it")
}
