//go:build unix

package discover

import (
	"os"
	"syscall"
)

// sameOwner says whether both belong to the same user, who is not the system's.
func sameOwner(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	if err != nil || err2 != nil {
		return false
	}
	of, ok := x.Sys().(*syscall.Stat_t)
	other, ok2 := y.Sys().(*syscall.Stat_t)
	return ok && ok2 && of.Uid == other.Uid && of.Uid != 0
}
