// Package uploader brings sealed batches to the archive and lets go of them when,
// and only when, the archive's receipt for them verifies.
//
// # Contract
//
// Each lane has one goroutine and one request under way at most, so batches of a
// lane arrive in order and a video never delays a text. A batch leaves the queue
// through AckAll alone, on a receipt that verifies under the pinned archive's key
// and covers exactly that batch. Every other answer, whatever its status, deletes
// nothing: it becomes a named [State], and the uploader asks again, for ever, with
// exponential back-off and full jitter. A resent batch is harmless, because
// appending is idempotent by device, lane, sequence number and hash.
//
// # Awkward cases
//
//   - A lost answer: the archive keeps batches that the queue still holds. They
//     are sent again and the archive repeats its receipts.
//   - A captive portal, a proxy's page, another server: [StateNotArchive]. Redirects
//     are not followed, for a portal's redirect ends in a 200 of the portal's.
//   - The device's clock is wrong: the archive says so, the uploader takes the
//     offset from the answer's Date and asks again at once, once.
//   - The archive's head is not where this queue's chain is: a restored or cloned
//     device or archive. The queue goes on behind that head, so both histories are
//     kept; [StateFork] when even that is refused.
//   - Too large for something on the way: the request is halved, and stays so.
//   - Nothing but failures: after a few, a request without a body asks first whether
//     the archive answers again, so that a broken link is not fed megabytes.
//   - Another network, or the end of a sleep: [Uploader.Wake] ends the pauses that
//     failing to get through has brought on.
//   - A batch that the archive refuses for good, alone and again for minutes: it is
//     set aside, and the lane goes on behind it.
//   - A lane of greater urgency has something to deliver: the others wait.
//
// # Trust
//
// The archive is trusted to keep what it gives a receipt for, and nothing else on
// the way is trusted with anything but delay. What others write into an answer
// enters states and logs only shortened and without control characters.
package uploader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/seal"
)

// Queue is what the uploader needs of the spool. Its methods are called
// concurrently for different lanes.
type Queue interface {
	// Peek returns the lane's oldest batches in order, at least one if there is any
	// and otherwise about maxBytes of them. It removes nothing.
	Peek(lane seal.Lane, maxBytes int) ([]*seal.Batch, error)
	// Restart returns what must be sent before the batch with that number, nil when it
	// follows the one before it. Of the batches of one Peek only the first has any.
	Restart(lane seal.Lane, seq uint64) (*seal.Restart, error)
	// AckAll verifies receipts and durably lets go of the batches they cover, all or
	// none. A batch that has gone already is harmless.
	AckAll(receipts [][]byte) ([]*seal.Receipt, error)
	// Rechain makes the lane go on behind the archive's last batch, which is not in the
	// lane's chain, and says whether that changes what is to be sent.
	Rechain(lane seal.Lane, seq uint64, hash seal.Hash) (bool, error)
	// Head returns the last batch ever appended to the lane, sequence number 0 when
	// there has been none.
	Head(lane seal.Lane) (seq uint64, hash seal.Hash)
	// Wait returns a channel that is closed at the next append to the lane.
	Wait(lane seal.Lane) <-chan struct{}
}

// Options are an uploader's choices.
type Options struct {
	Queue    Queue
	Archive  *seal.Archive  // whose receipts count
	Identity *seal.Identity // signs the request tokens
	Remote   *Remote        // where the archive is

	Lanes        []seal.Lane      // the most urgent first; nil means messages and media
	RequestBytes int              // batches of about this many bytes in one request; 0 means 4 MiB
	RetryFirst   time.Duration    // first back-off at most; 0 means 500 ms
	RetryMax     time.Duration    // longest back-off; 0 means 5 min
	Logger       *slog.Logger     // nil discards
	Now          func() time.Time // nil means time.Now

	// OnBehalf is the device that made the queue's batches, when that is not Identity's.
	OnBehalf seal.DeviceID

	// Suspect is called, if set, when an answer was not the archive's as far as its
	// keys are known here: they may have changed. It must not block.
	Suspect func()

	// Quarantine is called, if set, when the archive refuses the lane's oldest batch for
	// good. It sets the batch aside; without it the batch stays where it is, and the lane
	// with it.
	Quarantine func(lane seal.Lane, seq uint64, reason string) error

	// Forked is called, if set, when a lane goes on behind a head of the archive's that
	// was not in its chain. It must not block.
	Forked func()
}

