//go:build !windows

package server

import (
	"errors"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// isFull says whether the error is that the disk, or its owner's share, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, sqlite3.FULL)
}
