package spool_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// backlog makes a spool with so many bytes waiting, in batches of 64 KiB that do not
// compress.
func backlog(t testing.TB, o spool.Options, bytes int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool.db")
	o.MaxBytes = 1 << 62
	s, err := spool.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	const size, writers = 64 << 10, 16
	errs := make(chan error, writers)
	for w := range writers { // so that they share transactions
		go func() {
			errs <- func() error {
				for i := range max(bytes/size/writers, 1) {
					r := spool.Records{NDJSON: noise(size, uint64(w)<<32|uint64(i)), Count: 1}
					if err := s.Append(t.Context(), seal.Messages, r, spool.Cursor{Key: strconv.Itoa(w), Value: []byte{byte(i)}}); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// noise is a line of n bytes that does not compress.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	x := seed*2685821657736338717 + 88172645463325252
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if b[i] = byte(x); b[i] == '\n' {
			b[i] = ' '
		}
	}
	b[n-1] = '\n'
	return b
}

// Opening a spool costs hardly more memory with a large backlog than with a small
// one, and reads little of it. TIDEMARK_SPOOL_BYTES makes the backlog another size and has the time printed.
func TestOpenBacklog(t *testing.T) {
	most := 64 << 20
	if v := os.Getenv("TIDEMARK_SPOOL_BYTES"); v != "" {
		most, _ = strconv.Atoi(v)
	}
	o := spool.Options{Identity: seal.NewIdentity(), Archive: sealtest.New(t).Archive}
	var memory [2]uint64
	for i, bytes := range []int{most / 8, most} {
		path := backlog(t, o, bytes)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		s, err := spool.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		memory[i] = after.TotalAlloc - before.TotalAlloc
		st, err := s.Stats()
		if err != nil || st.Bytes < int64(bytes) {
			t.Fatalf("%d bytes wait, %v", st.Bytes, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		read := spool.CheckCost(t, path)
		t.Logf("%d MiB in %d batches: opened in %v, %d KiB read, %d KiB allocated", bytes>>20, st.Lanes["messages"].Batches, took, read>>10, memory[i]>>10)
		if read > st.FileBytes/16 {
			t.Errorf("%d bytes read of a file of %d", read, st.FileBytes)
		}
		os.Remove(path)
	}
	if memory[1] > 2*memory[0]+uint64(most)/64 {
		t.Errorf("eight times the backlog: %d bytes allocated instead of %d", memory[1], memory[0])
	}
}
