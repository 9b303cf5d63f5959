package spool

import (
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// letGo tells the system that what was read of the file through its mapping need not stay
// in this process's memory: it is the file's, and read again when it is needed. The
// transaction holds the mapping in place meanwhile.
func letGo(tx *bbolt.Tx) {
	// A failure leaves the pages where they are, as without the call.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}
