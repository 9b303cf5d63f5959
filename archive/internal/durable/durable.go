// Package durable writes files that are there after a power cut.
//
// A file gets its name only once its bytes are on the disk, and a call returns
// nil only once the name is there too. After a failed sync nobody knows what
// reached the disk, and reading the file back proves nothing: such errors wrap
// [ErrSync], and whoever gets one must stop and let the next start find out.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrSync reports that the system could not say whether bytes reached the disk.
var ErrSync = errors.New("sync failed")

// TempSuffix ends the names of files that are being written. One that is found
// later was never finished and means nothing.
const TempSuffix = ".tmp"

// WriteFile replaces or creates the file, whole or not at all. Two calls for the
// same name must not overlap.
func WriteFile(name string, data []byte, perm os.FileMode) error {
	if err := Place(name, data, perm); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// Place is WriteFile without the folder's sync, for callers that place many files
// and sync the folder once.
func Place(name string, data []byte, perm os.FileMode) (err error) {
	temp := name + TempSuffix
	// A leftover may be read-only already, so it is removed and not truncated.
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("place file: %w", err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("place file: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = Sync(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		return fmt.Errorf("place file: %w", err)
	}
	return nil
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
