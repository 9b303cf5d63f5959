package spool_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"tidemark/seal"
	"tidemark/spool"
)

// format1 is a spool as the release before made it: six batches of messages, of
// which two have their receipts, one of media, cursors.
func format1(t *testing.T) (path string, o spool.Options) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "format-1", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(read("device.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	if o.Identity, err = seal.IdentityFromSeed(seed); err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseArchiveKey(strings.TrimSpace(string(read("archivekey.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	if o.Archive, err = seal.OpenArchiveDocument(read("archive.json"), key); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(read("spool.db.gz")))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "spool.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, o
}

// A spool of the release before opens with everything in it, and goes on.
func TestFormat1Opens(t *testing.T) {
	path, o := format1(t)
	for range 2 {
		s, err := spool.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		if s.Recovery() != nil {
			t.Fatal("taken for damaged")
		}
		batches, err := s.Peek(seal.Messages, 1<<30)
		if err != nil || len(batches) != 4 || batches[0].Seq != 3 {
			t.Fatalf("%d batches, %v", len(batches), err)
		}
		st, err := s.Stats()
		want := spool.LaneStats{Batches: 4, Records: 3 + 4 + 5 + 6, Seq: 6, Acked: 2, Oldest: batches[0].Sealed}
		for _, b := range batches {
			want.Bytes += int64(len(b.Raw))
		}
		if got := st.Lanes["messages"]; err != nil || got != want || st.Lanes["media"].Batches != 1 {
			t.Errorf("stats %+v, want %+v", st.Lanes, want)
		}
		for i := range 6 {
			if v, _ := s.Cursor(fmt.Sprintf("k/%d", i)); string(v) != "v" {
				t.Errorf("cursor %d is %q", i, v)
			}
		}
		if v, _ := s.Cursor("n"); !bytes.Equal(v, []byte{5}) {
			t.Errorf("cursor n is %v", v)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Damage in a spool of the release before costs no batch that is whole.
func TestFormat1Damaged(t *testing.T) {
	path, o := format1(t)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw[:100])
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := s.Recovery(); r == nil || r.Lanes["messages"].Batches != 4 || r.Lanes["media"].Batches != 1 || r.Lanes["messages"].Receipt != 2 || r.Cursors != spool.CursorsNone {
		t.Errorf("recovery %+v", r)
	}
}

// A spool that a newer version made is refused with an error that says so, and not a
// byte of it is changed; nor is anything put beside it that a later start would take
// for its spool.
func TestNewerRefused(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 3, "x")
	w.s.Close()
	db, err := bbolt.Open(w.path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		v := binary.BigEndian.AppendUint32(nil, 3)
		return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("version"), v), tx.Bucket([]byte("meta")).Put([]byte("sum"), spool.Sum("version", v)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive}); !errors.Is(err, spool.ErrNewer) || !strings.Contains(err.Error(), "version 3") {
			t.Errorf("opened: %v", err)
		}
	}
	if after, err := os.ReadFile(w.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
	entries, err := os.ReadDir(filepath.Dir(w.path))
	if err != nil || len(entries) != 2 { // itself and the lock
		t.Errorf("%v, %v", entries, err)
	}
}
