package spool

import (
	"errors"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
)

// shrinkFrom is the size below which a file is left alone.
const shrinkFrom = 8 << 20

// shrink rewrites a file of which at most a quarter is in use, which bbolt never makes
// smaller. Each rewriting copies at most a third of what has been freed since the last.
// It runs in the committer, so nothing is appended meanwhile; Peek and Ack wait.
//
// The copy is complete and synced under another name before it takes the place of
// the old file in one rename, so a crash leaves one of two files with the same
// cursors, heads and batches.
func (s *Spool) shrink() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.mu.Lock()
	pending, sound := s.pending, s.damage == nil && s.suspect == nil
	s.mu.Unlock()
	if !sound || s.db == nil {
		return nil
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Size() < shrinkFrom || pending*4 > info.Size() {
		return err
	}
	if free, err := freeBytes(filepath.Dir(s.path)); err == nil && free < 2*pending {
		return nil // a copy would take what is needed for appends
	}
	smaller, err := scratch(s.path)
	if err != nil {
		return err
	}
	smaller.NoSync = true // once at the end
	err = guard(func() error { return bbolt.Compact(smaller, s.db, 1<<20) })
	smaller.NoFreelistSync = false
	err = errors.Join(err, smaller.Update(func(*bbolt.Tx) error { return nil }), smaller.Sync(), smaller.Close())
	if err != nil {
		os.Remove(s.path + newSuffix)
		if errors.Is(err, ErrDamaged) {
			return s.failed(err)
		}
		return err
	}
	// The old file is closed before the rename because Windows renames over no open file.
	reached()
	err = s.shut()
	reached()
	err = errors.Join(err, os.Rename(s.path+newSuffix, s.path), durable.SyncDir(filepath.Dir(s.path)))
	reached()
	if opened := s.open(nil); opened != nil {
		return s.failed(errors.Join(opened, err))
	}
	return err
}
