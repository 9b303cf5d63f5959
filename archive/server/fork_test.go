//go:build !windows

package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/index"
	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader"
)

// laptop is a device with the agent's own spool and uploader.
type laptop struct {
	t  *testing.T
	s  *site
	id *seal.Identity
	q  *spool.Spool
	u  *uploader.Uploader
}

func newLaptop(t *testing.T, s *site, id *seal.Identity, file string) *laptop {
	t.Helper()
	q, err := spool.Open(file, spool.Options{Identity: id, Archive: s.doc, Now: s.a.Now})
	if err != nil {
		t.Fatal(err)
	}
	l := &laptop{t: t, s: s, id: id, q: q}
	t.Cleanup(func() { q.Close() })
	remote, err := uploader.NewRemote(s.url, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.u, err = uploader.New(uploader.Options{Queue: q, Archive: s.doc, Identity: id, Remote: remote, Now: s.a.Now}); err != nil {
		t.Fatal(err)
	}
	return l
}

// capture makes a message of a number that no other laptop of the test uses.
func (l *laptop) capture(number int, text string) {
	l.t.Helper()
	line := append(archivetest.Text(l.id.ID(), "c", number, text), '\n')
	if err := l.q.Append(l.t.Context(), seal.Messages, spool.Records{NDJSON: line, Count: 1}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *laptop) deliver() {
	l.t.Helper()
	if err := l.u.Drain(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func (s *site) texts() []string {
	s.t.Helper()
	var out bytes.Buffer
	if err := archive.Export(s.t.Context(), archive.Folder(s.dir), index.Query{}, &out); err != nil {
		s.t.Fatal(err)
	}
	var texts []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var r struct{ Text string }
		if err := dec.Decode(&r); err != nil {
			s.t.Fatal(err)
		}
		texts = append(texts, r.Text)
	}
	return texts
}

func (s *site) sound() *audit.Report {
	s.t.Helper()
	r, err := audit.Verify(s.t.Context(), archive.Folder(s.dir), audit.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range r.Faults {
		s.t.Errorf("verify: %s", f)
	}
	return r
}

// Two copies of one state folder deliver to the real archive: everything that either
// captured is there once, in its order, verify finds no fault, and the places where one
// history was taken up behind the other are named.
func TestClonedLaptop(t *testing.T) {
	s := newSite(t)
	d := s.device()
	dir := t.TempDir()
	one := newLaptop(t, s, d.Identity, filepath.Join(dir, "one.db"))
	var want []string
	one.capture(1, "before")
	one.deliver()
	one.capture(2, "waits on both")
	want = append(want, "before", "waits on both")
	if err := one.q.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "one.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "two.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	one = newLaptop(t, s, d.Identity, filepath.Join(dir, "one.db"))
	two := newLaptop(t, s, d.Identity, filepath.Join(dir, "two.db"))
	for n := 10; n < 14; n++ {
		one.capture(n, fmt.Sprint("one ", n))
		two.capture(n+100, fmt.Sprint("two ", n))
		two.capture(n+200, fmt.Sprint("two again ", n))
		one.deliver()
		two.deliver()
		want = append(want, fmt.Sprint("one ", n), fmt.Sprint("two ", n), fmt.Sprint("two again ", n))
	}
	if got := s.texts(); !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	r := s.sound()
	if len(r.Holes) < 4 {
		t.Errorf("verify names %d places where a history was taken up", len(r.Holes))
	}
	for _, h := range r.Holes {
		if h.Reason != "forked" {
			t.Errorf("hole %+v", h)
		}
	}
}

// An archive put back from yesterday's copy gets all that its devices still hold, and
// verify names what it lost.
func TestArchiveFromYesterday(t *testing.T) {
	s := newSite(t)
	d := s.device()
	file := filepath.Join(t.TempDir(), "spool.db")
	l := newLaptop(t, s, d.Identity, file)
	l.capture(1, "kept")
	l.deliver()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(s.dir)); err != nil { // nothing arrives meanwhile
		t.Fatal(err)
	}
	l.capture(2, "lost by the archive")
	l.deliver()
	l.capture(3, "waits")
	l.capture(4, "waits too")
	l.q.Close()

	s.dir = copied
	s.start()
	l = newLaptop(t, s, d.Identity, file)
	l.capture(5, "later")
	l.deliver()
	if got, want := s.texts(), []string{"kept", "waits", "waits too", "later"}; !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	r := s.sound()
	if len(r.Holes) != 1 || r.Holes[0].From != 2 || r.Holes[0].To != 2 || r.Holes[0].Reason != "forked" {
		t.Errorf("holes %+v", r.Holes)
	}
}
