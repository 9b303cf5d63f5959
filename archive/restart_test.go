//go:build !windows

package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/index"
	"tidemark/archive/store"
	"tidemark/seal"
)

// A lane goes on behind batches that a device lost, on its signed word: what follows is
// kept and receipted once, through restarts of the server and from a new index; the hole
// is in the report, and is no fault.
func TestHoleWithRestart(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	d.Rotate(seal.Messages) // the lost batches carry the new key's header
	restart := d.Lose(seal.Messages, 3, true)
	after := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five"))
	next := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 6, "six"))

	if _, err := w.a.Append(context.Background(), messages(d), []*seal.Batch{after}); !errors.As(err, new(*archive.HeadError)) {
		t.Fatalf("a hole without a restart: %v", err)
	}
	first, err := w.a.Append(context.Background(), messages(d), []*seal.Batch{after, next}, restart)
	if err != nil || len(first) != 2 {
		t.Fatalf("%d receipts, %v", len(first), err)
	}
	again := func(when string) {
		t.Helper()
		got, err := w.a.Append(context.Background(), messages(d), []*seal.Batch{after, next}, restart)
		if err != nil || !bytes.Equal(bytes.Join(got, nil), bytes.Join(first, nil)) {
			t.Errorf("%s: other receipts, %v", when, err)
		}
		if texts := w.texts(index.Query{}); !slices.Equal(texts, []string{"one", "five", "six"}) {
			t.Errorf("%s: %q", when, texts)
		}
	}
	again("at once")
	w.restart()
	again("after a restart of the server")
	w.close()
	removeIndex(t, w.dir)
	w.open()
	again("from a new index")
	w.wantSound(3, 3)
	if holes := w.verify().Holes; len(holes) != 1 || holes[0].From != 2 || holes[0].To != 4 || holes[0].Seen != 4 || holes[0].Reason != "damaged" {
		t.Errorf("holes %+v", holes)
	}
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 7, "seven")))
	w.wantSound(4, 4)
}

// A restart that another device signed, that introduces another batch, that goes back or
// that jumps beyond all use opens no hole.
func TestRestartThatDoesNotCount(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	honest := d.Lose(seal.Messages, 3, false)
	after := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five"))

	signed := func(change func(r *seal.Restart), by *archivetest.Device) *seal.Restart {
		r := *honest
		change(&r)
		if err := r.Sign(by.Identity); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	foreign := signed(func(*seal.Restart) {}, other)
	foreign.Device = d.ID() // as if it were d's
	back := &seal.Restart{Lane: seal.Messages, Reason: seal.Forked, Made: archivetest.Time, Seen: 1, First: 2, Previous: seal.Hash{9}}
	for name, r := range map[string]*seal.Restart{
		"of another device": foreign,
		"at another place":  signed(func(r *seal.Restart) { r.First++ }, d),
		"of another lane":   signed(func(r *seal.Restart) { r.Lane = seal.Media }, d),
		"behind the head":   signed(func(r *seal.Restart) { *r = *back }, d),
	} {
		if notes, err := w.a.Append(context.Background(), messages(d), []*seal.Batch{after}, r); !errors.As(err, new(*archive.HeadError)) {
			t.Errorf("%s: %d receipts, %v", name, len(notes), err)
		}
	}
	w.wantSound(1, 1)
}

// Killed between restart and batch, the archive takes both anew, also with another
// restart; a restart whose file is altered or gone is a fault that verify names.
func TestRestartFiles(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	files := store.New(archive.Folder(w.dir).Batches())
	left := d.Lose(seal.Messages, 2, false)
	if err := files.PutRestart(messages(d), left); err != nil { // and no batch: killed here
		t.Fatal(err)
	}
	w.restart()
	restart := &seal.Restart{Lane: seal.Messages, Reason: seal.Lost, Made: archivetest.Time, Seen: left.Seen, First: left.First, Previous: left.Hash()}
	if err := restart.Sign(d.Identity); err != nil {
		t.Fatal(err)
	}
	after := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 4, "four"))
	if _, err := w.a.Append(context.Background(), messages(d), []*seal.Batch{after}, restart); err != nil {
		t.Fatal(err)
	}
	w.wantSound(2, 2)

	name := files.RestartPath(messages(d), after.Seq)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		what string
		raw  []byte // nil removes the file
	}{
		{"altered", append(append(bytes.Clone(raw[:40]), raw[40]^1), raw[41:]...)},
		{"cut", raw[:100]},
		{"gone", nil},
		{"whole again", raw},
	} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if damage.raw != nil {
			if err := os.WriteFile(name, damage.raw, 0o440); err != nil {
				t.Fatal(err)
			}
		}
		if faulty := len(w.verify().Faults) > 0; faulty != (damage.what != "whole again") {
			t.Errorf("%s: fault %v", damage.what, faulty)
		}
	}
	w.wantSound(2, 2)
}
