package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"tidemark/archive/index"
	"tidemark/archive/registry"
	"tidemark/archive/store"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// MaxAppend is how many new batches one Append takes; the rest must be sent
// again. It bounds the files that one request makes.
const MaxAppend = 256

// Enroll enrols the device that the enrolment proves, with an enrolment token. It
// wraps registry.ErrToken, registry.ErrRevoked and seal.ErrForged.
func (a *Archive) Enroll(token string, e *protocol.Enrollment) (seal.DeviceID, error) {
	if a.hasStopped() {
		return seal.DeviceID{}, ErrStopped
	}
	id, err := protocol.VerifyEnrollment(e, a.Key())
	if err != nil {
		return id, err
	}
	err = a.registry.Enroll(token, id, e, a.now())
	if err != nil && !errors.Is(err, registry.ErrToken) && !errors.Is(err, registry.ErrRevoked) {
		err = a.failed(err)
	}
	if err != nil {
		return id, err
	}
	a.logger.Info("device enrolled", "device", id.String())
	return id, nil
}

// Append adds batches to a lane and returns a signed receipt for each batch that
// is kept now, in their order. There may be fewer than batches; the error is set
// only when there is none. It wraps ErrRefused, ErrStopped, registry.ErrUnknown or
// a *HeadError; after any other error the batches may or may not be kept, and
// sending them again finds out.
//
// A restart lets the batch that it introduces follow the head although batches
// between them are missing. It is kept with that batch.
func (a *Archive) Append(ctx context.Context, id store.Lane, batches []*seal.Batch, restarts ...*seal.Restart) ([][]byte, error) {
	if a.hasStopped() {
		return nil, ErrStopped
	}
	public, err := a.registry.Key(id.Device)
	if err != nil {
		return nil, err
	}
	if public == nil {
		return nil, registry.ErrUnknown
	}
	l := a.lane(id)
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	defer l.release()
	if err := a.ready(ctx, l); err != nil {
		return nil, err
	}
	receipts, fresh, err := a.sort(l, public, batches, restarts)
	if len(fresh) > 0 {
		// From here on a client that hangs up no longer matters.
		more, cerr := a.commit(context.WithoutCancel(ctx), l, fresh, restarts)
		if cerr != nil {
			l.settled = false
			err = a.failed(cerr)
		}
		receipts = append(receipts, more...)
	}
	if len(receipts) == 0 {
		return nil, err
	}
	if err != nil {
		a.logger.Warn("took only the first of the batches", "device", id.Device.String(), "lane", id.Lane.String(),
			"batch", len(receipts), "batches", len(batches), "err", err)
	}
	return receipts, nil
}

