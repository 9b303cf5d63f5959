package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// How much of the backlog one data key covers.
const (
	keyMaxAge   = time.Hour
	keyMaxBytes = 64 << 20
)

// How much one transaction takes: enough to share its syncs, little enough to keep
// the commit of a single message short.
const (
	groupMaxBytes = 16 << 20
	groupMax      = 256
)

var errClosed = errors.New("spool is closed")

// Append seals the records as one batch of the lane and commits it together with
// the cursors. With no records only the cursors are committed. It returns once
// both are durable. ErrFull leaves everything as it was. After ErrDisk both are in,
// or neither: most likely neither.
//
// Appends of one lane that run at the same time get their places in no particular
// order; a caller that needs an order waits for one before the next.
func (s *Spool) Append(ctx context.Context, id seal.Lane, r Records, cursors ...Cursor) error {
	if r.Count == 0 && len(r.NDJSON) > 0 || r.Count > seal.MaxRecords || len(r.NDJSON) > seal.MaxPlain {
		return fmt.Errorf("append %d records of %d bytes: out of range", r.Count, len(r.NDJSON))
	}
	req := &request{lane: s.lanes[id], id: id, records: r.Count, cursors: cursors, result: make(chan error, 1)}
	if req.lane == nil {
		return fmt.Errorf("append: no lane %d", id)
	}
	for _, c := range cursors {
		if c.Key == "" || len(c.Value) > maxValue/2 {
			return fmt.Errorf("append: a cursor of %d bytes under key %q", len(c.Value), c.Key)
		}
	}
	if r.Count > 0 {
		if err := s.sealRecords(req, r.NDJSON); err != nil {
			return fmt.Errorf("append to %s: %w", id, err)
		}
	} else if len(cursors) == 0 {
		return nil
	}
	select {
	case s.requests <- req:
	case <-s.quit:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// From here on the outcome is the committer's; giving up would leave the caller
	// not knowing whether its records are in.
	return <-req.result
}

type request struct {
	id      seal.Lane
	lane    *lane
	records int
	sealed  *seal.Sealed // nil without records
	again   *seal.Batch  // a batch that gets another number, instead
	cursors []Cursor
	result  chan error
}

// sealRecords compresses and encrypts in the caller's goroutine, so that several
// callers use several cores; only the place in the chain is the committer's.
func (s *Spool) sealRecords(req *request, ndjson []byte) error {
	key, err := s.dataKey(req.id, req.lane)
	if err != nil {
		return err
	}
	req.sealed, err = key.SealRecords(ndjson)
	return err
}

// size is how many bytes the request adds.
func (r *request) size() int {
	if r.again != nil {
		return len(r.again.Raw)
	}
	if r.sealed == nil {
		return 0
	}
	return r.sealed.Len()
}

func (s *Spool) dataKey(id seal.Lane, l *lane) (*seal.DataKey, error) {
	l.keyMu.Lock()
	defer l.keyMu.Unlock()
	now := s.clock()
	if k := l.key; k != nil && k.Sealed() < keyMaxBytes {
		if age := now.Sub(k.Created); age >= 0 && age < keyMaxAge {
			return k, nil
		}
	}
	k, err := seal.NewDataKey(s.opts.Archive, s.opts.Identity.ID(), id, now)
	if err != nil {
		return nil, err
	}
	l.key = k
	return k, nil
}

// commitLoop owns every write to the file. It takes the requests that are waiting
// and commits them in one transaction.
func (s *Spool) commitLoop() {
	defer close(s.done)
	for {
		var group []*request
		select {
		case req := <-s.requests:
			group = append(group, req)
		case r := <-s.rechains:
			r.result <- s.rechain(r)
			continue
		case <-s.shrinks:
			s.keepCursors(false)
			if err := s.shrink(); err != nil {
				s.opts.Logger.Warn("spool could not be shrunk", "err", err)
			}
			continue
		case <-s.quit:
			return
		}
		size := group[0].size()
	gather:
		for len(group) < groupMax && size < groupMaxBytes {
			select {
			case req := <-s.requests:
				group = append(group, req)
				size += req.size()
			default:
				break gather
			}
		}
		s.commit(group)
	}
}

// change is what a transaction did, to be shown in memory only once it is durable.
type change struct {
	batches []*seal.Batch
	heads   map[*lane]head
	cursors []Cursor
}

// commit is the commit point of capture.
//
// Batches, chain heads, key headers and cursors go into one bbolt transaction, which
// syncs its data pages and then its meta page. A crash before the meta page is durable
// leaves the spool as it was, and the collector reads the same rows again; after it,
// records and cursors are both there. Memory follows only then, so that what Peek,
// Cursor and Wait show is always durable.
func (s *Spool) commit(group []*request) {
	var done change
	admitted := s.admit(group)
	if len(admitted) == 0 {
		return
	}
	err := s.update(func(tx *bbolt.Tx) error {
		done = change{heads: map[*lane]head{}}
		for _, req := range admitted {
			if err := s.put(tx, req, &done); err != nil {
				return err
			}
		}
		return nil
	}, func() { s.show(&done) })
	if err != nil {
		err = fmt.Errorf("commit to spool: %w", err)
	}
	for _, req := range admitted {
		if req.sealed != nil {
			req.sealed.Release()
		}
		req.result <- err
	}
}

func (s *Spool) put(tx *bbolt.Tx, req *request, done *change) error {
	if req.sealed != nil || req.again != nil {
		h, ok := done.heads[req.lane]
		if !ok {
			s.mu.Lock()
			h = req.lane.head
			s.mu.Unlock()
		}
		b, err := s.follow(tx, req, h)
		if err != nil {
			return err
		}
		if err := tx.Bucket(lanesBucket).Bucket(req.lane.name).Put(binary.BigEndian.AppendUint64(nil, b.Seq), b.Raw); err != nil {
			return err
		}
		h.seq, h.hash = b.Seq, b.Hash()
		done.heads[req.lane] = h
		done.batches = append(done.batches, b)
		if err := putSummed(tx.Bucket(headsBucket), req.lane.name, h.encode()); err != nil {
			return err
		}
		if err := addCounts(tx, req.lane.name, counts{1, int64(b.Records), int64(len(b.Raw))}); err != nil {
			return err
		}
	}
	bucket := tx.Bucket(cursorsBucket)
	for _, c := range req.cursors {
		var err error
		if c.Value == nil {
			err = bucket.Delete([]byte(c.Key))
		} else {
			err = putSummed(bucket, []byte(c.Key), c.Value)
		}
		if err != nil {
			return err
		}
		done.cursors = append(done.cursors, c)
	}
	return nil
}

// follow makes the request's batch as the one behind the head, and sees to it that its
// data key's header is kept.
func (s *Spool) follow(tx *bbolt.Tx, req *request, h head) (*seal.Batch, error) {
	if b := req.again; b != nil {
		header := b.Header
		header.Seq, header.Previous = h.seq+1, h.hash
		return seal.NewBatch(s.opts.Identity, header, b.KeyHeader, b.Payload)
	}
	keys := tx.Bucket(keysBucket)
	key := req.sealed.Key()
	name := append(append([]byte{}, byte(req.id)), key.ID[:]...)
	b, err := req.sealed.Batch(s.opts.Identity, seal.Header{
		Seq: h.seq + 1, Sealed: s.clock(), Records: uint32(req.records), Previous: h.hash,
	}, keys.Get(name) == nil)
	if err != nil {
		return nil, err
	}
	return b, putSummed(keys, name, append(binary.BigEndian.AppendUint64(nil, b.Seq), key.Header...))
}

// show brings memory up to what the transaction made durable.
func (s *Spool) show(done *change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range done.batches {
		s.count(s.lanes[b.Lane], b.Header, len(b.Raw))
	}
	for l, h := range done.heads {
		l.head = h
		l.stats.Seq = h.seq
		close(l.appended)
		l.appended = make(chan struct{})
	}
	for _, c := range done.cursors {
		if c.Value == nil {
			delete(s.cursors, c.Key)
		} else {
			s.cursors[c.Key] = append([]byte{}, c.Value...)
		}
	}
	s.kept.stale = s.kept.stale || len(done.cursors) > 0
	s.ladder.climb(s.pending, s.opts.MaxBytes)
	s.judge()
}
