package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// small is the bytes of a sound spool.
func small(f *testing.F) ([]byte, spool.Options) {
	o := spool.Options{Identity: seal.NewIdentity(), Archive: sealtest.New(f).Archive}
	path := filepath.Join(f.TempDir(), "spool.db")
	s, err := spool.Open(path, o)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 5 {
		if err := s.Append(f.Context(), seal.Messages, lines(1+i, "x"), spool.Cursor{Key: "c", Value: []byte{byte(i)}}); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return raw, o
}

// Whatever a file holds, looking through it ends, reads a bounded number of bytes,
// and finds it sound, damaged or newer.
func FuzzCheck(f *testing.F) {
	raw, o := small(f)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(4096*3), []byte("\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\xff\xff\xff\xff\xff\xff"))
	f.Add(uint32(16), []byte{0xED})
	for page := range len(raw) / 4096 {
		f.Add(uint32(page*4096+8), []byte{1, 0, 2})
		f.Add(uint32(page*4096+16), []byte("\x00\x00\x00\x00\xff\xff\x00\x00\x08\x00"))
	}
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := append([]byte{}, raw...)
		if int(at) < len(b) {
			copy(b[at:], change)
		}
		_, read, err := spool.Survey(b)
		if err != nil && !errors.Is(err, spool.ErrDamaged) && !errors.Is(err, spool.ErrNewer) {
			t.Fatal(err)
		}
		if read > 8*int64(len(b)) {
			t.Fatalf("%d bytes read of %d", read, len(b))
		}
		found, err := spool.Scan(b, o)
		if err != nil || found > 5 {
			t.Fatalf("%d batches found, %v", found, err)
		}
	})
}

// Bytes of anything are looked through without harm.
func FuzzScan(f *testing.F) {
	raw, o := small(f)
	f.Add(raw[:4096])
	f.Add([]byte("TMKBTMKRTMKKtidemark/receipt/v1\n\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := spool.Survey(b); err == nil && len(b) < 4096 {
			t.Fatal("a spool of less than a page")
		}
		if _, err := spool.Scan(b, o); err != nil {
			t.Fatal(err)
		}
	})
}
