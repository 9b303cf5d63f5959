package spool_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// killed runs this test again in a process of its own that does the work on the path
// and is killed at its nth point; false when the work has fewer points and was done.
func killed(t *testing.T, path string, o spool.Options, doc []byte, work string, n int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAtEveryPoint$")
	cmd.Env = append(os.Environ(), "SPOOL_WORK="+work, "SPOOL_PATH="+path, "SPOOL_DIE_AT="+strconv.Itoa(n),
		fmt.Sprintf("SPOOL_SEED=%x", o.Identity.Seed()), "SPOOL_DOC="+string(doc), "SPOOL_KEY="+o.Archive.Key.String())
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if bytes.Contains(out, []byte("FAIL")) || bytes.Contains(out, []byte("panic")) {
		t.Fatalf("%s killed at %d: %v\n%s", work, n, err, out)
	}
	return true
}

// work is what the killed process does.
func work(t *testing.T) {
	seed, err := hex.DecodeString(os.Getenv("SPOOL_SEED"))
	if err != nil {
		t.Fatal(err)
	}
	var o spool.Options
	if o.Identity, err = seal.IdentityFromSeed(seed); err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseArchiveKey(os.Getenv("SPOOL_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Archive, err = seal.OpenArchiveDocument([]byte(os.Getenv("SPOOL_DOC")), key); err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(os.Getenv("SPOOL_DIE_AT"))
	if err != nil {
		t.Fatal(err)
	}
	spool.DieAt(at)
	path := os.Getenv("SPOOL_PATH")
	s, err := spool.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SPOOL_WORK") == "shrink" {
		var notes [][]byte
		for _, name := range strings.Fields(string(must(os.ReadFile(path + ".receipts")))) {
			notes = append(notes, must(hex.DecodeString(name)))
		}
		if _, err := s.AckAll(notes); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Killed at any point of making, healing, migrating or shrinking the file, the next
// start goes on: no batch, cursor or receipt is lost, what was damaged is set aside as
// it was, and nothing half-made is left beside the spool.
func TestKilledAtEveryPoint(t *testing.T) {
	if os.Getenv("SPOOL_WORK") != "" {
		work(t)
		return
	}
	clean := func(t *testing.T, path string) {
		t.Helper()
		for _, suffix := range []string{".new", ".salvaged", ".suspect"} {
			if _, err := os.Lstat(path + suffix); err == nil {
				t.Errorf("%s is left", suffix)
			}
		}
	}
	open := func(t *testing.T, path string, o spool.Options) *spool.Spool {
		t.Helper()
		s, err := spool.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	each := func(t *testing.T, least int, once func(t *testing.T, n int) bool) {
		for n := 1; ; n++ {
			if !once(t, n) {
				if n <= least {
					t.Errorf("only %d points", n-1)
				}
				return
			}
		}
	}
	t.Run("create", func(t *testing.T) {
		w := newWorld(t)
		o := spool.Options{Identity: w.id, Archive: w.archive.Archive}
		each(t, 2, func(t *testing.T, n int) bool {
			path := filepath.Join(t.TempDir(), "spool.db")
			again := killed(t, path, o, w.archive.Bytes, "create", n)
			s := open(t, path, o)
			if seq, _ := s.Head(seal.Messages); seq != 0 || s.Recovery() != nil {
				t.Errorf("killed at %d: head %d, %+v", n, seq, s.Recovery())
			}
			clean(t, path)
			return again
		})
	})
	t.Run("salvage", func(t *testing.T) {
		v := newVictim(t)
		o := spool.Options{Identity: v.id, Archive: v.archive.Archive}
		bad := v.spoil(bytes.Clone(v.raw), 6, 300)
		clear(bad[:100])
		each(t, 7, func(t *testing.T, n int) bool {
			path := filepath.Join(t.TempDir(), "spool.db")
			for name, data := range map[string][]byte{path: bad, path + ".kept": v.kept} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := killed(t, path, o, v.archive.Bytes, "salvage", n)
			s := open(t, path, o)
			if st, _ := s.Stats(); st.Lanes["messages"].Batches != 9 || st.Lanes["messages"].Acked != 4 || st.Lanes["media"].Batches != 3 {
				t.Errorf("killed at %d: %+v", n, st.Lanes)
			}
			if told, _ := s.Cursor(spool.RecoveryCursor); told == nil {
				t.Errorf("killed at %d: nobody is told", n)
			}
			if c, _ := s.Cursor("n"); string(c) != "4" {
				t.Errorf("killed at %d: cursor at %s", n, c)
			}
			clean(t, path)
			aside, err := filepath.Glob(path + ".damaged-*Z")
			if err != nil || len(aside) != 1 || !bytes.Equal(v.readFile(aside[0]), bad) {
				t.Errorf("killed at %d: set aside %v, %v", n, aside, err)
			}
			return again
		})
	})
	t.Run("migrate", func(t *testing.T) {
		path1, o := format1(t)
		raw := must(os.ReadFile(path1))
		doc := must(os.ReadFile(filepath.Join("testdata", "format-1", "archive.json")))
		each(t, 2, func(t *testing.T, n int) bool {
			path := filepath.Join(t.TempDir(), "spool.db")
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			again := killed(t, path, o, doc, "migrate", n)
			s := open(t, path, o)
			if st, _ := s.Stats(); st.Lanes["messages"].Batches != 4 || st.Lanes["messages"].Seq != 6 || s.Recovery() != nil {
				t.Errorf("killed at %d: %+v, %+v", n, st.Lanes, s.Recovery())
			}
			return again
		})
	})
	t.Run("shrink", func(t *testing.T) {
		w := newWorld(t)
		o := spool.Options{Identity: w.id, Archive: w.archive.Archive}
		rng := rand.New(rand.NewPCG(1, 2))
		noise := make([]byte, 3<<20)
		for i := range noise {
			noise[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
		}
		for range 5 {
			w.append(seal.Messages, 1, string(noise), spool.Cursor{Key: "kept", Value: []byte("yes")})
		}
		var receipts []byte
		for _, b := range w.peek(seal.Messages) {
			receipts = fmt.Appendf(receipts, "%x\n", w.archive.Receipt(t, b))
		}
		_, last := w.s.Head(seal.Messages)
		w.s.Close()
		raw := must(os.ReadFile(w.path))
		each(t, 3, func(t *testing.T, n int) bool {
			path := filepath.Join(t.TempDir(), "spool.db")
			for name, data := range map[string][]byte{path: raw, path + ".receipts": receipts} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := killed(t, path, o, w.archive.Bytes, "shrink", n)
			s := open(t, path, o)
			seq, hash := s.Head(seal.Messages)
			if c, _ := s.Cursor("kept"); seq != 5 || hash != last || string(c) != "yes" || s.Recovery() != nil {
				t.Errorf("killed at %d: head %d, cursor %q, %+v", n, seq, c, s.Recovery())
			}
			if err := s.Append(context.Background(), seal.Messages, lines(1, "after")); err != nil {
				t.Error(err)
			}
			return again
		})
	})
}