// Uploader delivers a queue's batches. Make one with New.
type Uploader struct {
	opts   Options
	log    *slog.Logger
	lanes  []*lane
	offset atomic.Int64 // nanoseconds that the archive's clock is ahead of ours
}

// New makes an uploader; Run starts it.
func New(o Options) (*Uploader, error) {
	if o.Queue == nil || o.Archive == nil || o.Identity == nil || o.Remote == nil {
		return nil, errors.New("new uploader: it needs a queue, an archive, an identity and a remote")
	}
	if o.Lanes == nil {
		o.Lanes = []seal.Lane{seal.Messages, seal.Media}
	}
	o.RequestBytes = cmp.Or(o.RequestBytes, 4<<20)
	o.RetryFirst = cmp.Or(o.RetryFirst, 500*time.Millisecond)
	o.RetryMax = cmp.Or(o.RetryMax, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Suspect == nil {
		o.Suspect = func() {}
	}
	if o.Forked == nil {
		o.Forked = func() {}
	}
	u := &Uploader{opts: o, log: o.Logger}
	for _, id := range o.Lanes {
		u.lanes = append(u.lanes, newLane(u, id))
	}
	return u, nil
}

// now is the archive's clock as far as it is known.
func (u *Uploader) now() time.Time { return u.opts.Now().Add(time.Duration(u.offset.Load())) }

// Run delivers until the context ends, whose error it then returns. Any other
// error is the queue's: delivery cannot go on.
func (u *Uploader) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range u.lanes {
		g.Go(func() error { return l.run(ctx) })
	}
	return g.Wait()
}

// ErrUndelivered reports that Drain left batches in the queue; the error says in
// which state.
var ErrUndelivered = errors.New("not everything is delivered")

// drainAttempts is how often Drain tries a lane that makes no progress.
const drainAttempts = 4

// Drain delivers what is in the queue and returns nil once it is empty. It gives up
// with ErrUndelivered when the context ends, at once where waiting cannot help, and
// otherwise after a few attempts. It must not be called while Run runs.
func (u *Uploader) Drain(ctx context.Context) error {
	errs := make([]error, len(u.lanes))
	var wg sync.WaitGroup
	for i, l := range u.lanes {
		wg.Go(func() { errs[i] = l.drain(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Status returns the state of delivery as of now.
func (u *Uploader) Status() Status {
	var s Status
	for _, l := range u.lanes {
		ls := l.snapshot()
		s.Lanes = append(s.Lanes, ls)
		if len(s.Lanes) == 1 || ls.State.rank() > s.State.rank() {
			s.State, s.Since, s.Err = ls.State, ls.Since, ls.Err
		}
		if ls.LastReceipt.After(s.LastReceipt) {
			s.LastReceipt = ls.LastReceipt
		}
	}
	return s
}

// Wake makes lanes that wait for a network try again now: the device has another
// network, or woke from sleep. A pause that the archive asked for is kept.
func (u *Uploader) Wake() {
	for _, l := range u.lanes {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// urgent says whether a lane that comes before l has batches to deliver and gets on
// with it: a video must not slow a text down.
func (u *Uploader) urgent(l *lane) bool {
	for _, before := range u.lanes {
		if before == l {
			return false
		}
		if before.pending.Load() && before.snapshot().State.OK() {
			return true
		}
	}
	return false
}

func errUndelivered(id seal.Lane, s State, cause string) error {
	if cause == "" {
		return fmt.Errorf("%s: %w", id, ErrUndelivered)
	}
	return fmt.Errorf("%s: %w: %s: %s", id, ErrUndelivered, s, cause)
}
