//go:build unix

package disclosure

import (
	"io/fs"
	"os"
	"syscall"
)

// sameOwner says whether the file is of the user whose profile is at home. Another
// user may be able to put a file there, and cannot make it look like the owner's.
func sameOwner(info fs.FileInfo, home string) bool {
	of, err := os.Stat(home)
	if err != nil {
		return false
	}
	a, ok := info.Sys().(*syscall.Stat_t)
	b, ok2 := of.Sys().(*syscall.Stat_t)
	return ok && ok2 && a.Uid == b.Uid
}
