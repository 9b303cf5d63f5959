package oracle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Promise: however the file is cut short, opening it again loses no whole line, reports
// exactly the changes without an outcome, and numbers go on where they were.
func TestOpenAfterCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "oracle")
	l, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2"} {
		n, err := l.Begin(change(Insert, id, false, "text "+id))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(n, 1, epoch); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(whole[:cut]), "\n")
		wantUndecided := lines % 2 // a begin line without its commit
		l, undecided, err := Open(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(undecided) != wantUndecided {
			t.Fatalf("cut at %d: %d undecided, want %d", cut, len(undecided), wantUndecided)
		}
		n, err := l.Begin(change(Insert, "9", false, "after"))
		if want := int64((lines+1)/2 + 1); err != nil || n != want {
			t.Fatalf("cut at %d: next number %d, want %d, %v", cut, n, want, err)
		}
		for _, c := range undecided {
			if err := l.Recovered(c.N, true, epoch); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Abort(n, 1, epoch); err != nil {
			t.Fatal(err)
		}
		l.Close()
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		left, err := Read(f, func(c Committed) error { got = append(got, c.LocalID); return nil })
		f.Close()
		if want := []string{"1", "2"}[:(lines+1)/2]; err != nil || len(left) != 0 || !slices.Equal(got, want) {
			t.Fatalf("cut at %d: committed %v, want %v; %d left, %v", cut, got, want, len(left), err)
		}
	}
}

// Promise: one outcome may decide many changes.
func TestCommitThrough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "oracle")
	l, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := l.Begin(change(Insert, "1", false, ""), change(Insert, "2", false, ""), change(Insert, "3", false, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(first, 3, time.Now()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l, undecided, err := Open(path)
	if err != nil || len(undecided) != 0 {
		t.Fatalf("%d undecided, %v", len(undecided), err)
	}
	defer l.Close()
	if n, _ := l.Begin(change(Insert, "4", false, "")); n != 4 {
		t.Errorf("next number: got %d, want 4", n)
	}
}
