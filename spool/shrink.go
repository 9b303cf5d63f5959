package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
)

// shrinkFrom is the size below which a drained file is left alone.
const shrinkFrom = 8 << 20

// shrink rewrites a drained file, which bbolt never makes smaller. It runs in the
// committer, so nothing is appended meanwhile; Peek and Ack wait for the change of
// files only.
//
// The copy is complete and synced under another name before it takes the place of
// the old file in one rename, so a crash leaves one of two files with the same
// cursors, heads and batches.
func (s *Spool) shrink() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.mu.Lock()
	pending := s.pending
	s.mu.Unlock()
	info, err := os.Stat(s.path)
	if err != nil || pending > 0 || info.Size() < shrinkFrom {
		return err
	}
	temp := s.path + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	smaller, err := openFile(temp)
	if err != nil {
		return err
	}
	if err := errors.Join(bbolt.Compact(smaller, s.db, 1<<20), smaller.Close()); err != nil {
		os.Remove(temp)
		return err
	}
	// The old file is closed before the rename because Windows renames over no open file.
	if err := s.db.Close(); err != nil {
		return err
	}
	renamed := os.Rename(temp, s.path)
	synced := durable.SyncDir(filepath.Dir(s.path))
	db, err := openFile(s.path)
	if err != nil {
		// Nothing can be appended or sent any more; the agent stops and opens it anew.
		return fmt.Errorf("spool is lost to this process: %w", errors.Join(renamed, synced, err))
	}
	s.db = db
	return errors.Join(renamed, synced)
}
