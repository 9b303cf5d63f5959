//go:build windows

package sqlcipher

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openShared opens a file for reading and lets everybody else go on to read,
// write, rename and delete it; os.Open would refuse the last two.
func openShared(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// statShared goes through openShared: the file index that os.SameFile compares is
// then taken from the file itself and at once, not by name and later.
func statShared(path string) (fs.FileInfo, error) {
	f, err := openShared(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}
