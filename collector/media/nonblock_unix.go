//go:build unix

package media

import "syscall"

// nonblock keeps a FIFO in a file's place from making the open wait for a writer.
const nonblock = syscall.O_NONBLOCK
