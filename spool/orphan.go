package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// SetAside gives the spool at path another name, under which [OpenOrphan] opens it: the
// identity that signed its batches is lost, and a spool of the new identity takes its
// place. It does nothing when there is no spool, and is ErrLocked when one is open.
func SetAside(path, aside string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockFile(path + lockSuffix)
	if err != nil {
		return fmt.Errorf("set spool aside: %w", err)
	}
	defer lock.Close()
	if err := finishSalvage(path); err != nil {
		return fmt.Errorf("set spool aside: %w", err)
	}
	// The cursors kept beside it are of the lost identity too: without the file, they
	// would make the new spool look for one that is missing.
	if err := os.Remove(path + keptSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set spool aside: %w", err)
	}
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("set spool aside: %w", err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Orphan is a spool whose identity is lost. Nothing is appended to it any more; what is
// in it is sealed and signed, and leaves on receipts, as from any spool. Its methods may
// be called concurrently.
type Orphan struct {
	db      *bbolt.DB
	archive *seal.Archive
	device  seal.DeviceID
	path    string
}

// OpenOrphan opens a spool that was set aside. ErrDamaged means that it is not as it was
// written; it is left as it is then.
func OpenOrphan(path string, a *seal.Archive) (*Orphan, error) {
	if _, err := check(path); err != nil {
		return nil, fmt.Errorf("open orphaned spool %s: %w", filepath.Base(path), err)
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open orphaned spool: %w", err)
	}
	o := &Orphan{db: db, archive: a, path: path}
	err = o.db.View(func(tx *bbolt.Tx) error {
		for _, id := range laneIDs {
			if _, raw := o.bucket(tx, id).Cursor().First(); raw != nil {
				h, err := seal.ParseHeader(raw)
				if err != nil {
					return damaged("%v", err)
				}
				o.device = h.Device
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open orphaned spool: %w", errors.Join(err, db.Close()))
	}
	return o, nil
}

func (o *Orphan) bucket(tx *bbolt.Tx, id seal.Lane) *bbolt.Bucket {
	return tx.Bucket(lanesBucket).Bucket([]byte(id.String()))
}

// Device is the device that made the batches; zero when there are none.
func (o *Orphan) Device() seal.DeviceID { return o.device }

// Batches counts what waits.
func (o *Orphan) Batches() (n int, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		for _, id := range laneIDs {
			n += o.bucket(tx, id).Stats().KeyN
		}
		return nil
	})
	return n, err
}

// Peek is [Spool.Peek], without the device's public key, which is lost: the archive has it.
func (o *Orphan) Peek(id seal.Lane, maxBytes int) (out []*seal.Batch, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		size := 0
		c := o.bucket(tx, id).Cursor()
		for k, raw := c.First(); k != nil; k, raw = c.Next() {
			seq := binary.BigEndian.Uint64(k)
			introduced := tx.Bucket(restartBucket).Get(restartKey(id, seq)) != nil
			if len(out) > 0 && (introduced || size+len(raw) > maxBytes || out[len(out)-1].Seq+1 != seq) {
				return nil
			}
			b, err := seal.ParseBatch(bytes.Clone(raw))
			if err != nil || b.Seq != seq || b.Lane != id || b.Device != o.device {
				return damaged("batch %s/%d does not verify", id, seq)
			}
			out = append(out, b)
			size += len(raw)
		}
		return nil
	})
	return out, err
}

// Restart is [Spool.Restart].
func (o *Orphan) Restart(id seal.Lane, seq uint64) (r *seal.Restart, err error) {
	err = o.db.View(func(tx *bbolt.Tx) error {
		if raw := tx.Bucket(restartBucket).Get(restartKey(id, seq)); raw != nil {
			r, err = seal.ParseRestart(bytes.Clone(raw))
		}
		return err
	})
	return r, err
}

// AckAll is [Spool.AckAll].
func (o *Orphan) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	out := make([]*seal.Receipt, len(notes))
	for i, n := range notes {
		r, err := seal.OpenReceipt(n, o.archive.ReceiptVerifier())
		if err != nil {
			return nil, fmt.Errorf("acknowledge: %w", err)
		}
		out[i] = r
	}
	err := o.db.Update(func(tx *bbolt.Tx) error {
		for _, r := range out {
			seq := binary.BigEndian.AppendUint64(nil, r.Seq)
			raw := o.bucket(tx, r.Lane).Get(seq)
			if raw == nil {
				continue // gone already
			}
			b, err := seal.ParseBatch(bytes.Clone(raw))
			if err != nil {
				return damaged("batch %s/%d: %v", r.Lane, r.Seq, err)
			}
			if err := r.Covers(b); err != nil {
				return fmt.Errorf("%w: %w", ErrReceipt, err)
			}
			if err := o.bucket(tx, r.Lane).Delete(seq); err != nil {
				return err
			}
			if err := addCounts(tx, []byte(r.Lane.String()), counts{-1, -int64(b.Records), -int64(len(b.Raw))}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	return out, nil
}

// Rechain can't: only the lost identity could sign.
func (o *Orphan) Rechain(seal.Lane, uint64, seal.Hash) (bool, error) { return false, nil }

// Head is [Spool.Head].
func (o *Orphan) Head(id seal.Lane) (uint64, seal.Hash) {
	var h head
	o.db.View(func(tx *bbolt.Tx) (err error) {
		h, err = storedHead(tx, id)
		return err
	})
	return h.seq, h.hash
}

// Wait returns a channel that is never closed: nothing is appended.
func (o *Orphan) Wait(seal.Lane) <-chan struct{} { return nil }

// Close closes the file.
func (o *Orphan) Close() error { return o.db.Close() }

// Remove closes the file and removes it, if nothing waits in it.
func (o *Orphan) Remove() error {
	n, err := o.Batches()
	if err == nil && n > 0 {
		err = fmt.Errorf("%d batches wait in it", n)
	}
	if err = errors.Join(err, o.Close()); err != nil {
		return fmt.Errorf("remove orphaned spool: %w", err)
	}
	return os.Remove(o.path)
}
