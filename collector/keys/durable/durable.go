// Package durable writes small files so that a crash or a power cut leaves either
// the old content or the new one, whole.
//
// The system calls of a good write, in order: create a temporary file in the same
// folder, write, fsync, close, rename over the name, fsync the folder. Without the
// first fsync the name can outlive the content; without the second, the content the
// name. Windows has no fsync of a folder; NTFS journals the rename.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path by data, with the permissions perm from the
// first byte on. On Windows permissions come from the folder.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp") // made with 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", base, err)
	}
	temp := f.Name()
	err = func() error {
		if err := f.Chmod(perm); err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
		return f.Sync()
	}()
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("write %s: %w", base, err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("write %s: sync folder: %w", base, err)
	}
	return nil
}
