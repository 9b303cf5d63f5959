package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/seal"
)

// Inspection is what a spool's file holds, for a person. Nothing in it is content.
type Inspection struct {
	Path    string                    `json:"path"`
	Format  uint32                    `json:"format,omitempty"` // of the file, 0 when it cannot be told
	Bytes   int64                     `json:"bytes"`
	Damage  string                    `json:"damage,omitempty"` // what is wrong, "" for a sound structure
	Lanes   map[string]LaneInspection `json:"lanes"`
	Cursors int                       `json:"cursors"`
	Kept    time.Time                 `json:"kept,omitzero"` // of the cursors beside it
	Aside   []string                  `json:"aside"`         // damaged files kept beside it
	Faults  []string                  `json:"faults"`        // Verify's: batches that do not verify or follow
}

// Sound says that nothing is wrong, as far as was looked.
func (i *Inspection) Sound() bool { return i.Damage == "" && len(i.Faults) == 0 }

// LaneInspection is what waits in one lane.
type LaneInspection struct {
	Batches  int64     `json:"batches"`
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`
	First    uint64    `json:"first,omitempty"` // number of the oldest batch
	Last     uint64    `json:"last,omitempty"`
	Oldest   time.Time `json:"oldest,omitzero"`
	Head     uint64    `json:"head"`               // number of the last batch made
	Receipt  uint64    `json:"receipt"`            // number in the last receipt
	Restarts int       `json:"restarts,omitempty"` // that wait with the batches they introduce
}

// Inspect says what the file at path holds, without changing it or reading its
// batches. ErrLocked while a spool is open there, ErrNewer for a newer format; damage
// is in the answer.
func Inspect(path string) (*Inspection, error) {
	return locked(path, func() (*Inspection, error) { return inspect(path, nil) })
}

// Verify is Inspect, and reads every batch: that it is whole, this device's, and in its
// place in the chain. o needs the identity; Progress is told how far it is.
func Verify(path string, o Options) (*Inspection, error) {
	return locked(path, func() (*Inspection, error) { return inspect(path, &o) })
}

// Salvage heals the file if Verify finds anything wrong with it, as Open does when it
// finds a file damaged. The Recovery is nil when nothing was wrong.
func Salvage(path string, o Options) (*Recovery, error) {
	if o.Identity == nil || o.Archive == nil {
		return nil, errors.New("salvage spool: it needs an identity and an archive")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return locked(path, func() (*Recovery, error) {
		i, err := inspect(path, &o)
		if err != nil || i.Sound() {
			return nil, err
		}
		cause := i.Damage
		if cause == "" {
			cause = i.Faults[0]
		}
		return salvage(path, &o, damaged("%s", cause))
	})
}

// locked looks at a file that exists and that no spool is open on.
func locked[T any](path string, look func() (*T, error)) (*T, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	lock, err := lockFile(path + lockSuffix)
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", filepath.Base(path), err)
	}
	defer lock.Close()
	out, err := look()
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", filepath.Base(path), asDisk(err))
	}
	return out, nil
}

// inspect looks at the file; o is nil for a look at the structure alone.
func inspect(path string, o *Options) (*Inspection, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	i := &Inspection{Path: path, Bytes: info.Size(), Lanes: map[string]LaneInspection{}, Aside: []string{}, Faults: []string{}}
	if names, err := asides(path); err == nil {
		for _, n := range names {
			i.Aside = append(i.Aside, filepath.Base(n))
		}
	}
	if kept, err := os.Stat(path + keptSuffix); err == nil {
		i.Kept = kept.ModTime().UTC()
	}
	in, err := check(path)
	if known, _ := suspected(path); err == nil && known != nil {
		err = known
	}
	switch {
	case errors.Is(err, ErrDamaged):
		i.Damage = err.Error()
	case err != nil:
		return nil, err
	}
	if in != nil {
		i.fill(in)
	}
	if o != nil && i.Damage == "" {
		if err := i.verify(path, in, o); err != nil {
			return nil, err
		}
	}
	return i, nil
}

func (i *Inspection) fill(in *survey) {
	i.Format, i.Cursors = in.version, len(in.values[string(cursorsBucket)])
	for id, l := range in.lanes {
		head, _ := in.head(id)
		out := LaneInspection{
			Batches: l.counts.batches, Records: l.counts.records, Bytes: l.counts.bytes, First: l.first, Last: l.last, Oldest: l.oldest, Head: head.seq,
		}
		if r := in.values[string(receiptBucket)][id.String()]; len(r) > 8 {
			out.Receipt = receiptSeq(r)
		}
		for key := range in.values[string(restartBucket)] {
			if key[0] == byte(id) {
				out.Restarts++
			}
		}
		i.Lanes[id.String()] = out
	}
}

// verify reads every batch of a sound file.
func (i *Inspection) verify(path string, in *survey, o *Options) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var total, done int64
	for _, l := range in.lanes {
		total += l.counts.bytes
	}
	again, err := openPages(f, i.Bytes)
	if err != nil {
		return err
	}
	fault := func(format string, args ...any) { i.Faults = append(i.Faults, fmt.Sprintf(format, args...)) }
	return again.walk(again.root, func(e element) error {
		if string(e.key) != string(lanesBucket) {
			return nil
		}
		return again.enter(e, func(e element) error {
			lane := string(e.key)
			var last head
			return again.enter(e, func(e element) error {
				raw, err := again.value(e)
				if err != nil && !errors.Is(err, ErrDamaged) {
					return err
				}
				b, err := seal.ParseBatch(raw)
				if err == nil && b.Device == o.Identity.ID() { // another's cannot be judged
					err = b.Verify(o.Identity.Public())
				}
				switch {
				case err != nil:
					fault("batch %s/%d: %v", lane, binary.BigEndian.Uint64(e.key), err)
					last = head{}
				case b.Seq != binary.BigEndian.Uint64(e.key) || b.Lane.String() != lane:
					fault("batch %s/%d stands in the place of %d", b.Lane, b.Seq, binary.BigEndian.Uint64(e.key))
				case last.seq > 0 && (b.Seq != last.seq+1 || b.Previous != last.hash) && in.values[string(restartBucket)][string(restartKey(b.Lane, b.Seq))] == nil:
					fault("batch %s/%d does not follow %d, and no restart introduces it", lane, b.Seq, last.seq)
				}
				if err == nil {
					last = head{b.Seq, b.Hash()}
				}
				if done += e.size; o.Progress != nil {
					o.Progress(done, total)
				}
				return nil
			})
		})
	})
}
