//go:build unix

package sqlcipher

import (
	"io/fs"
	"os"
	"syscall"
)

// openShared opens a file for reading. No lock is taken, and a FIFO in a
// database's place does not make the open wait for a writer.
func openShared(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func statShared(path string) (fs.FileInfo, error) { return os.Stat(path) }
