//go:build !windows

package tlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// Log appends entries. Its methods may be called concurrently.
type Log struct {
	*Reader
	appender *tessera.Appender
	shutdown func(context.Context) error
	cancel   context.CancelFunc
}

// Create makes an empty log in a folder that has none.
func Create(ctx context.Context, dir string, signer note.Signer) error {
	if _, err := os.Stat(filepath.Join(dir, layout.CheckpointPath)); err == nil {
		return fmt.Errorf("create log: %w", os.ErrExist)
	}
	l, err := open(ctx, dir, signer)
	if err != nil {
		return err
	}
	return l.Close(ctx)
}

// Open opens the log for appending. Only one process may do so at a time, which
// the caller sees to. It wraps ErrMissing, and ErrDamaged when its state can't be
// read or its checkpoint is not signed with the key.
func Open(ctx context.Context, dir string, signer note.Signer, key note.Verifier) (*Log, error) {
	// Tessera would make a missing log anew and empty; receipts already given
	// would then name entries that nobody has.
	if _, err := os.Stat(filepath.Join(dir, layout.CheckpointPath)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = ErrMissing
		}
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	// It would also go on from a damaged state or checkpoint, and never sign again.
	if err := NewReader(dir).readable(key); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return open(ctx, dir, signer)
}

func open(ctx context.Context, dir string, signer note.Signer) (*Log, error) {
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	// The log's background work lives until Close, not as long as the call's context.
	lctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(batchSize, batchAge).
		WithCheckpointInterval(checkpointInterval)
	appender, shutdown, _, err := tessera.NewAppender(lctx, driver, options)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return &Log{Reader: NewReader(dir), appender: appender, shutdown: shutdown, cancel: cancel}, nil
}

// Add appends the entries, in their order but perhaps with others between them,
// and returns the index of each once all are durable. After an error some may be
// in the log: look before adding them again.
func (l *Log) Add(ctx context.Context, entries ...[]byte) ([]uint64, error) {
	futures := make([]tessera.IndexFuture, len(entries))
	for i, e := range entries {
		futures[i] = l.appender.Add(ctx, tessera.NewEntry(e))
	}
	indexes := make([]uint64, len(entries))
	var failed error
	for i, f := range futures {
		index, err := f()
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		indexes[i] = index.Index
	}
	if failed != nil {
		return nil, fmt.Errorf("add to log: %w", cause(failed))
	}
	return indexes, nil
}

// cause gives an error of Tessera the system's cause, which Tessera quotes and does
// not wrap.
func cause(err error) error {
	for _, c := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if !errors.Is(err, c) && strings.Contains(err.Error(), c.Error()) {
			return fmt.Errorf("%w (%w)", err, c)
		}
	}
	return err
}

// Close waits until a checkpoint covers all that was added, and stops.
func (l *Log) Close(ctx context.Context) error {
	err := l.shutdown(ctx)
	l.cancel()
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
