//go:build !windows

package server

import (
	"errors"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"
)

// isFull says whether the error is that the disk, or its owner's share, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, sqlite3.FULL)
}

// maxConns is how many connections are held open at once: as many as can be, with as
// many files left for the archive itself.
func maxConns() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return mostConns
	}
	return int(min(mostConns, uint64(l.Cur)/2))
}
