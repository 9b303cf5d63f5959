package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// Recovery says what became of a spool that was damaged or gone.
type Recovery struct {
	At      time.Time               `json:"at"`
	Cause   string                  `json:"cause"`
	Aside   string                  `json:"aside,omitempty"` // name of the damaged file, beside the spool; none when it was gone
	Batches int                     `json:"batches"`         // that were saved
	Lanes   map[string]LaneRecovery `json:"lanes"`
	Cursors string                  `json:"cursors"` // one of the Cursors constants
}

// Whole says that nothing can be missing.
func (r *Recovery) Whole() bool {
	for _, l := range r.Lanes {
		if !l.Whole {
			return false
		}
	}
	return r.Cursors == CursorsKept
}

// LaneRecovery is one lane of a Recovery.
type LaneRecovery struct {
	Batches  int      `json:"batches"`
	Records  int64    `json:"records"`
	Bytes    int64    `json:"bytes"`
	Missing  uint64   `json:"missing"`            // numbers that were used, have no receipt here, and whose batches are not found
	Whole    bool     `json:"whole"`              // nothing can be missing; false also when that is not known
	Receipt  uint64   `json:"receipt"`            // number in the last receipt known, 0 for none
	Restarts []uint64 `json:"restarts,omitempty"` // numbers at which the chain begins anew
}

// RecoveryCursor is the cursor under which a healed spool has its Recovery as JSON,
// for whoever records what happened and deletes it in the same transaction.
const RecoveryCursor = "spool/recovery"

// The names beside the spool while it is healed. In this order: the new spool is made
// under newSuffix and, whole and synced, renamed to salvagedSuffix; the damaged file
// is renamed to a name with asideMark; the new one gets the spool's name. A crash
// before the first rename leaves the damaged file to be salvaged again; after it,
// finishSalvage does what is left.
const (
	salvagedSuffix = ".salvaged"
	asideMark      = ".damaged-"
	reasonSuffix   = ".json"
	keepAside      = 2 // damaged files that are kept, the newest
)

// salvage makes a sound spool of what is left of the file at path, which may be
// gone, and sets it aside.
func salvage(path string, o *Options, cause error) (*Recovery, error) {
	r := &Recovery{At: o.Now().UTC(), Cause: cause.Error(), Lanes: map[string]LaneRecovery{}}
	if err := rescue(path, o, r); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	reached()
	if err := os.Rename(path+newSuffix, path+salvagedSuffix); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("salvage: %w", err)
	}
	reached()
	return r, finishSalvage(path)
}

// rescue reads the damaged file and writes the new one under newSuffix.
func rescue(path string, o *Options, r *Recovery) error {
	reason, size := seal.Damaged, int64(0)
	src, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason = seal.Lost
	case err != nil:
		return err
	default:
		defer src.Close()
		info, err := src.Stat()
		if err != nil {
			return err
		}
		size = info.Size()
		r.Aside = filepath.Base(path) + asideMark + r.At.Format("20060102T150405.000Z")
	}
	in, err := check(path)
	if err != nil && !errors.Is(err, ErrDamaged) && reason != seal.Lost {
		return err
	}
	found, err := scan(src, size, o)
	if err != nil {
		return err
	}
	kept, err := readKept(path, o.Identity.ID())
	if err != nil {
		return err
	}
	p, err := planned(found, in, kept, reason, o)
	if err != nil {
		return err
	}
	for id, l := range p.lanes {
		r.Lanes[id.String()] = l.report
		r.Batches += l.report.Batches
	}
	r.Cursors = p.went
	value, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if r.Aside != "" {
		reasonFile := filepath.Join(filepath.Dir(path), r.Aside+reasonSuffix)
		if err := durable.WriteFile(reasonFile, append(value, '\n'), 0o600); err != nil {
			return err
		}
	}
	reached()
	p.cursors[RecoveryCursor] = value
	return write(path, src, p, found)
}

