// Package archive is the reference archive: it takes sealed batches from enrolled
// devices, keeps them unchanged, puts their hashes into a transparency log and
// answers with signed receipts. Everything is in one folder:
//
//	archive.json   the key document, whose hash is the ARCHIVEKEY
//	succession.json  every key document so far, once there is a second
//	keys/          the private keys: recipients, receipts, log (0600)
//	batches/       what was delivered, and the receipts given; see package store
//	log/           the transparency log, see package tlog
//	state.db       devices and enrolment tokens, see package registry
//	index.db       what records are looked up in, see package index; made from batches/
//	health.db      what devices say of their health, see package heartbeats
//	lock           held by the one process that writes
//
// # What a receipt promises
//
// A receipt is given only for a batch that its device signed and that follows the
// lane's head, once the batch, its entry in the log and the receipt itself are on
// the disk. A batch whose content can't be read is kept and receipted all the
// same: the device has done its part, and `verify` reports the fault.
//
// Appending is idempotent. A batch that is kept already gets the same receipt
// again, to the byte. A crash between any two steps leaves a state from which
// Open, or the next request for the lane, goes on; see commit.
//
// # Trust
//
// Whoever reads the folder without keys/ learns what batches say in clear.
// Whoever holds keys/ can read everything and write another history; nothing here
// protects an archive from its own administrator but the receipts that devices
// were given and the log's checkpoints that others have seen. Without
// keys/recipient*.pem the archive is blind: it stores and receipts but can't read.
//
// # Concurrency
//
// Appends to one lane happen one after the other, others in parallel. One process
// has an archive open for writing, others may read: [Export], [Devices] and
// package audit.
package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tidemark/archive/content"
	"tidemark/archive/heartbeats"
	"tidemark/archive/index"
	"tidemark/archive/internal/filelock"
	"tidemark/archive/registry"
	"tidemark/archive/store"
	"tidemark/archive/tlog"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// The errors that callers tell apart.
var (
	// ErrRefused marks a batch that will never be taken: it is not of the device or
	// lane it was sent for, or its signature does not verify.
	ErrRefused = errors.New("batch is refused")
	// ErrStopped reports that the archive no longer knows what is on its disk and
	// must be opened again, which finds out; or that it is closed.
	ErrStopped = errors.New("archive has stopped")
	// ErrLogShort reports a log that lacks entries for which receipts were given.
	ErrLogShort = errors.New("log is shorter than the receipts that were given")
)

// ErrOlder reports batches or receipts that are an older copy than the index.
var ErrOlder = errors.New("batches are older than the index")

// ErrHeld reports that another process has the archive open for writing.
var ErrHeld = filelock.ErrHeld

// HeadError reports batches that do not follow the lane's head.
type HeadError struct{ Head protocol.Head }

func (e *HeadError) Error() string {
	return fmt.Sprintf("batch does not follow the lane's head %d", e.Head.Seq)
}

// Options are an archive's choices; the zero value is ready for use.
type Options struct {
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // the archive's clock; nil is time.Now
}

// Archive is open for writing. Its methods may be called concurrently.
type Archive struct {
	folder   Folder
	keys     *Keys
	store    *store.Store
	log      *tlog.Log
	index    *index.Index
	registry *registry.Registry
	beats    *heartbeats.Store
	opener   *content.Opener
	lock     *filelock.Lock
	logger   *slog.Logger
	now      func() time.Time
	hook     hook

	mu       sync.Mutex
	lanes    map[store.Lane]*lane // never shrinks
	stopped  chan struct{}        // closed, under mu, when the archive takes no more
	trouble  error                // of the write that failed last; nil when all is well
	failures int                  // how often trouble was set
	mending  sync.WaitGroup       // mend, when it runs
}

// hook is called before and after each step of commit, with what the step is;
// tests fail or end the process there.
type hook func(step string, landed bool) error

