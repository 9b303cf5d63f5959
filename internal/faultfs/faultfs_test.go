//go:build linux

package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// mount makes a file system and its mount point. Mounting needs root and FUSE, which
// containers may lack; nothing else can stand in for them.
func mount(t *testing.T, dir string) (*FS, string) {
	t.Helper()
	for _, d := range []string{"mnt", "disk", "trash"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Mount(filepath.Join(dir, "mnt"), filepath.Join(dir, "disk"), filepath.Join(dir, "trash"))
	if err != nil {
		t.Skipf("no FUSE for this user: %v", err)
	}
	t.Cleanup(func() { f.Unmount() })
	return f, filepath.Join(dir, "mnt")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, b []byte, off int64, sync bool) {
	t.Helper()
	h, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	_, err = h.WriteAt(b, off)
	must(t, err)
	if sync {
		must(t, h.Sync())
	}
	must(t, h.Close())
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
}

// What was synced survives every cut; what was not is there or not, block by block, and
// over many cuts both are seen.
func TestCut(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(40) {
		dir := t.TempDir()
		f, mnt := mount(t, dir)
		kept, torn, renamed := filepath.Join(mnt, "kept"), filepath.Join(mnt, "torn"), filepath.Join(mnt, "renamed")
		write(t, kept, []byte("synced"), 0, true)
		write(t, torn, bytes.Repeat([]byte("a"), 2*block), 0, true)
		write(t, renamed, []byte("old"), 0, true)
		syncDir(t, mnt)
		write(t, torn, bytes.Repeat([]byte("b"), 2*block), 0, false)
		write(t, renamed+".new", []byte("new"), 0, true)
		must(t, os.Rename(renamed+".new", renamed))
		write(t, filepath.Join(mnt, "fresh"), []byte("x"), 0, true) // its name is not synced
		f.Cut()
		if err := os.WriteFile(filepath.Join(mnt, "late"), nil, 0o644); !errors.Is(err, syscall.EIO) {
			t.Errorf("a change after the cut: %v", err)
		}
		must(t, f.Unmount())
		must(t, f.Restore(rand.New(rand.NewPCG(seed, 1))))

		disk := filepath.Join(dir, "disk")
		if b, err := os.ReadFile(filepath.Join(disk, "kept")); err != nil || string(b) != "synced" {
			t.Fatalf("synced file: %q, %v", b, err)
		}
		b, err := os.ReadFile(filepath.Join(disk, "torn"))
		must(t, err)
		if len(b) != 2*block {
			t.Fatalf("torn file has %d bytes", len(b))
		}
		seen[fmt.Sprintf("torn %c%c", b[0], b[block])]++
		for i := range b {
			if b[i] != b[i/block*block] {
				t.Fatal("a block is torn in itself")
			}
		}
		b, err = os.ReadFile(filepath.Join(disk, "renamed"))
		must(t, err)
		if string(b) != "old" && string(b) != "new" {
			t.Fatalf("renamed file: %q", b)
		}
		seen["renamed "+string(b)]++
		_, err = os.Stat(filepath.Join(disk, "fresh"))
		seen[fmt.Sprint("fresh ", err == nil)]++
	}
	for _, s := range []string{"torn aa", "torn ab", "torn ba", "torn bb", "renamed old", "renamed new", "fresh true", "fresh false"} {
		if seen[s] == 0 {
			t.Errorf("never seen: %s (%v)", s, seen)
		}
	}
}

// A hook sees each change in its phases, and what it refuses does not happen, or half.
func TestHook(t *testing.T) {
	f, mnt := mount(t, t.TempDir())
	name := filepath.Join(mnt, "a")
	var mu sync.Mutex // the kernel's order of things is none that the race detector knows
	var all []string
	f.Hook(func(op Op, p Phase) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, fmt.Sprint(p, " ", op.Kind, " ", op.Path))
		return nil
	})
	write(t, name, []byte("12345678"), 0, true)
	mu.Lock()
	seen := slices.Clone(all)
	mu.Unlock()
	if len(seen) < 9 || seen[0] != "before create a" || seen[len(seen)-1] != "after sync a" {
		t.Errorf("seen %q", seen)
	}
	for _, c := range []struct {
		phase Phase
		want  string
	}{{Before, "12345678"}, {Half, "abcd5678"}, {After, "abcdefgh"}} {
		f.Hook(func(op Op, p Phase) error {
			if p == c.phase && op.Kind == "write" {
				return syscall.EIO
			}
			return nil
		})
		h, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		_, err = h.WriteAt([]byte("abcdefgh"), 0)
		if (err != nil) != (c.phase != After) {
			t.Errorf("%v: %v", c.phase, err)
		}
		h.Close()
		if b, _ := os.ReadFile(name); string(b) != c.want {
			t.Errorf("%v: %q", c.phase, b)
		}
	}
}

// A second cut, after a new mount, knows what a rename replaced as the first did: the
// name is never without a file.
func TestCutAgain(t *testing.T) {
	for seed := range uint64(10) {
		dir := t.TempDir()
		for n := range 3 {
			f, mnt := mount(t, dir)
			name := filepath.Join(mnt, "name")
			if n == 0 {
				write(t, name, []byte("first"), 0, true)
				syncDir(t, mnt)
			}
			write(t, filepath.Join(mnt, "temp"), []byte("next"), 0, true)
			must(t, os.Rename(filepath.Join(mnt, "temp"), name))
			f.Cut()
			must(t, f.Unmount())
			must(t, f.Restore(rand.New(rand.NewPCG(seed, uint64(n)))))
			if _, err := os.Stat(filepath.Join(dir, "disk", "name")); err != nil {
				t.Fatalf("seed %d, cut %d: %v", seed, n, err)
			}
		}
	}
}