// write makes the new spool. It is synced as a whole, before it gets a name that
// means anything.
func write(path string, src *os.File, p *plan, found *finding) error {
	db, err := scratch(path)
	if err != nil {
		return err
	}
	db.NoSync = true
	err = db.Update(lay)
	for _, id := range laneIDs {
		if err == nil {
			err = writeLane(db, src, id, p.lanes[id], found)
			reached()
		}
	}
	if err == nil {
		db.NoFreelistSync = false
		err = db.Update(func(tx *bbolt.Tx) error {
			for key, value := range p.cursors {
				if err := putSummed(tx.Bucket(cursorsBucket), []byte(key), value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = db.Sync()
	}
	return errors.Join(err, db.Close())
}

// writeLane copies the lane's batches and writes what goes with them.
func writeLane(db *bbolt.DB, src *os.File, id seal.Lane, l *lanePlan, found *finding) error {
	name := []byte(id.String())
	last := map[seal.KeyID]uint64{}
	for rest := l.batches; len(rest) > 0; {
		err := db.Update(func(tx *bbolt.Tx) error {
			for size := int64(0); len(rest) > 0 && size < groupMaxBytes; rest = rest[1:] {
				b := rest[0]
				raw := make([]byte, b.size)
				if _, err := src.ReadAt(raw, b.offset); err != nil {
					return err
				}
				if err := tx.Bucket(lanesBucket).Bucket(name).Put(binary.BigEndian.AppendUint64(nil, b.seq), raw); err != nil {
					return err
				}
				last[b.key] = b.seq
				size += b.size
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for key, seq := range last {
			if header := found.keys[key]; header != nil {
				k := append([]byte{byte(id)}, key[:]...)
				if err := putSummed(tx.Bucket(keysBucket), k, append(binary.BigEndian.AppendUint64(nil, seq), header...)); err != nil {
					return err
				}
			}
		}
		for _, r := range l.restarts {
			if err := tx.Bucket(restartBucket).Put(restartKey(id, r.First), r.Raw); err != nil {
				return err
			}
		}
		if l.receipt.note != nil {
			if err := putSummed(tx.Bucket(receiptBucket), name, append(binary.BigEndian.AppendUint64(nil, l.receipt.seq), l.receipt.note...)); err != nil {
				return err
			}
		}
		if err := addCounts(tx, name, counts{int64(l.report.Batches), l.report.Records, l.report.Bytes}); err != nil {
			return err
		}
		if l.head.seq == 0 {
			return nil
		}
		return putSummed(tx.Bucket(headsBucket), name, l.head.encode())
	})
}

// finishSalvage gives a finished new spool its name, and the damaged file another.
func finishSalvage(path string) error {
	if _, err := os.Lstat(path + salvagedSuffix); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	dir := filepath.Dir(path)
	if _, err := os.Lstat(path); err == nil {
		aside, err := asideName(path)
		if err != nil {
			return err
		}
		if err := os.Rename(path, aside); err != nil {
			return fmt.Errorf("set the damaged spool aside: %w", err)
		}
		reached()
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := os.Rename(path+salvagedSuffix, path); err != nil {
		return fmt.Errorf("put the salvaged spool in its place: %w", err)
	}
	reached()
	if err := os.Remove(path + suspectSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // it would be salvaged again, which loses nothing
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	reached()
	return prune(path)
}

// asideName is the name for the damaged file: that of the newest reason.
func asideName(path string) (string, error) {
	names, err := asides(path)
	if err == nil && len(names) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("set the damaged spool aside: its reason is not there: %w", err)
	}
	return names[len(names)-1], nil
}

// asides lists the names of damaged files whose reasons are there, the oldest first.
func asides(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir)) // sorted
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), reasonSuffix)
		if ok && strings.HasPrefix(name, base+asideMark) {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out, nil
}

// prune removes all but the newest damaged files: they are for examination, and
// nobody should have to delete them.
func prune(path string) error {
	names, err := asides(path)
	if err != nil {
		return err
	}
	for len(names) > keepAside {
		if err := os.RemoveAll(names[0]); err != nil {
			return err
		}
		reached()
		if err := os.Remove(names[0] + reasonSuffix); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}
