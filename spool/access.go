package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
)

// update runs fn in a transaction that writes and, when that is durable, after, which
// brings memory up to it. Nothing takes the file away in between.
//
// Errors of fn are returned as they are. A failure to write wraps ErrDisk, and the
// file is opened anew before it is used again.
func (s *Spool) update(fn func(*bbolt.Tx) error, after func()) error {
	if err := s.ready(); err != nil {
		return err
	}
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return s.failed(errGone)
	}
	if err := s.present(); err != nil {
		return s.failed(err)
	}
	var refused error
	err := guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			listFree(tx)
			refused = fn(tx)
			return refused
		})
	})
	if err == nil {
		after()
		s.worked()
		return nil
	}
	if err == refused && !errors.Is(err, ErrDamaged) {
		return err
	}
	return s.failed(err)
}

// view runs fn in a transaction that only reads.
func (s *Spool) view(fn func(*bbolt.Tx) error) error {
	if err := s.ready(); err != nil {
		return err
	}
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return s.failed(errGone)
	}
	err := guard(func() error { return s.db.View(fn) })
	if errors.Is(err, ErrDamaged) {
		return s.failed(err)
	}
	return err
}

var errGone = errors.New("the file is not open")

// present reports whether the path still leads to the open file. Writing on into a
// file that has been removed would succeed and keep nothing.
func (s *Spool) present() error {
	now, err := os.Stat(s.path)
	if err == nil && !os.SameFile(now, s.file) {
		return damaged("the file has been replaced")
	}
	return s.ifRemoved(err)
}

// ifRemoved tells a file that was removed from a disk that is away with its folder.
func (s *Spool) ifRemoved(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if _, dir := os.Stat(filepath.Dir(s.path)); dir == nil {
			return damaged("the file has been removed")
		}
	}
	return err
}

// guard turns a panic into damage, also one that the system raises because a mapped
// page cannot be read. bbolt panics on pages that are not as it wrote them.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged("%v", r)
		}
	}()
	return fn()
}

// asDisk marks an error of the system as one that may pass.
func asDisk(err error) error {
	for _, known := range []error{ErrLocked, ErrNewer, ErrDamaged, ErrDisk} {
		if err == nil || errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrDisk, err)
}

// failed notes what a failure means for the file, and returns it.
func (s *Spool) failed(err error) error {
	err = asDisk(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !errors.Is(err, ErrDamaged):
		s.suspect, s.trouble = err, err
	case s.damage == nil:
		s.damage = err
		s.opts.Logger.Error("spool is damaged and will be healed when it is opened anew", "cause", err)
		// Opening reads no whole batch, so it would not find what reading one has.
		if err := durable.WriteFile(s.path+suspectSuffix, []byte(err.Error()), 0o600); err != nil {
			s.opts.Logger.Warn("what is damaged could not be noted", "err", err)
		}
	}
	s.judge()
	return err
}

// suspectSuffix ends the name of the file that says why the spool must be salvaged
// when it is opened next, even if its structure is sound.
const suspectSuffix = ".suspect"

// suspected is what that file says, nil when there is none.
func suspected(path string) (known, err error) {
	cause, err := os.ReadFile(path + suspectSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return damaged("%s", strings.TrimPrefix(string(cause), ErrDamaged.Error()+": ")), nil
}

// worked notes that the disk took a write.
func (s *Spool) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil && s.suspect == nil {
		s.trouble = nil
		s.judge()
	}
}

// ready opens the file anew when the last use of it failed.
func (s *Spool) ready() error {
	s.mu.Lock()
	damage, suspect := s.damage, s.suspect
	s.mu.Unlock()
	if damage != nil || suspect == nil {
		return damage
	}
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.mu.Lock()
	again, closed := s.suspect != nil, s.closed && s.db == nil
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	if !again {
		return nil
	}
	if err := s.shut(); err != nil {
		s.opts.Logger.Debug("spool's file could not be closed", "err", err)
	}
	if err := s.ifRemoved(s.open(nil)); err != nil {
		return s.failed(err)
	}
	s.mu.Lock()
	s.suspect = nil
	s.mu.Unlock()
	return nil
}
