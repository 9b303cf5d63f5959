// Package filelock is a lock that one process holds on a file and that ends with
// the process, however it ends. The file itself stays: removing it would let two
// processes hold locks on two files of one name.
package filelock

import (
	"errors"
	"fmt"
	"os"
)

// ErrHeld reports that another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock is a lock that is held. Close gives it up.
type Lock struct{ f *os.File }

// Take takes the lock without waiting, or returns ErrHeld. The file is made when
// it is not there.
func Take(name string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take lock: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("take lock %s: %w", name, err)
	}
	return &Lock{f}, nil
}

// Close gives the lock up.
func (l *Lock) Close() error { return l.f.Close() }
