package durable

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// SyncDir does nothing: Windows has no such call, and NTFS journals names.
func SyncDir(string) error { return nil }

// setMode does nothing: permissions come from the folder, and the one attribute that Go
// would set makes a file that cannot be replaced.
func setMode(*os.File, os.FileMode) error { return nil }

// rename replaces a file. Windows refuses it for the moment that somebody else replaces,
// reads or scans that file, so it is tried again for half a second.
func rename(from, to string) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := os.Rename(from, to)
		busy := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
		if !busy || pause > 256*time.Millisecond {
			return err
		}
		time.Sleep(pause)
	}
}
