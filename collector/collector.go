// Package collector turns WeChat's files into records in the spool.
//
// It finds the accounts on this device, opens consistent snapshots of their live
// databases with the keys it is given, and writes what is new, together with the
// cursors that pass it, in one transaction of the spool. It only ever reads
// below the account folders: no lock is taken, no file is written, and no
// ordinary SQLite connection is opened on the client's databases.
//
// # What a pass does
//
// A pass looks at every account and database once: which exist, which changed,
// which have keys. A database that did not change costs the reading of its WAL's
// header. In one that did, sqlite_sequence tells which conversations grew, and the
// pages written since the last pass tell which of the recently captured rows to
// look at again; so a new message costs the same in a large database as in a small
// one. [Collector.Run] makes a pass when the system reports a change below an
// account and, because such reports are only hints, every Poll in any case.
//
// # History
//
// When much is new, as on the first run, several goroutines read tables in chunks,
// each chunk in a snapshot of its own, and each commits its records with their
// cursors. A crash in the middle goes on from the last commit.
//
// # States
//
// Whatever keeps a database from being read is a named state of that database
// ([State]), becomes an event record when it begins and another when it ends, and
// stands in [Collector.Status]. One database's trouble never stops another's.
package collector

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"tidemark/collector/discover"
	"tidemark/collector/media"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// Keys answers which keys may open an account's databases. Implementations are
// safe for concurrent use; an error means that the source could not be asked,
// not that it has no key.
type Keys interface {
	Keys(ctx context.Context, account string) ([]sqlcipher.Key, error)
}

// Spool is what the collector needs of the spool; see spool.Spool for the promises.
type Spool interface {
	// Append commits records and cursors in one transaction.
	Append(ctx context.Context, lane seal.Lane, records spool.Records, cursors ...spool.Cursor) error
	// Cursor returns the value last committed under the key, or nil.
	Cursor(key string) ([]byte, error)
	// Cursors calls fn for each cursor whose key begins with prefix.
	Cursors(prefix string, fn func(key string, value []byte) error) error
}

// Options are a collector's choices. The first four are required.
type Options struct {
	Device seal.DeviceID
	Secret []byte // 32 bytes of this device, keys the digests in cursors
	Spool  Spool
	Keys   Keys

	Find func() ([]discover.Account, []discover.Problem) // nil means discover.Find with no extra roots
	// ImageKeys answers what an account's pictures are decoded with; nil means nothing.
	// As with Keys, an error means that the source could not be asked.
	ImageKeys func(ctx context.Context, account string) (media.Keys, error)
	Media     MediaRules

	// Held says that nothing of the account may be read yet; it is asked at every pass.
	// nil holds nothing.
	Held func(discover.Account) bool

	Scope   Scope
	History History
	// ScopeChanged is called, if set, when what is captured has been recorded to be
	// configured anew.
	ScopeChanged func()

	Poll    time.Duration // reconciliation; 0 means 10 s
	Workers int           // goroutines that read history; 0 means one more than there are cores
	Chunk   int           // bytes of records that each holds at a time, about; 0 means 12 MiB
	Pace    Pace          // of reading history and files; nil means as fast as it goes
	Logger  *slog.Logger  // nil discards
	Now     func() time.Time
}

// Collector captures. Run and Once must not run at the same time; Status may be
// called at any time.
type Collector struct {
	opts    Options
	log     *slog.Logger
	derived *sqlcipher.KeyCache

	accounts map[string]*account  // by path; owned by the pass
	decoded  func(*record.Record) // benchmarks take records here; nil: they become NDJSON
	began    time.Time            // when capture began, for History.None
	attach   *attachments
	opened   cipher.AEAD // of the cursors of files that are waited for

	mu     sync.Mutex // guards status
	status Status
}

