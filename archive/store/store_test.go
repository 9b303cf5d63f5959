package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/archive/store"
	"tidemark/seal"
)

var when = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// chain makes n batches of one lane; their payload is nobody's business here.
func chain(t testing.TB, n int) (store.Lane, []*seal.Batch) {
	t.Helper()
	id := seal.NewIdentity()
	var out []*seal.Batch
	var previous seal.Hash
	for seq := 1; seq <= n; seq++ {
		b, err := seal.NewBatch(id, seal.Header{Lane: seal.Messages, Device: id.ID(), Seq: uint64(seq), Sealed: when, Previous: previous}, nil, make([]byte, 40))
		if err != nil {
			t.Fatal(err)
		}
		previous = b.Hash()
		out = append(out, b)
	}
	return store.Lane{Device: id.ID(), Lane: seal.Messages}, out
}

func signer(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "archive.test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func receipt(t testing.TB, s note.Signer, b *seal.Batch) []byte {
	t.Helper()
	r := seal.Receipt{Archive: "archive.test", Device: b.Device, Lane: b.Lane, Seq: b.Seq, Hash: b.Hash(), Log: b.Seq + 10, Received: when}
	n, err := r.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Batches come back as they were put, under their numbers, read-only, and none is
// ever put over another.
func TestBatches(t *testing.T) {
	s := store.New(t.TempDir())
	l, batches := chain(t, 12)
	if err := s.Put(l, batches...); err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		got, err := s.Read(l, b.Seq)
		if err != nil || !bytes.Equal(got.Raw, b.Raw) {
			t.Errorf("batch %d: %v", b.Seq, err)
		}
	}
	info, err := os.Stat(s.Path(l, 3))
	if err != nil || info.Mode().Perm() != 0o440 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if seqs, err := s.Sequences(l, 9); err != nil || !slices.Equal(seqs, []uint64{10, 11, 12}) {
		t.Errorf("beyond 9: %v, %v", seqs, err)
	}
	if lanes, err := s.Lanes(); err != nil || !slices.Equal(lanes, []store.Lane{l}) {
		t.Errorf("lanes %v, %v", lanes, err)
	}
	if err := s.Put(l, batches[4]); !errors.Is(err, store.ErrExists) {
		t.Errorf("put over another: %v", err)
	}
	if _, err := s.Read(l, 13); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("batch that is not there: %v", err)
	}
	// A file that was begun and not finished is no batch, and no obstacle.
	l2, more := chain(t, 1)
	dir := filepath.Dir(s.Path(l2, 1))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(l2, 1)+".tmp", []byte("half"), 0o440); err != nil {
		t.Fatal(err)
	}
	if seqs, err := s.Sequences(l2, 0); err != nil || len(seqs) != 0 {
		t.Errorf("half a file counts: %v, %v", seqs, err)
	}
	if err := s.Put(l2, more...); err != nil {
		t.Error(err)
	}
	// Setting aside frees the place and deletes nothing, however often.
	for n := 1; n <= 2; n++ {
		if err := s.SetAside(l2, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(l2, more...); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(fmt.Sprintf("%s.aside-%d", s.Path(l2, 1), n)); err != nil || !bytes.Equal(b, more[0].Raw) {
			t.Errorf("set aside: %v", err)
		}
	}
}

