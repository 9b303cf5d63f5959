// Package durable writes files that are there after a power cut, and whole.
//
// The system calls of a good write, in order: create a temporary file in the same
// folder, write, fsync, close, rename over the name, fsync the folder. Without the
// first fsync the name can outlive the content; without the second, the content the
// name. Windows has no fsync of a folder; NTFS journals the rename.
//
// After a failed sync nobody knows what reached the disk, and reading the file back
// proves nothing: such errors wrap [ErrSync], and whoever gets one must stop and let
// the next start find out.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// ErrSync reports that the system could not say whether bytes reached the disk.
var ErrSync = errors.New("sync failed")

// tempSuffix ends the names of files that are being written. One that is found
// later was never finished and means nothing.
const tempSuffix = ".tmp"

// WriteFile replaces or creates the file, whole or not at all, with the permissions
// perm before the content has its name; on Windows permissions come from the folder.
// Of calls that overlap for one name, in one process or in several, one wins. A
// crash may leave a temporary file in the folder, readable by its owner only.
func WriteFile(name string, data []byte, perm os.FileMode) error {
	dir, base := filepath.Dir(name), filepath.Base(name)
	f, err := os.CreateTemp(dir, "."+base+".*"+tempSuffix) // made with 0600
	if err != nil {
		return named(name, err)
	}
	if err = fill(f, data, perm); err == nil {
		err = rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return named(name, err)
	}
	return named(name, SyncDir(dir))
}

// Place is WriteFile without the folder's sync, for callers that place many files
// and sync the folder once. Calls for one name must not overlap: the temporary
// file has one name too, so that the next call removes what a crash has left.
func Place(name string, data []byte, perm os.FileMode) error {
	return PlaceAll([]File{{name, data}}, perm)
}

// File is a name and what is to stand under it.
type File struct {
	Name string
	Data []byte
}

// atOnce is how many files are written and synced at once: file systems put the syncs
// that wait into one commit of their journal.
const atOnce = 16

// PlaceAll is Place for several files. They get their names in the order given, when
// all are synced, so that a crash or an error leaves the first of them, or none.
func PlaceAll(files []File, perm os.FileMode) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, f := range files {
		g.Go(func() error { return named(f.Name, prepare(f, perm)) })
	}
	err := g.Wait()
	for _, f := range files {
		if err == nil {
			err = named(f.Name, rename(f.Name+tempSuffix, f.Name))
		}
		if err != nil {
			os.Remove(f.Name + tempSuffix)
		}
	}
	return err
}

// named says of an error which file it is about.
func named(name string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

// prepare makes the temporary file of Place.
func prepare(file File, perm os.FileMode) error {
	temp := file.Name + tempSuffix
	// A leftover may be read-only already, so it is removed and not truncated.
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return fill(f, file.Data, perm)
}

// fill writes, syncs and closes the temporary file.
func fill(f *os.File, data []byte, perm os.FileMode) error {
	err := func() error {
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := setMode(f, perm); err != nil {
			return err
		}
		return Sync(f)
	}()
	return errors.Join(err, f.Close())
}

// Sync is f.Sync with its error marked.
func Sync(f *os.File) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

// MkdirAll makes the folder and what is missing above it, and syncs each parent
// that it changed.
func MkdirAll(dir string, perm os.FileMode) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make folder: %s is not a folder", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, perm); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	return SyncDir(parent)
}