// sort checks the batches one after the other. It returns the receipts of those
// that are kept already, then those that follow the head, and what is wrong with
// the first that is neither.
func (a *Archive) sort(l *lane, public ed25519.PublicKey, batches []*seal.Batch, restarts []*seal.Restart) (receipts [][]byte, fresh []*seal.Batch, err error) {
	seq, hash := l.seq, l.hash
	for _, b := range batches {
		if b.Device != l.id.Device || b.Lane != l.id.Lane {
			return receipts, fresh, fmt.Errorf("%w: it is of another device or lane", ErrRefused)
		}
		if err := b.Verify(public); err != nil {
			return receipts, fresh, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		switch {
		case b.Seq <= l.seq && len(fresh) == 0:
			kept, ok, err := a.index.Batch(l.id, b.Seq)
			if err != nil {
				return receipts, fresh, err
			}
			if !ok || kept.Hash != b.Hash() {
				return receipts, fresh, &HeadError{l.head()}
			}
			note, err := a.receipt(b, kept.Log, kept.Received)
			if err != nil {
				return receipts, fresh, err
			}
			receipts = append(receipts, note)
		case b.Seq == seq+1 && b.Previous == hash, introduced(restarts, b, public, seq):
			if len(fresh) == MaxAppend {
				return receipts, fresh, nil
			}
			fresh = append(fresh, b)
			seq, hash = b.Seq, b.Hash()
		default:
			return receipts, fresh, &HeadError{l.head()}
		}
	}
	return receipts, fresh, nil
}

// maxHole bounds how far a restart may jump, so that numbers last.
const maxHole = 1 << 40

// introduced says whether one of the restarts lets the batch follow the number seq.
func introduced(restarts []*seal.Restart, b *seal.Batch, public ed25519.PublicKey, seq uint64) bool {
	return slices.ContainsFunc(restarts, func(r *seal.Restart) bool {
		return b.Seq > seq && b.Seq-seq < maxHole && r.Introduces(b) == nil && r.Verify(public) == nil
	})
}

// receipt signs for a batch. Ed25519 and the form have no freedom in them: the
// same batch, place and time give the same bytes.
func (a *Archive) receipt(b *seal.Batch, place uint64, received time.Time) ([]byte, error) {
	r := seal.Receipt{
		Archive: a.Name(), Device: b.Device, Lane: b.Lane, Seq: b.Seq, Hash: b.Hash(), Log: place, Received: received,
	}
	return r.Sign(a.keys.Receipts)
}

// The steps of commit, for tests.
const (
	stepRestart = "restart"
	stepStore   = "store"
	stepLog     = "log"
	stepReceipt = "receipt"
	stepIndex   = "index"
)

// do runs one step between the hook's two calls.
func (a *Archive) do(step string, f func() error) error {
	if a.hook != nil {
		if err := a.hook(step, false); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	if a.hook != nil {
		return a.hook(step, true)
	}
	return nil
}

// commit keeps batches that follow the lane's head. The lane is held. The order
// of its steps, and what a crash after each leaves:
//
//	restart  the restart, if any, that lets a batch stand where it does. Without its
//	         batch it means nothing.
//	store    the batch file is durable. Nothing names it yet: recovery looks for
//	         its entry in the log, finds none, and goes on with the next step.
//	         The other order would let the log name a batch that nobody has.
//	log      the entry is durable in the log. Recovery finds it there and does
//	         not add it twice.
//	receipt  the signed receipt is durable, with the time of receipt and the place
//	         in the log, which nothing else could restore. Before it goes out: a
//	         device that sends again must get the same receipt.
//	index    the records can be looked up. This transaction is not synced; what
//	         a power cut takes from its end, recovery adds again from the files.
//
// Only then does the device get the receipt and may delete the batch. When a step
// fails the lane is no longer settled, and recovery runs before it is used again.
func (a *Archive) commit(ctx context.Context, l *lane, batches []*seal.Batch, restarts []*seal.Restart) ([][]byte, error) {
	start := time.Now()
	received := a.now().UTC().Truncate(time.Millisecond)

	// Reading the content takes processor time, the steps take the disk's; and while the
	// index takes a batch, the next is read.
	entries, done := a.reading(batches, restarts)
	defer done()
	notes, places, err := a.keep(ctx, l.id, batches, restarts, received)
	if err != nil {
		return nil, err
	}
	if err := a.do(stepIndex, func() error { return a.addToIndex(entries, places, received) }); err != nil {
		return nil, err
	}
	size := 0
	for _, b := range batches {
		size += len(b.Raw)
	}
	last := batches[len(batches)-1]
	l.seq, l.hash = last.Seq, last.Hash()
	a.logger.Debug("batches kept", "device", l.id.Device.String(), "lane", l.id.Lane.String(), "seq", last.Seq,
		"batch", len(batches), "bytes", size, "elapsed", time.Since(start))
	return notes, nil
}

// keep is all steps but the last.
func (a *Archive) keep(ctx context.Context, id store.Lane, batches []*seal.Batch, restarts []*seal.Restart, received time.Time) (notes [][]byte, places []uint64, err error) {
	for _, b := range batches {
		if r := restartOf(restarts, b); r != nil {
			if err := a.do(stepRestart, func() error { return a.store.PutRestart(id, r) }); err != nil {
				return nil, nil, err
			}
		}
	}
	if err := a.do(stepStore, func() error { return a.store.Put(id, batches...) }); err != nil {
		return nil, nil, err
	}
	err = a.do(stepLog, func() error {
		entries := make([][]byte, len(batches))
		for i, b := range batches {
			entries[i] = b.LogEntry()
		}
		places, err = a.log.Add(ctx, entries...)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for i, b := range batches {
		n, err := a.receipt(b, places[i], received)
		if err != nil {
			return nil, nil, err
		}
		notes = append(notes, n)
	}
	err = a.do(stepReceipt, func() error { return a.store.AppendReceipts(id, notes...) })
	return notes, places, err
}

// entryRead is a batch's entry, all but place and time, or why there is none.
type entryRead struct {
	index.Entry
	err error
}

// reading reads the batches in their order, one ahead of whoever takes the entries. Done
// ends it and waits for that: it uses the index.
func (a *Archive) reading(batches []*seal.Batch, restarts []*seal.Restart) (entries <-chan entryRead, done func()) {
	out, stop := make(chan entryRead, 1), make(chan struct{})
	go func() {
		defer close(out)
		for e, err := range a.read(batches, restarts) {
			select {
			case out <- entryRead{e, err}:
			case <-stop:
				return
			}
		}
	}()
	return out, func() {
		close(stop)
		for range out {
		}
	}
}

// maxRows is how many records one transaction of the index takes, unless one batch
// has more. Other lanes wait for it.
const maxRows = 2048

// addToIndex adds the entries in their order. A crash between two transactions
// leaves the first of them, which recovery is used to.
func (a *Archive) addToIndex(entries <-chan entryRead, places []uint64, received time.Time) error {
	var group []index.Entry
	rows, n := 0, 0
	for e := range entries {
		if e.err != nil {
			return e.err
		}
		if rows+len(e.Rows) > maxRows && len(group) > 0 {
			if err := a.index.Add(group...); err != nil {
				return err
			}
			group, rows = group[:0], 0
		}
		e.Log, e.Received = places[n], received
		a.logFaults(&e.Entry)
		group, rows, n = append(group, e.Entry), rows+len(e.Rows), n+1
	}
	if len(group) == 0 {
		return nil
	}
	return a.index.Add(group...)
}

// restartOf finds the restart that introduces the batch, or nil.
func restartOf(restarts []*seal.Restart, b *seal.Batch) *seal.Restart {
	for _, r := range restarts {
		if r.Introduces(b) == nil {
			return r
		}
	}
	return nil
}

// read opens the batches and yields their index entries, all but place and time. It
// ends with the first error.
func (a *Archive) read(batches []*seal.Batch, restarts []*seal.Restart) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		carried := map[seal.KeyID][]byte{} // by the batches before, which are not indexed yet
		for _, b := range batches {
			e := NewEntry(b)
			if r := restartOf(restarts, b); r != nil {
				e.Headers = r.KeyHeaders
				for _, h := range r.KeyHeaders {
					carried[seal.KeyIDOf(h)] = h
				}
				a.logger.Warn("a lane goes on behind a hole", "device", b.Device.String(), "lane", b.Lane.String(), "seq", b.Seq,
					"reason", r.Reason.String(), "seen", r.Seen)
			}
			if len(b.KeyHeader) > 0 {
				carried[b.Key] = b.KeyHeader
			}
			err := a.opener.Read(b, &e, func(k seal.KeyID) ([]byte, error) {
				if h := carried[k]; h != nil {
					return h, nil
				}
				return a.index.KeyHeader(k)
			})
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// NewEntry makes a batch's index entry, without place, time and content.
func NewEntry(b *seal.Batch) index.Entry {
	return index.Entry{
		Batch: index.Batch{
			Lane: store.Lane{Device: b.Device, Lane: b.Lane}, Seq: b.Seq, Hash: b.Hash(),
			Sealed: b.Sealed, Records: b.Records, Bytes: int64(len(b.Raw)),
		},
		KeyID: b.Key, KeyHeader: b.KeyHeader,
	}
}

func (a *Archive) logFaults(e *index.Entry) {
	if len(e.Faults) > 0 {
		a.logger.Warn("batch is kept but can not be read in full", "device", e.Lane.Device.String(), "lane", e.Lane.Lane.String(),
			"seq", e.Seq, "faults", len(e.Faults), "err", e.Faults[0].What)
	}
}
