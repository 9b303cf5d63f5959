//go:build unix && !linux

package limits

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NoDumps keeps what is in this process's memory, which is messages in flight and keys,
// out of files that a crash would leave: a size of 0 keeps core files from being written.
// What Go prints of a crash are functions and addresses, never what stands there.
func NoDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limit of core files: %w", err)
	}
	return nil
}
