package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// A write that fails is a state: the caller is told that it is the disk, nothing is
// half in, the chain has neither hole nor fork, and the next write works as soon as
// the disk does.
func TestWriteFails(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "before", spool.Cursor{Key: "c", Value: []byte("1")})
	for round := range 3 {
		spool.Break()
		err := w.s.Append(t.Context(), seal.Messages, lines(1, "failed"), spool.Cursor{Key: "c", Value: []byte("failed")})
		if !errors.Is(err, spool.ErrDisk) {
			t.Fatalf("append: %v", err)
		}
		if c, _ := w.s.Condition(); c.State != spool.StateDisk || c.Cause == "" || !c.State.Stopped() {
			t.Errorf("condition %+v", c)
		}
		if c, _ := w.s.Cursor("c"); string(c) == "failed" {
			t.Error("the cursor passes a record that is not in")
		}
		w.append(seal.Messages, 1, fmt.Sprint("after ", round), spool.Cursor{Key: "c", Value: []byte(fmt.Sprint(round))})
		if c, _ := w.s.Condition(); c.State != spool.StateOK {
			t.Errorf("condition %+v", c)
		}
	}
	var previous seal.Hash
	got := w.peek(seal.Messages)
	for i, b := range got {
		if b.Seq != uint64(i+1) || b.Previous != previous {
			t.Fatalf("batch %d does not follow", b.Seq)
		}
		previous = b.Hash()
		w.archive.Open(t, b)
	}
	if len(got) != 4 {
		t.Errorf("%d batches", len(got))
	}
	w.reopen()
	if w.s.Recovery() != nil || len(w.peek(seal.Messages)) != 4 {
		t.Error("what was confirmed is not there")
	}
}

// A receipt that cannot be written lets nothing go, and counts nothing twice later.
func TestAckFails(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.append(seal.Messages, 2, "x")
	}
	b := w.peek(seal.Messages)
	spool.Break()
	if _, err := w.s.Ack(w.archive.Receipt(t, b[0])); !errors.Is(err, spool.ErrDisk) {
		t.Fatalf("ack: %v", err)
	}
	for i := range 2 {
		if _, err := w.s.Ack(w.archive.Receipt(t, b[i])); err != nil {
			t.Fatal(err)
		}
	}
	if st, _ := w.s.Stats(); st.Lanes["messages"].Batches != 1 || st.Lanes["messages"].Records != 2 || st.Bytes != int64(len(b[2].Raw)) {
		t.Errorf("stats %+v", st)
	}
}

// A disk that is away keeps the spool from opening with an error that says it may
// work later, and while the spool is open, every use fails that way until it is back.
func TestDiskAway(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "before")
	dir := filepath.Dir(w.path)
	away := dir + "-away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	spool.Break()
	for range 2 {
		if err := w.s.Append(t.Context(), seal.Messages, lines(1, "x")); !errors.Is(err, spool.ErrDisk) {
			t.Errorf("append: %v", err)
		}
	}
	if _, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive}); !errors.Is(err, spool.ErrDisk) {
		t.Errorf("open: %v", err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	w.append(seal.Messages, 1, "as it is back")
	w.reopen()
	if n := len(w.peek(seal.Messages)); n != 2 || w.s.Recovery() != nil {
		t.Errorf("%d batches, recovery %+v", n, w.s.Recovery())
	}
	w.append(seal.Messages, 1, "after")
}

// A file that is removed while it is open is not written on in secret: the spool says
// that it is damaged, and opening it goes on from what was acknowledged.
func TestRemovedWhileOpen(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "delivered", spool.Cursor{Key: "c", Value: []byte("1")})
	b := w.peek(seal.Messages)
	if _, err := w.s.Ack(w.archive.Receipt(t, b[0])); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.append(seal.Messages, 1, "lost", spool.Cursor{Key: "c", Value: []byte("2")})
	if err := os.Remove(w.path); err != nil {
		t.Skip("this system removes no file that is open") // Windows
	}
	if err := w.s.Append(t.Context(), seal.Messages, lines(1, "x"), spool.Cursor{Key: "c", Value: []byte("3")}); !errors.Is(err, spool.ErrDamaged) {
		t.Fatalf("append: %v", err)
	}
	w.s.Close()
	w.open()
	r := w.s.Recovery()
	if r == nil || r.Aside != "" || r.Cursors != spool.CursorsAcknowledged || r.Lanes["messages"].Receipt != 1 {
		t.Fatalf("recovery %+v", r)
	}
	if c, _ := w.s.Cursor("c"); string(c) != "1" {
		t.Errorf("cursor at %s", c)
	}
	w.append(seal.Messages, 1, "again")
	k := &keeper{a: w.archive, id: w.id, head: map[seal.Lane]*seal.Batch{seal.Messages: b[0]}, records: map[string]int{}}
	w.archive.Open(t, b[0])
	k.deliver(t, w.s, seal.Messages)
	if k.restarts != 1 || len(k.records) != 1 {
		t.Errorf("%d restarts, %d records", k.restarts, len(k.records))
	}
}

// A file that is cut short while it is open is damage, not the end of the process.
func TestCutWhileOpen(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.append(seal.Messages, 1, fmt.Sprint(i))
	}
	if err := os.Truncate(w.path, 8192); err != nil {
		t.Skip("this system cuts no file that is mapped") // Windows
	}
	if _, err := w.s.Peek(seal.Messages, 1<<20); !errors.Is(err, spool.ErrDamaged) {
		t.Fatalf("peek: %v", err)
	}
	w.s.Close()
	w.open()
	w.append(seal.Messages, 1, "after")
	if len(w.peek(seal.Messages)) != 1 {
		t.Error("a fresh record does not flow")
	}
}

// Batches of an identity that this device had before are no damage: whether they are
// whole cannot be judged here, and nothing of them is thrown away.
func TestAnotherIdentity(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "of the old identity")
	old := w.peek(seal.Messages)
	w.s.Close()
	w.id = seal.NewIdentity()
	w.open()
	if got := w.peek(seal.Messages); w.s.Recovery() != nil || len(got) != 1 || got[0].Hash() != old[0].Hash() {
		t.Errorf("%d batches, %+v", len(got), w.s.Recovery())
	}
	w.s.Close()
	if i, err := spool.Verify(w.path, spool.Options{Identity: w.id}); err != nil || !i.Sound() {
		t.Errorf("%+v, %v", i, err)
	}
}