// A file under another batch's name is not taken for that batch.
func TestMisplacedBatch(t *testing.T) {
	s := store.New(t.TempDir())
	l, batches := chain(t, 2)
	if err := s.Put(l, batches...); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.Path(l, 2), s.Path(l, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(l, 1); !errors.Is(err, seal.ErrForged) {
		t.Errorf("%v, want ErrForged", err)
	}
}

// Receipts come back as they were given. A damaged one is reported and hides no
// other.
func TestReceipts(t *testing.T) {
	s := store.New(t.TempDir())
	l, batches := chain(t, 5)
	signer, verifier := signer(t)
	if err := s.Put(l, batches...); err != nil {
		t.Fatal(err)
	}
	var notes [][]byte
	for _, b := range batches {
		notes = append(notes, receipt(t, signer, b))
	}
	if err := s.AppendReceipts(l, notes[:2]...); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendReceipts(l, notes[2:]...); err != nil {
		t.Fatal(err)
	}
	all := func(after uint64) (seqs []uint64, faults int) {
		for r, err := range s.Receipts(l, after, verifier) {
			if err != nil {
				faults++
				continue
			}
			if r.Covers(batches[r.Seq-1]) != nil {
				t.Errorf("receipt %d is another", r.Seq)
			}
			if !bytes.Equal(r.Note, notes[r.Seq-1]) {
				faults++ // the same signature in another spelling, which the caller sees
				continue
			}
			seqs = append(seqs, r.Seq)
		}
		return seqs, faults
	}
	if seqs, faults := all(0); !slices.Equal(seqs, []uint64{1, 2, 3, 4, 5}) || faults > 0 {
		t.Errorf("receipts %v, %d faults", seqs, faults)
	}
	if seqs, faults := all(3); !slices.Equal(seqs, []uint64{4, 5}) || faults > 0 {
		t.Errorf("receipts beyond 3: %v, %d faults", seqs, faults)
	}
	name := filepath.Join(filepath.Dir(s.Path(l, 1)), "receipts")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for offset := range whole {
		damaged := slices.Clone(whole)
		damaged[offset] ^= 1
		if err := os.WriteFile(name, damaged, 0o640); err != nil {
			t.Fatal(err)
		}
		// A note whose end is damaged takes the next one's beginning for its own.
		if seqs, faults := all(0); len(seqs) < 3 || len(seqs) == 5 || faults == 0 {
			t.Fatalf("byte %d damaged: receipts %v, %d faults", offset, seqs, faults)
		}
	}
}

// Wherever a write was torn, Repair leaves exactly the whole notes.
func TestRepair(t *testing.T) {
	s := store.New(t.TempDir())
	l, batches := chain(t, 3)
	signer, _ := signer(t)
	if err := s.Put(l, batches...); err != nil {
		t.Fatal(err)
	}
	var whole []byte
	var ends []int
	for _, b := range batches {
		whole = append(whole, receipt(t, signer, b)...)
		ends = append(ends, len(whole))
	}
	name := filepath.Join(filepath.Dir(s.Path(l, 1)), "receipts")
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(name, whole[:cut], 0o640); err != nil {
			t.Fatal(err)
		}
		want, last := 0, uint64(0)
		for i, end := range ends {
			if end <= cut {
				want, last = end, uint64(i+1)
			}
		}
		seq, did, err := s.Repair(l)
		if err != nil || seq != last || did != (cut != want) {
			t.Fatalf("torn at %d: last %d, cut %t, %v; want last %d", cut, seq, did, err, last)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, whole[:want]) {
			t.Fatalf("torn at %d: %d bytes left, want %d", cut, len(got), want)
		}
	}
}

// Reading receipts takes any bytes without harm, and Repair never cuts a receipt
// that verifies.
func FuzzReceipts(f *testing.F) {
	l, batches := chain(f, 2)
	signer, verifier := signer(f)
	good := append(receipt(f, signer, batches[0]), receipt(f, signer, batches[1])...)
	f.Add(good)
	f.Add(good[:len(good)-7])
	f.Add([]byte("tidemark/receipt/v1\n— x\n"))
	dir := f.TempDir()
	s := store.New(dir)
	if err := s.Put(l, batches...); err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(filepath.Dir(s.Path(l, 1)), "receipts")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(name, b, 0o640); err != nil {
			t.Fatal(err)
		}
		count := func() (n int) {
			for _, err := range s.Receipts(l, 0, verifier) {
				if err == nil {
					n++
				}
			}
			return n
		}
		before := count()
		if _, _, err := s.Repair(l); err != nil {
			t.Fatal(err)
		}
		if after := count(); after != before {
			t.Errorf("%d receipts before, %d after", before, after)
		}
	})
}
