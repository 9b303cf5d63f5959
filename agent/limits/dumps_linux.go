package limits

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// NoDumps keeps what is in this process's memory, which is messages in flight and keys,
// out of files that a crash would leave, and from other processes of the same user. What
// Go prints of a crash are functions and addresses, never what stands there.
//
// A size of 0 keeps core files from being written. A core_pattern that is a program gets
// one in spite of it, of any process that may be dumped, so this one says that it may not.
func NoDumps() error {
	var errs []error
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		errs = append(errs, fmt.Errorf("limit of core files: %w", err))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("not to be dumped: %w", err))
	}
	return errors.Join(errs...)
}
