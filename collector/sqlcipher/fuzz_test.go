package sqlcipher

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// FuzzWAL: whatever stands in a WAL, following it ends, keeps no more than the file
// could hold, and gives the same at once as in two steps.
func FuzzWAL(f *testing.F) {
	f.Add([]byte{}, uint(0))
	f.Fuzz(func(t *testing.T, wal []byte, cut uint) {
		var whole, steps follower
		g, h, n, err := whole.sync(&memory{b: wal})
		if err != nil {
			if g != nil || !errors.Is(err, ErrCorrupt) {
				t.Fatalf("generation %v with error %v", g, err)
			}
			return
		}
		if n != min(len(wal), walHeaderSize) {
			t.Fatalf("header of %d bytes in a file of %d", n, len(wal))
		}
		if g == nil {
			return
		}
		if !h.valid() || len(g.pages) > len(wal)/(frameHeaderSize+minPageSize) || len(g.pages) != len(g.prev) || cap(g.pages) > 64+2*len(wal)/minPageSize {
			t.Fatalf("%d frames of %d bytes", len(g.pages), len(wal))
		}
		if _, _, _, err := steps.sync(&memory{b: wal[:cut%uint(len(wal)+1)]}); err != nil {
			return // a cut in the header
		}
		again, _, _, err := steps.sync(&memory{b: wal})
		if err != nil || !slices.Equal(again.pages, g.pages) || again.sum != g.sum || again.dbSize != g.dbSize {
			t.Fatalf("in two steps %d frames, at once %d: %v", len(again.pages), len(g.pages), err)
		}
	})
}

// FuzzPage1: whatever an authentic page 1 says, a view ends with rows or with an
// error of this package or of SQLite, and never with a panic.
func FuzzPage1(f *testing.F) {
	f.Add([]byte(magic))
	seal := newSealer(f, M3, testKeyBytes[:], 0)
	f.Fuzz(func(t *testing.T, page []byte) {
		plain := make([]byte, M3.PageSize)
		copy(plain, page)
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, seal.page(1, plain), 0o600); err != nil {
			t.Fatal(err)
		}
		exhaust(t, path, Options{Params: []Params{M3}, Keys: give(testKey(t))})
	})
}

// FuzzOpen: the same for a main file and a WAL of any content. They are plain, so
// that mutations reach SQLite instead of ending at a MAC.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(magic), []byte{})
	f.Fuzz(func(t *testing.T, main, wal []byte) {
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, main, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
			t.Fatal(err)
		}
		exhaust(t, path, Options{Params: []Params{M3, Plain}, Keys: give(testKey(t))}) // M3: no key derivation each time
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, main) {
			t.Fatal("the file was changed")
		}
	})
}

// exhaust reads all there is, twice: with a new connection and with a kept one.
func exhaust(t *testing.T, path string, o Options) {
	db := openDB(t, path, o)
	for range 2 {
		err := db.View(t.Context(), func(v *View) error {
			names, err := query(v, "SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 20")
			if err != nil {
				return err
			}
			for _, name := range names {
				if _, err := query(v, "SELECT * FROM "+sqlite3.QuoteIdentifier(name)+" LIMIT 1000"); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, ErrMoved) {
			t.Fatalf("moved, although nobody writes: %v", err)
		}
	}
}
