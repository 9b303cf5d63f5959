package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

var werAddExcludedApplication = windows.NewLazySystemDLL("wer.dll").NewProc("WerAddExcludedApplication")

// NoDumps takes this program out of Windows Error Reporting, for its user, and has the
// system show and write nothing of a fault: what is in memory is messages in flight and
// keys. What Go prints of a crash are functions and addresses, never what stands there.
func NoDumps() error {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX | windows.SEM_NOOPENFILEERRORBOX)
	if err := werAddExcludedApplication.Find(); err != nil {
		return nil // an edition without error reporting
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(filepath.Base(path))
	if err != nil {
		return err
	}
	if r, _, _ := werAddExcludedApplication.Call(uintptr(unsafe.Pointer(name)), 0); r != 0 {
		return fmt.Errorf("exclusion from error reports: 0x%08x", uint32(r))
	}
	return nil
}