// Open opens the archive in the folder for writing, and brings to an end what a
// crash interrupted. It wraps ErrNoArchive, ErrHeld when another process
// has it open, and tlog.ErrUnsupported on Windows.
func Open(ctx context.Context, dir string, o Options) (*Archive, error) {
	return open(ctx, dir, o, nil)
}

func open(ctx context.Context, dir string, o Options, h hook) (a *Archive, err error) {
	f := Folder(dir)
	keys, err := f.LoadKeys()
	if err != nil {
		return nil, err
	}
	a = &Archive{
		folder: f, keys: keys, store: store.New(f.Batches()), opener: content.NewOpener(keys.Recipients...),
		logger: o.Logger, now: o.Now, hook: h, lanes: map[store.Lane]*lane{}, stopped: make(chan struct{}),
	}
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	defer func() {
		if err != nil {
			a.close(context.WithoutCancel(ctx))
			a, err = nil, fmt.Errorf("open archive: %w", err)
		}
	}()
	if keys.Receipts == nil || keys.Log == nil {
		return a, fmt.Errorf("%w: the private keys for receipts and log are needed to write", ErrNoArchive)
	}
	if a.lock, err = takeLock(ctx, f.Lock()); err != nil {
		return a, err
	}
	if a.registry, err = f.OpenRegistry(); err != nil {
		return a, err
	}
	if a.beats, err = heartbeats.Open(f.Heartbeats(), func(err error) {
		a.logger.Warn("the last heartbeats are damaged and are collected anew", "err", err)
	}); err != nil {
		return a, err
	}
	if a.log, err = tlog.Open(ctx, f.Log(), keys.Log, keys.LogKey); err != nil {
		return a, err
	}
	if a.index, err = index.Open(f.Index()); err != nil {
		return a, err
	}
	if err = a.recoverAll(ctx); err != nil {
		return a, err
	}
	return a, nil
}

// OpenRegistry opens the devices and tokens of an archive. It wraps registry.ErrMissing:
// one that was made anew would turn every device away.
func (f Folder) OpenRegistry() (*registry.Registry, error) {
	if _, err := os.Stat(f.Registry()); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = registry.ErrMissing
		}
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return registry.Open(f.Registry())
}

