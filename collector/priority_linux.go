package collector

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// niceness of the threads that read history: other programs of the user come first. It
// is a mild one, because what is new waits for the piece of history that is being read.
const niceness = 4

// lowPriority gives the goroutine a thread of its own that yields to other programs. It
// costs no right and is for good, so the thread ends with the goroutine.
func lowPriority() (done func()) {
	runtime.LockOSThread()
	// Both are courtesies: the pace is what holds.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness)
	const bestEffortLast = 2<<13 | 7 // IOPRIO_CLASS_BE, the last of its levels
	const whoProcess = 1
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(unix.Gettid()), bestEffortLast)
	return func() {} // not unlocked: see above
}