// New returns a collector. It reads nothing yet.
func New(o Options) (*Collector, error) {
	if o.Spool == nil || o.Keys == nil || len(o.Secret) < 32 {
		return nil, errors.New("new collector: it needs a spool, keys and a secret of 32 bytes")
	}
	if err := o.Scope.Validate(); err != nil {
		return nil, fmt.Errorf("new collector: %w", err)
	}
	if o.Find == nil {
		o.Find = func() ([]discover.Account, []discover.Problem) { return discover.Find(nil) }
	}
	if o.Poll <= 0 {
		o.Poll = 10 * time.Second
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 1 // one waits for the spool while the others compute
	}
	if o.Chunk <= 0 {
		o.Chunk = chunkBytes
	}
	if o.Pace == nil {
		o.Pace = unpaced{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Collector{
		opts: o, log: o.Logger, derived: new(sqlcipher.KeyCache), accounts: map[string]*account{},
	}
	c.attach, c.opened = newAttachments(c), c.mediaCipher()
	return c, nil
}

// Status returns how the capture stands.
func (c *Collector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Accounts = append([]AccountStatus{}, s.Accounts...)
	return s
}

// Once makes one pass over everything. Its error is one that stops capture as a
// whole (the spool's, or the context's); what is wrong with a database is in Status.
// It may be called again; Close ends the use of the collector.
func (c *Collector) Once(ctx context.Context) error {
	if err := c.pass(ctx, true); err != nil {
		return err
	}
	err := c.attach.once(ctx)
	for _, a := range c.accounts {
		if serr := a.settleMedia(ctx); serr != nil {
			err = errors.Join(err, serr)
		}
	}
	c.show()
	return err
}

// Run captures until ctx ends and returns nil then. Nothing is under way when it
// returns.
func (c *Collector) Run(ctx context.Context) error {
	defer c.Close()
	var files sync.WaitGroup
	files.Go(func() { c.attach.run(ctx) })
	defer files.Wait()
	w := newWatcher(c.log)
	defer w.close()
	poll := time.NewTicker(c.opts.Poll)
	defer poll.Stop()
	look := true
	for {
		err := c.pass(ctx, look)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, spool.ErrFull) {
			// The spool is the one thing that capture cannot do without; the rows wait in
			// the client's database until it takes them.
			c.log.Error("capture is held up", "err", err)
		}
		if look {
			w.watch(c.folders())
		}
		if err != nil {
			// A change does not help; only time does.
			select {
			case <-ctx.Done():
				return nil
			case <-poll.C:
				look = true
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			look = true
		case look = <-w.changes:
		}
	}
}

// Close lets go of every database. Run does it by itself.
func (c *Collector) Close() {
	for _, a := range c.accounts {
		a.close()
	}
	clear(c.accounts)
	c.attach.close()
}

// folders lists what the watcher should watch.
func (c *Collector) folders() []string {
	var out []string
	for _, a := range c.accounts {
		out = append(out, a.folders()...)
	}
	return out
}

// pass looks at every account once. With look it searches for accounts and for
// databases first; otherwise it goes by those it knows.
func (c *Collector) pass(ctx context.Context, look bool) error {
	if look {
		if err := c.discover(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, a := range c.accounts {
		err := a.pass(ctx, look)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, spool.ErrFull):
			a.note(accountFile, StateSpoolFull, "")
		case err != nil:
			a.note(accountFile, StateFailed, cause(err))
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	c.publish()
	return errors.Join(errs...)
}

// discover brings the accounts up to what stands on the disk.
func (c *Collector) discover(ctx context.Context) error {
	found, problems := c.opts.Find()
	c.mu.Lock()
	c.status.Problems = c.status.Problems[:0:0]
	for _, p := range problems {
		c.status.Problems = append(c.status.Problems, Problem{p.Path, cause(p.Err)})
	}
	c.mu.Unlock()
	if c.began.IsZero() {
		if err := errors.Join(c.begin(ctx), c.recordScope(ctx)); err != nil {
			return err
		}
	}
	present := map[string]bool{}
	for _, d := range found {
		present[d.Path] = true
		if c.accounts[d.Path] != nil {
			continue
		}
		a := newAccount(c, d)
		if err := a.announce(ctx); err != nil {
			return err
		}
		c.accounts[d.Path] = a
		c.log.Info("account found", "source", d.Path)
	}
	for path, a := range c.accounts {
		if !present[path] {
			a.gone = true
		} else {
			a.gone = false
		}
	}
	return nil
}

// begin remembers when capture began on this device.
func (c *Collector) begin(ctx context.Context) error {
	const key = "h"
	b, err := c.opts.Spool.Cursor(key)
	if err != nil {
		return err
	}
	if t, err := time.Parse(time.RFC3339Nano, string(b)); err == nil {
		c.began = t
		return nil
	}
	now := c.opts.Now().UTC()
	if err := c.opts.Spool.Append(ctx, seal.Messages, spool.Records{}, spool.Cursor{Key: key, Value: []byte(now.Format(time.RFC3339Nano))}); err != nil {
		return err
	}
	c.began = now
	return nil
}

// notBefore is the time before which history is out of scope; zero for none.
func (c *Collector) notBefore() int64 {
	switch {
	case c.opts.History.None:
		return c.began.Unix()
	case !c.opts.History.Since.IsZero():
		return c.opts.History.Since.Unix()
	}
	return 0
}

// publish makes the pass's outcome what Status shows.
func (c *Collector) publish() {
	c.show()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.LastPass = c.opts.Now().UTC()
	c.status.Passes++
}

// show makes the accounts as they are what Status shows.
func (c *Collector) show() {
	accounts := make([]AccountStatus, 0, len(c.accounts))
	for _, path := range sortedKeys(c.accounts) {
		accounts = append(accounts, c.accounts[path].status())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Accounts = accounts
}

// now is the time of capture that records carry: milliseconds are enough.
func (c *Collector) now() time.Time { return c.opts.Now().UTC().Truncate(time.Millisecond) }

// emit appends event records together with cursors.
func (c *Collector) emit(ctx context.Context, events []*record.Record, cursors ...spool.Cursor) error {
	var b []byte
	for _, e := range events {
		b = append(e.AppendJSON(b), '\n')
	}
	return c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b, Count: len(events)}, cursors...)
}

// event begins an event record.
func (c *Collector) event(name, severity string) *record.Record {
	return &record.Record{
		V: record.Version, Kind: record.KindEvent, ID: record.NewEventID(), Event: name, Severity: severity,
		Device: c.opts.Device.String(), CapturedAt: c.now(),
	}
}
