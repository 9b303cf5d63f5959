package server

import (
	"errors"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/windows"
)

// isFull says whether the error is that the disk is full.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, sqlite3.FULL)
}

// maxConns is how many connections are held open at once.
func maxConns() int { return mostConns }
