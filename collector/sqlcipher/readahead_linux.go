package sqlcipher

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readAhead asks the kernel to read a piece of the file into its cache; nothing is
// copied to this process.
func readAhead(f file, off, n int64) error {
	osf, ok := f.(*os.File)
	if !ok {
		return readThrough(f, off, n)
	}
	raw, err := osf.SyscallConn()
	if err != nil {
		return err
	}
	var advice error
	err = raw.Control(func(fd uintptr) { advice = unix.Fadvise(int(fd), off, n, unix.FADV_WILLNEED) })
	return errors.Join(err, advice)
}
