//go:build unix

package agent

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// trustedSocket refuses a socket that another user has put in the agent's place.
func trustedSocket(info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode()&fs.ModeSocket == 0 || !ok || (s.Uid != 0 && int(s.Uid) != os.Geteuid()) {
		return errors.New("it is not a socket of this user's or the system's")
	}
	return nil
}
