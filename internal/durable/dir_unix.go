//go:build !windows

package durable

import (
	"fmt"
	"os"
)

// SyncDir puts the names in the folder on the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer d.Close()
	if err := Sync(d); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

func setMode(f *os.File, perm os.FileMode) error { return f.Chmod(perm) }

func rename(from, to string) error { return os.Rename(from, to) }
