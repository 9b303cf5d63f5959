package spool_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// chained walks what waits as an archive whose head is at seq and hash takes it, and
// returns the lines, opened.
func (w *world) chained(seq uint64, hash seal.Hash) []string {
	w.t.Helper()
	var out []string
	for {
		batches := w.peek(seal.Messages)
		if len(batches) == 0 {
			return out
		}
		for _, b := range batches {
			r, err := w.s.Restart(seal.Messages, b.Seq)
			if err != nil {
				w.t.Fatal(err)
			}
			switch {
			case b.Seq == seq+1 && b.Previous == hash:
			case r != nil && b.Seq > seq && r.Introduces(b) == nil && r.Verify(w.id.Public()) == nil && r.Reason == seal.Forked:
				for _, header := range r.KeyHeaders {
					w.archive.Learn(w.t, header)
				}
			default:
				w.t.Fatalf("batch %d does not follow %d, restart %+v", b.Seq, seq, r)
			}
			seq, hash = b.Seq, b.Hash()
			out = append(out, strings.TrimSpace(string(w.archive.Open(w.t, b))))
			if _, err := w.s.Ack(w.archive.Receipt(w.t, b)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) rechain(seq uint64, want bool) {
	w.t.Helper()
	did, err := w.s.Rechain(seal.Messages, seq, seal.Hash{9})
	if err != nil || did != want {
		w.t.Fatalf("rechain behind %d: %v %v, want %v", seq, did, err, want)
	}
}

func want(t *testing.T, got []string, first, last int) {
	t.Helper()
	for i, line := range got {
		if line != fmt.Sprintf(`{"text":"%d"}`, first+i) {
			t.Fatalf("record %d is %s, of %q", first+i, line, got)
		}
	}
	if len(got) != last-first+1 {
		t.Fatalf("%d records, want %d to %d", len(got), first, last)
	}
}

// Whatever the archive's head is that is not in the lane's chain, all that waits comes
// behind it in its order, and so does what is appended later; restarts of the program in
// between change nothing.
func TestRechain(t *testing.T) {
	for _, c := range []struct {
		name          string
		acked, waits  int
		head          uint64
		next          uint64 // number of the first batch
		lostTo, moved uint64
	}{
		{"clone sent other batches of some numbers", 3, 4, 5, 8, 0, 4},
		{"clone sent other batches of all numbers", 3, 4, 7, 8, 0, 4},
		{"clone is far ahead", 3, 4, 90, 91, 0, 4},
		{"archive has lost batches", 3, 4, 1, 4, 3, 0},
		{"archive has lost everything", 3, 4, 0, 4, 3, 0},
		{"archive has another last batch", 3, 4, 3, 4, 0, 0},
		{"nothing was acknowledged", 0, 4, 2, 5, 0, 4},
	} {
		for _, reopen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reopened %v", c.name, reopen), func(t *testing.T) {
				w := newWorld(t)
				again := func() {
					if reopen {
						w.reopen()
					}
				}
				n := 0
				add := func(count int) {
					for range count {
						n++
						w.append(seal.Messages, 1, fmt.Sprint(n))
					}
				}
				add(c.acked)
				if c.acked > 0 {
					want(t, w.chained(0, seal.Hash{}), 1, c.acked)
				}
				again()
				add(c.waits)
				again()
				w.rechain(c.head, true)
				again()
				if first := w.peek(seal.Messages)[0]; first.Seq != c.next {
					t.Errorf("goes on at %d, want %d", first.Seq, c.next)
				}
				w.rechain(c.head, false) // the same head again is another trouble
				raw, err := w.s.Cursor(spool.ForkCursor(seal.Messages))
				var f spool.Fork
				if err != nil || json.Unmarshal(raw, &f) != nil {
					t.Fatal(err)
				}
				if f.ArchiveSeq != c.head || f.Last != uint64(n) || f.Next != c.next || f.Receipt != uint64(c.acked) || f.LostTo != c.lostTo || uint64(f.Batches) != c.moved {
					t.Errorf("fork %+v", f)
				}
				add(2)
				again()
				add(1)
				st, err := w.s.Stats()
				if err != nil || st.Lanes["messages"].Batches != c.waits+3 {
					t.Errorf("stats %+v", st)
				}
				want(t, w.chained(c.head, seal.Hash{9}), c.acked+1, n)
				again()
				add(1)
				if b := w.peek(seal.Messages); len(b) != 1 {
					t.Errorf("%d wait", len(b))
				}
			})
		}
	}
}

// A clone that goes on delivering makes the lane move again and again; all still comes
// once, in order.
func TestRechainAgain(t *testing.T) {
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		w.append(seal.Messages, 1, fmt.Sprint(n))
	}
	w.rechain(2, true)
	w.append(seal.Messages, 1, "4")
	w.rechain(5, true)
	w.append(seal.Messages, 1, "5")
	w.reopen()
	w.rechain(500, true)
	w.append(seal.Messages, 1, "6")
	want(t, w.chained(500, seal.Hash{9}), 1, 6)
}

// A backlog larger than a transaction should hold moves in several calls, appends in
// between come last, and a crash between two calls costs nothing.
func TestRechainLarge(t *testing.T) {
	w := newWorld(t)
	noise := strings.Repeat("x", 100)
	big := make([]byte, 9<<20)
	for i, seed := 0, uint32(1); i < len(big); i++ {
		seed = seed*1664525 + 1013904223
		big[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[seed>>26]
	}
	var lines []string
	add := func(text string) {
		w.append(seal.Messages, 1, text)
		lines = append(lines, `{"text":"`+text+`"}`)
	}
	for i := range 4 {
		add(fmt.Sprint(i, string(big)))
		add(fmt.Sprint(i, noise))
	}
	calls := 0
	for w.peek(seal.Messages)[0].Seq <= 8 {
		w.rechain(3, true)
		add(fmt.Sprint("later", calls))
		w.reopen()
		if calls++; calls > 10 {
			t.Fatal("it never ends")
		}
	}
	if calls < 2 {
		t.Errorf("moved in %d calls", calls)
	}
	w.rechain(3, false)
	got := w.chained(3, seal.Hash{9})
	if len(got) != len(lines) {
		t.Fatalf("%d records, want %d", len(got), len(lines))
	}
	for i := range got {
		if got[i] != lines[i] {
			t.Fatalf("record %d is another", i)
		}
	}
}

// A device restored from an image holds an older spool: what it makes then comes behind
// what the archive has of its own later self.
func TestRechainAfterImage(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "1")
	w.s.Close()
	image, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.open()
	for n := 2; n <= 5; n++ {
		w.append(seal.Messages, 1, fmt.Sprint(n))
	}
	got := w.chained(0, seal.Hash{})
	want(t, got, 1, 5)
	seq, hash := w.s.Head(seal.Messages)
	w.s.Close()
	for _, name := range []string{w.path, w.path + ".kept"} {
		os.Remove(name)
	}
	if err := os.WriteFile(w.path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.append(seal.Messages, 1, "2")
	if did, err := w.s.Rechain(seal.Messages, seq, hash); err != nil || !did {
		t.Fatal(did, err)
	}
	want(t, w.chained(seq, hash), 1, 2)
	if found, _ := filepath.Glob(w.path + ".damaged*"); len(found) > 0 {
		t.Errorf("found damage: %v", found)
	}
}
