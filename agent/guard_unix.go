//go:build unix

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// errOpenFolder reports a folder that others may enter.
var errOpenFolder = errors.New("other users may enter it")

// ownFolder checks that the folder is this user's and nobody else's. Root's is taken
// for a service that has a user of its own.
func ownFolder(_ string, info fs.FileInfo) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%w (number %d)", ErrOthersFolder, s.Uid)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return errOpenFolder
	}
	return nil
}

// closeFolder shuts others out.
func closeFolder(dir string) error { return os.Chmod(dir, 0o700) }

// removable checks what Purge deletes.
func removable(dir string, info fs.FileInfo) error { return ownFolder(dir, info) }
