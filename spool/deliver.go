package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// pagedMax is how much is read of batches before it leaves memory: a full spool that is
// delivered would be in it whole by the end.
const pagedMax = 16 << 20

// Peek returns the oldest batches of the lane, in order, at least one if there is
// any and otherwise about maxBytes of them. All are of one piece of the chain: what
// comes behind a restart comes with the next Peek. It removes nothing; the batches
// are copies that the caller may keep.
//
// Each batch is verified first: what the disk has altered is never sent, because an
// archive would refuse it and all that follow. ErrDamaged then, and the spool is to
// be opened anew.
func (s *Spool) Peek(id seal.Lane, maxBytes int) ([]*seal.Batch, error) {
	var out []*seal.Batch
	err := s.view(func(tx *bbolt.Tx) error {
		out = nil
		size := 0
		defer func() {
			if s.paged.Add(int64(size)) >= pagedMax {
				s.paged.Store(0)
				letGo(tx)
			}
		}()
		c := tx.Bucket(lanesBucket).Bucket([]byte(id.String())).Cursor()
		for k, raw := c.First(); k != nil; k, raw = c.Next() {
			if len(out) > 0 && (size+len(raw) > maxBytes || out[len(out)-1].Seq+1 != binary.BigEndian.Uint64(k)) {
				return nil
			}
			if restart, err := s.Restart(id, binary.BigEndian.Uint64(k)); err != nil || restart != nil && len(out) > 0 {
				return err
			}
			b, err := seal.ParseBatch(bytes.Clone(raw))
			if err == nil && b.Device == s.opts.Identity.ID() { // another's, from before this identity, cannot be judged here
				err = b.Verify(s.opts.Identity.Public())
			}
			if err != nil || b.Seq != binary.BigEndian.Uint64(k) || b.Lane != id {
				return damaged("batch %s/%d does not verify", id, binary.BigEndian.Uint64(k))
			}
			out = append(out, b)
			size += len(b.Raw)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("peek: %w", err)
	}
	return out, nil
}

// Restart returns the restart that introduces the lane's batch with that sequence
// number, which must be sent before it; nil when there is none.
func (s *Spool) Restart(id seal.Lane, seq uint64) (*seal.Restart, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return nil, fmt.Errorf("no lane %d", id)
	}
	return l.restarts[seq], nil
}

// Ack takes a receipt, the exact note, and lets go of the batch it covers.
//
// The receipt must verify under the pinned archive's key and name a batch of this
// spool by device, lane, sequence number and hash; otherwise nothing is deleted and
// the error wraps seal.ErrForged or ErrReceipt. A receipt for a batch that has gone
// already is harmless.
//
// The order at this commit point: the receipt is verified before the transaction,
// compared with the stored bytes inside it, and kept in the same transaction that
// deletes the batch. A crash before it costs sending the batch again, which the
// archive answers with the same receipt.
func (s *Spool) Ack(receipt []byte) (*seal.Receipt, error) {
	out, err := s.AckAll([][]byte{receipt})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// AckAll is Ack for several receipts in one transaction: all or none.
func (s *Spool) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	parsed := make([]*seal.Receipt, len(notes))
	for i, n := range notes {
		r, err := seal.OpenReceipt(n, s.opts.Archive.ReceiptVerifier())
		if err != nil {
			return nil, fmt.Errorf("acknowledge: %w", err)
		}
		if r.Device != s.opts.Identity.ID() || s.lanes[r.Lane] == nil {
			return nil, fmt.Errorf("acknowledge: receipt for %s/%s/%d: %w", r.Device, r.Lane, r.Seq, ErrReceipt)
		}
		parsed[i] = r
	}
	if err := s.releaseAll(parsed, notes); err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	return parsed, nil
}

// releaseAll is the transaction of AckAll.
func (s *Spool) releaseAll(parsed []*seal.Receipt, notes [][]byte) error {
	var gone []*seal.Batch
	var oldest map[seal.Lane]time.Time // of the batches left, by lane touched
	return s.update(func(tx *bbolt.Tx) error {
		gone, oldest = nil, map[seal.Lane]time.Time{}
		for i, r := range parsed {
			b, err := s.release(tx, r, notes[i])
			if err != nil {
				return err
			}
			if b != nil {
				gone = append(gone, b)
				oldest[r.Lane] = time.Time{}
			}
		}
		for id := range oldest {
			t, err := s.settle(tx, id)
			if err != nil {
				return err
			}
			oldest[id] = t
		}
		return nil
	}, func() { s.showReleased(gone, oldest) })
}

// showReleased brings memory up to what releaseAll made durable.
func (s *Spool) showReleased(gone []*seal.Batch, oldest map[seal.Lane]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range gone {
		l := s.lanes[b.Lane]
		s.discount(l, b)
		l.stats.Acked = max(l.stats.Acked, b.Seq)
		delete(l.restarts, b.Seq)
	}
	for id, t := range oldest {
		s.lanes[id].stats.Oldest = t
	}
	s.ladder.climb(s.pending, s.opts.MaxBytes)
	s.judge()
	if len(gone) > 0 {
		select {
		case s.shrinks <- struct{}{}:
		default:
		}
	}
}

// release deletes the batch that the receipt covers and returns it, or nil when it
// has gone already.
func (s *Spool) release(tx *bbolt.Tx, r *seal.Receipt, note []byte) (*seal.Batch, error) {
	name := []byte(r.Lane.String())
	seq := binary.BigEndian.AppendUint64(nil, r.Seq)
	bucket := tx.Bucket(lanesBucket).Bucket(name)
	raw := bucket.Get(seq)
	if raw == nil {
		h, err := storedHead(tx, r.Lane)
		if err != nil {
			return nil, err
		}
		if r.Seq > h.seq {
			return nil, fmt.Errorf("receipt for %s/%d, the last batch is %d: %w", r.Lane, r.Seq, h.seq, ErrReceipt)
		}
		return nil, nil
	}
	b, err := seal.ParseBatch(bytes.Clone(raw))
	if err != nil {
		return nil, damaged("batch %s/%d: %v", r.Lane, r.Seq, err)
	}
	if err := r.Covers(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := bucket.Delete(seq); err != nil {
		return nil, err
	}
	if err := tx.Bucket(restartBucket).Delete(restartKey(r.Lane, r.Seq)); err != nil {
		return nil, err
	}
	if err := addCounts(tx, name, counts{-1, -int64(b.Records), -int64(len(b.Raw))}); err != nil {
		return nil, err
	}
	return b, putSummed(tx.Bucket(receiptBucket), name, append(seq, note...))
}

// receiptSeq is the sequence number of a stored receipt.
func receiptSeq(stored []byte) uint64 { return binary.BigEndian.Uint64(stored) }

func storedHead(tx *bbolt.Tx, id seal.Lane) (head, error) {
	b, err := getSummed(tx.Bucket(headsBucket), []byte(id.String()))
	if b == nil {
		return head{}, err
	}
	return decodeHead(b)
}

// settle drops the headers of data keys under which nothing waits any more and
// nothing will be sealed, and returns when the oldest batch left was sealed.
func (s *Spool) settle(tx *bbolt.Tx, id seal.Lane) (oldest time.Time, err error) {
	l := s.lanes[id]
	h, err := storedHead(tx, id)
	if err != nil {
		return oldest, err
	}
	first := h.seq + 1 // the lowest sequence number that is not gone
	if k, raw := tx.Bucket(lanesBucket).Bucket(l.name).Cursor().First(); k != nil {
		b, err := seal.ParseHeader(raw)
		if err != nil {
			return oldest, damaged("batch %s: %v", id, err)
		}
		oldest, first = b.Sealed, b.Seq
	}
	l.keyMu.Lock()
	current := l.key
	l.keyMu.Unlock()
	keys := tx.Bucket(keysBucket)
	c := keys.Cursor()
	var drop [][]byte
	for k, v := c.Seek([]byte{byte(id)}); len(k) == 17 && k[0] == byte(id); k, v = c.Next() {
		inUse := current != nil && seal.KeyID(k[1:]) == current.ID
		if !inUse && len(v) > 8 && binary.BigEndian.Uint64(v) < first {
			drop = append(drop, bytes.Clone(k))
		}
	}
	for _, k := range drop {
		if err := keys.Delete(k); err != nil {
			return oldest, err
		}
	}
	return oldest, nil
}
