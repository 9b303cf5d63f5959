package collector

import (
	"runtime"

	"golang.org/x/sys/windows"
)

var setThreadPriority = windows.NewLazySystemDLL("kernel32.dll").NewProc("SetThreadPriority")

// lowPriority lets other programs of the user come before this goroutine, until done is
// called. Windows' own background mode is not used: it shrinks the working set.
func lowPriority() (done func()) {
	const below, normal = ^uintptr(0), 0 // THREAD_PRIORITY_BELOW_NORMAL is -1
	runtime.LockOSThread()
	_, _, _ = setThreadPriority.Call(uintptr(windows.CurrentThread()), below)
	return func() {
		_, _, _ = setThreadPriority.Call(uintptr(windows.CurrentThread()), normal)
		runtime.UnlockOSThread()
	}
}
