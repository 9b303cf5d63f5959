package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// Peek returns the oldest batches of the lane, in order, at least one if there is
// any and otherwise about maxBytes of them. It removes nothing; the batches are
// copies that the caller may keep.
func (s *Spool) Peek(id seal.Lane, maxBytes int) ([]*seal.Batch, error) {
	var out []*seal.Batch
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	err := s.db.View(func(tx *bbolt.Tx) error {
		size := 0
		c := tx.Bucket(lanesBucket).Bucket([]byte(id.String())).Cursor()
		for k, raw := c.First(); k != nil; k, raw = c.Next() {
			if len(out) > 0 && size+len(raw) > maxBytes {
				return nil
			}
			b, err := seal.ParseBatch(bytes.Clone(raw))
			if err != nil {
				return fmt.Errorf("batch %s/%d: %w", id, binary.BigEndian.Uint64(k), err)
			}
			out = append(out, b)
			size += len(raw)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("peek: %w", err)
	}
	return out, nil
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
	gone, oldest, err := s.releaseAll(parsed, notes)
	if err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range gone {
		l := s.lanes[b.Lane]
		s.discount(l, b)
		l.stats.Acked = max(l.stats.Acked, b.Seq)
	}
	for id, t := range oldest {
		s.lanes[id].stats.Oldest = t
	}
	if len(gone) > 0 && s.pending == 0 {
		select {
		case s.drained <- struct{}{}:
		default:
		}
	}
	return parsed, nil
}

// releaseAll is the transaction of AckAll. It returns the batches it deleted and,
// for each lane touched, when the oldest that is left was sealed.
func (s *Spool) releaseAll(parsed []*seal.Receipt, notes [][]byte) (gone []*seal.Batch, oldest map[seal.Lane]time.Time, err error) {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	err = s.db.Update(func(tx *bbolt.Tx) error {
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
	})
	return gone, oldest, err
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
		return nil, err
	}
	if err := r.Covers(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := bucket.Delete(seq); err != nil {
		return nil, err
	}
	return b, tx.Bucket(receiptBucket).Put(name, append(seq, note...))
}

func storedHead(tx *bbolt.Tx, id seal.Lane) (head, error) {
	b := tx.Bucket(headsBucket).Get([]byte(id.String()))
	if b == nil {
		return head{}, nil
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
			return oldest, err
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