// takeLock gives a lock that is held a moment: verify takes it to see whether a
// server runs.
func takeLock(ctx context.Context, name string) (l *filelock.Lock, err error) {
	for range 5 {
		if l, err = filelock.Take(name); !errors.Is(err, ErrHeld) {
			return l, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// How long Close waits for the log's last checkpoint. The next Open makes one that
// is missing.
const (
	closeTime       = time.Minute
	closeTimeFailed = 2 * time.Second
)

// Close ends the archive's work in good order: the log's last checkpoint covers
// all that was received.
func (a *Archive) Close() error {
	// An append that is under way holds its lane; it may finish.
	a.mu.Lock()
	lanes := make([]*lane, 0, len(a.lanes))
	for _, l := range a.lanes {
		lanes = append(lanes, l)
	}
	a.mu.Unlock()
	for _, l := range lanes {
		l.acquire(context.Background())
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if a.hasStopped() || a.Trouble() != nil { // the disk may never take the checkpoint
		ctx, cancel = context.WithTimeout(ctx, closeTimeFailed)
		defer cancel()
	}
	a.end()
	a.mending.Wait()
	if err := a.close(ctx); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return nil
}

func (a *Archive) close(ctx context.Context) error {
	var errs []error
	if a.log != nil {
		errs = append(errs, a.log.Close(ctx))
	}
	if a.index != nil {
		errs = append(errs, a.index.Close())
	}
	if a.registry != nil {
		errs = append(errs, a.registry.Close())
	}
	if a.beats != nil {
		errs = append(errs, a.beats.Close())
	}
	if a.lock != nil { // last: the next process must find all the rest closed
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// Key returns the ARCHIVEKEY.
func (a *Archive) Key() seal.ArchiveKey { return a.keys.Archive.Key }

// Name returns the archive's name.
func (a *Archive) Name() string { return a.keys.Archive.Name() }

// Document returns the key document's exact bytes.
func (a *Archive) Document() []byte { return a.keys.Document }

// Succession returns every key document that the archive has had, the first first.
func (a *Archive) Succession() []seal.Link { return a.keys.Chain }

// Registry returns the devices and tokens.
func (a *Archive) Registry() *registry.Registry { return a.registry }

// Heartbeats returns what devices say of their health.
func (a *Archive) Heartbeats() *heartbeats.Store { return a.beats }

// Heartbeat keeps what a device says of its health, and what it says of itself in the
// list of devices: a renamed one is known by its new name.
func (a *Archive) Heartbeat(device seal.DeviceID, h *protocol.Heartbeat) (protocol.HeartbeatAnswer, error) {
	now := a.now()
	if err := a.beats.Keep(device, h, now); err != nil {
		return protocol.HeartbeatAnswer{}, err
	}
	m := h.Machine
	err := a.registry.Describe(device, m.Hostname, m.OS, m.Arch, h.Version)
	return protocol.HeartbeatAnswer{Received: now.UTC().Truncate(time.Millisecond)}, err
}

// Now is the archive's clock.
func (a *Archive) Now() time.Time { return a.now() }

// Stopped is closed when the archive takes no more: after Close, or a failed sync.
func (a *Archive) Stopped() <-chan struct{} { return a.stopped }

func (a *Archive) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.hasStopped() {
		close(a.stopped)
	}
}

func (a *Archive) hasStopped() bool {
	select {
	case <-a.stopped:
		return true
	default:
		return false
	}
}

// Head returns the last batch of a lane that the archive keeps.
func (a *Archive) Head(ctx context.Context, id store.Lane) (protocol.Head, error) {
	if a.hasStopped() {
		return protocol.Head{}, ErrStopped
	}
	l := a.lane(id)
	if err := l.acquire(ctx); err != nil {
		return protocol.Head{}, err
	}
	defer l.release()
	if err := a.ready(ctx, l); err != nil {
		return protocol.Head{}, err
	}
	return l.head(), nil
}

// lane is one chain and what the archive knows of its end.
type lane struct {
	id   store.Lane
	sem  chan struct{} // holds one token while the lane is in use; it guards the rest
	seq  uint64        // of the last batch that is kept, logged, receipted and indexed
	hash seal.Hash
	// settled is false when a step failed, or none was made yet: what is stored may
	// be ahead of seq, and recovery must find out before anything else happens.
	settled bool
}

func (a *Archive) lane(id store.Lane) *lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lanes[id]
	if l == nil {
		l = &lane{id: id, sem: make(chan struct{}, 1)}
		a.lanes[id] = l
	}
	return l
}

func (l *lane) acquire(ctx context.Context) error {
	select {
	case l.sem <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lane) release() { <-l.sem }

func (l *lane) head() protocol.Head {
	if l.seq == 0 {
		return protocol.Head{}
	}
	return protocol.Head{Seq: l.seq, Hash: l.hash.String()}
}

// ready settles a lane that a failed step left open. The lane is held.
func (a *Archive) ready(ctx context.Context, l *lane) error {
	if a.hasStopped() {
		return ErrStopped
	}
	if l.settled {
		return nil
	}
	if err := a.recover(context.WithoutCancel(ctx), l); err != nil {
		return fmt.Errorf("recover lane %s: %w", l.id, a.failed(err))
	}
	return nil
}

// Folder is an archive's folder and names what is in it.
type Folder string

func (f Folder) join(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}

// The parts of an archive's folder.
func (f Folder) Document() string   { return f.join("archive.json") }
func (f Folder) Succession() string { return f.join("succession.json") }
func (f Folder) Keys() string       { return f.join("keys") }
func (f Folder) Batches() string    { return f.join("batches") }
func (f Folder) Log() string        { return f.join("log") }
func (f Folder) Registry() string   { return f.join("state.db") }
func (f Folder) Index() string      { return f.join("index.db") }
func (f Folder) Heartbeats() string { return f.join("health.db") }
func (f Folder) Lock() string       { return f.join("lock") }
