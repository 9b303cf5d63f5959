package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// A spool that was set aside gives its batches as they are, lets go of them on receipts
// and on nothing else, and is removed only when nothing waits in it.
func TestOrphan(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"1", "2", "3"} {
		w.append(seal.Messages, 1, text)
	}
	w.append(seal.Media, 1, "picture")
	before := w.peek(seal.Messages)
	aside := filepath.Join(filepath.Dir(w.path), "aside.db")
	if err := spool.SetAside(w.path, aside); !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("while it is open: %v", err)
	}
	w.s.Close()
	if err := spool.SetAside(w.path, aside); err != nil {
		t.Fatal(err)
	}
	if err := spool.SetAside(w.path, aside); err != nil { // nothing to set aside
		t.Fatal(err)
	}
	w.id = seal.NewIdentity()
	w.open()
	if r := w.s.Recovery(); r != nil || len(w.peek(seal.Messages)) != 0 {
		t.Errorf("the new spool is not simply new: %+v", r)
	}

	o, err := spool.OpenOrphan(aside, w.archive.Archive)
	if err != nil {
		t.Fatal(err)
	}
	batches, err := o.Peek(seal.Messages, 1<<20)
	if err != nil || len(batches) != 3 || batches[2].Hash() != before[2].Hash() || o.Device() != before[0].Device {
		t.Fatalf("%d batches of %s, %v", len(batches), o.Device(), err)
	}
	for what, note := range map[string][]byte{
		"another batch's": w.archive.Receipt(t, batches[1])[:80], "no": nil,
		"another hash's": w.sign(func(r *seal.Receipt) { r.Hash[0]++ }, batches[0]),
	} {
		if _, err := o.AckAll([][]byte{note}); err == nil {
			t.Errorf("%s receipt is taken", what)
		}
	}
	if _, err := o.AckAll([][]byte{w.archive.Receipt(t, batches[0]), w.archive.Receipt(t, batches[1])}); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Batches(); err != nil || n != 2 {
		t.Errorf("%d wait, %v", n, err)
	}
	if err := o.Remove(); err == nil {
		t.Error("removed with batches in it")
	}
	if o, err = spool.OpenOrphan(aside, w.archive.Archive); err != nil {
		t.Fatal(err)
	}
	for _, lane := range []seal.Lane{seal.Messages, seal.Media} {
		left, err := o.Peek(lane, 1)
		if err != nil || len(left) != 1 {
			t.Fatal(len(left), err)
		}
		if _, err := o.AckAll([][]byte{w.archive.Receipt(t, left[0])}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(aside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
