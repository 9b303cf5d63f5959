package demo

import "syscall"

// processAttributes also has the kernel end a program when the demo is killed. The
// signal comes when the thread that started the program ends, and the runtime ends
// threads only with goroutines locked to them, of which there is none here.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
