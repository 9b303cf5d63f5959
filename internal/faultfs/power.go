//go:build linux

package faultfs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const block = 4096

// dirtyFile is a file with changes since its last sync.
type dirtyFile struct {
	open   *os.File           // the backing file, whatever its name is now
	blocks map[int64][][]byte // what each block held before each change of it, the oldest first
	sizes  []int64            // before each change of the size
}

// dirtyDir is a folder with changes since its last sync: how to undo each.
type dirtyDir struct{ undo []func() error }

// dirty finds or makes the notes on a backing file.
func (f *FS) dirty(ino uint64, real string) (*dirtyFile, error) {
	if d := f.files[ino]; d != nil {
		return d, nil
	}
	open, err := os.OpenFile(real, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d := &dirtyFile{open: open, blocks: map[int64][][]byte{}}
	f.files[ino] = d
	return d, nil
}

// written notes what a write is about to replace.
func (f *FS) written(st *fuse.AttrOut, real string, off int64, n int) {
	if st == nil || st.Nlink == 0 || n == 0 {
		return // nobody will see it after a cut
	}
	d, err := f.dirty(st.Ino, real)
	if err != nil {
		panic(fmt.Sprintf("faultfs: %v", err)) // a test that cannot follow a write proves nothing
	}
	d.sizes = append(d.sizes, int64(st.Size))
	for b := off / block; b <= (off+int64(n)-1)/block; b++ {
		d.keep(b)
	}
}

func (d *dirtyFile) keep(b int64) {
	old := make([]byte, block)
	n, err := d.open.ReadAt(old, b*block)
	if err != nil && !errors.Is(err, io.EOF) {
		panic(fmt.Sprintf("faultfs: %v", err))
	}
	d.blocks[b] = append(d.blocks[b], old[:n])
}

// resized notes what a truncation is about to replace.
func (f *FS) resized(real string, size int64) {
	var st syscall.Stat_t
	if syscall.Stat(real, &st) != nil {
		return
	}
	d, err := f.dirty(st.Ino, real)
	if err != nil {
		panic(fmt.Sprintf("faultfs: %v", err))
	}
	d.sizes = append(d.sizes, st.Size)
	for b := size / block; b*block < st.Size; b++ {
		d.keep(b)
	}
}

func (f *FS) syncedFile(ino uint64) {
	if d := f.files[ino]; d != nil {
		d.open.Close()
		delete(f.files, ino)
	}
}

func (f *FS) entry(dir string, undo func() error) {
	d := f.dirs[dir]
	if d == nil {
		d = &dirtyDir{}
		f.dirs[dir] = d
	}
	d.undo = append(d.undo, undo)
}

func (f *FS) syncedDir(dir string) { delete(f.dirs, dir) }

func undoCreate(real string) func() error {
	return func() error { return os.RemoveAll(real) }
}

// aside keeps a second name for what is about to lose its own.
func (f *FS) aside(real string) (string, bool) {
	f.trashN++
	kept := filepath.Join(f.trash, fmt.Sprint(f.trashN))
	err := os.Link(real, kept)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		panic(fmt.Sprintf("faultfs: %v", err)) // a cut could not bring it back
	}
	return kept, err == nil
}

func (f *FS) undoRemove(real string) func() error {
	kept, ok := f.aside(real)
	return func() error {
		if !ok {
			return nil
		}
		return os.Rename(kept, real)
	}
}

func (f *FS) undoRename(from, to string) func() error {
	var kept string
	replaced := false
	if exists(to) {
		kept, replaced = f.aside(to)
	}
	return func() error {
		err := os.Rename(to, from)
		if replaced {
			err = errors.Join(err, os.Rename(kept, to))
		}
		return err
	}
}

// Sync makes everything so far durable.
func (f *FS) Sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ino := range f.files {
		f.syncedFile(ino)
	}
	clear(f.dirs)
}

// Cut cuts the power: from now on every change fails. The programs must be killed
// before Restore.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.CutInHook()
}

// CutInHook is Cut for hooks, which hold the lock.
func (f *FS) CutInHook() { f.frozen = true }

// Restore makes the folder what a disk could hold after the cut, as rng decides, and
// takes changes again. The mount must not be in use: its caches still show what was
// before, so whoever reads next must come through a new mount.
func (f *FS) Restore(rng *rand.Rand) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.files {
		if err := d.fall(rng); err != nil {
			return err
		}
		d.open.Close()
	}
	for _, dir := range sortedDirs(f.dirs) {
		undo := f.dirs[dir].undo
		for _, u := range slices.Backward(undo[rng.IntN(len(undo)+1):]) {
			if err := u(); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	clear(f.files)
	clear(f.dirs)
	f.frozen = false
	return nil
}

// fall gives each block one of the contents that it had since the last sync.
func (d *dirtyFile) fall(rng *rand.Rand) error {
	for b, versions := range d.blocks {
		i := rng.IntN(len(versions) + 1)
		if i == len(versions) {
			continue // all of it had landed
		}
		old := make([]byte, block) // shorter ones end where the file did
		copy(old, versions[i])
		info, err := d.open.Stat()
		if err != nil {
			return err
		}
		old = old[:max(0, min(block, info.Size()-b*block))]
		if _, err := d.open.WriteAt(old, b*block); err != nil {
			return err
		}
	}
	if i := rng.IntN(len(d.sizes) + 1); i < len(d.sizes) {
		return d.open.Truncate(d.sizes[i])
	}
	return nil
}

// sortedDirs are the folders, the deepest first: a folder that vanishes takes what is in
// it along.
func sortedDirs(dirs map[string]*dirtyDir) []string {
	var out []string
	for d := range dirs {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b string) int {
		if n := len(b) - len(a); n != 0 {
			return n
		}
		if a < b {
			return -1
		}
		return 1
	})
	return out
}
