// Package store keeps batches as files, exactly as they came, and beside each
// lane's batches the receipts that were given for them.
//
//	<dir>/<device>/<lane>/<sequence number, 20 digits>.tmb   one batch, read-only
//	<dir>/<device>/<lane>/<sequence number, 20 digits>.tmr   the restart before that batch, read-only
//	<dir>/<device>/<lane>/receipts                           signed notes, one after the other
//
// A batch is written once and never changed; Put refuses a name that exists. When
// Put or Receipts.Append returns nil, what was given survives a power cut. After
// a crash a batch file is whole or absent, and the receipts may end in a torn
// note, which Repair cuts off.
//
// # Trust
//
// The store believes nothing: whoever reads a batch verifies it against its
// receipt, its signature and the log.
//
// Different lanes may be used concurrently, one lane by one caller at a time.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// ErrExists reports a batch file that is there already.
var ErrExists = errors.New("batch file exists already")

const (
	batchSuffix   = ".tmb"
	restartSuffix = ".tmr"
	batchMode     = 0o440
	receiptsName  = "receipts"
)

// Store is a folder of batches.
type Store struct{ dir string }

// New returns the store in the folder.
func New(dir string) *Store { return &Store{dir} }

// Lane names one chain of batches.
type Lane struct {
	Device seal.DeviceID
	Lane   seal.Lane
}

func (l Lane) String() string { return l.Device.String() + "/" + l.Lane.String() }

func (s *Store) laneDir(l Lane) string {
	return filepath.Join(s.dir, l.Device.String(), l.Lane.String())
}

// Path returns the name of the batch's file.
func (s *Store) Path(l Lane, seq uint64) string {
	return filepath.Join(s.laneDir(l), fmt.Sprintf("%020d%s", seq, batchSuffix))
}

// Put keeps batches of one lane. The files are synced before they get their names, in
// their order, and the folder once, after the last: a crash before that keeps the first
// of them, or none.
func (s *Store) Put(l Lane, batches ...*seal.Batch) error {
	dir := s.laneDir(l)
	if err := durable.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keep batch: %w", err)
	}
	files := make([]durable.File, len(batches))
	for i, b := range batches {
		files[i] = durable.File{Name: s.Path(l, b.Seq), Data: b.Raw}
		if _, err := os.Lstat(files[i].Name); err == nil {
			return fmt.Errorf("keep batch %s/%d: %w", l, b.Seq, ErrExists)
		}
	}
	if err := durable.PlaceAll(files, batchMode); err != nil {
		return fmt.Errorf("keep batches of %s: %w", l, err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("keep batch: %w", err)
	}
	return nil
}

// Read reads and parses one batch, and checks that it is the one its name says.
// It wraps os.ErrNotExist when there is none and seal's errors when it is damaged.
func (s *Store) Read(l Lane, seq uint64) (*seal.Batch, error) {
	raw, err := os.ReadFile(s.Path(l, seq))
	if err != nil {
		return nil, fmt.Errorf("read batch %s/%d: %w", l, seq, err)
	}
	b, err := seal.ParseBatch(raw)
	if err != nil {
		return nil, fmt.Errorf("read batch %s/%d: %w", l, seq, err)
	}
	if b.Device != l.Device || b.Lane != l.Lane || b.Seq != seq {
		return nil, fmt.Errorf("read batch %s/%d: the file holds batch %s/%s/%d: %w", l, seq, b.Device, b.Lane, b.Seq, seal.ErrForged)
	}
	return b, nil
}

// RestartPath returns the name of the file of the restart before a batch.
func (s *Store) RestartPath(l Lane, seq uint64) string {
	return filepath.Join(s.laneDir(l), fmt.Sprintf("%020d%s", seq, restartSuffix))
}

// PutRestart keeps the restart before a batch that is not kept yet. One that is there
// already, from an attempt that ended before its batch was, is set aside.
func (s *Store) PutRestart(l Lane, r *seal.Restart) error {
	if err := durable.MkdirAll(s.laneDir(l), 0o750); err != nil {
		return fmt.Errorf("keep restart: %w", err)
	}
	name := s.RestartPath(l, r.First)
	have, err := os.ReadFile(name)
	switch {
	case err == nil && bytes.Equal(have, r.Raw):
		return nil
	case err == nil:
		if err := setAside(name); err != nil {
			return fmt.Errorf("keep restart: %w", err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("keep restart: %w", err)
	}
	if err := durable.Place(name, r.Raw, batchMode); err != nil {
		return fmt.Errorf("keep restart %s/%d: %w", l, r.First, err)
	}
	return durable.SyncDir(s.laneDir(l))
}

// Restart reads the restart before a batch; nil when there is none. It checks form
// and place, not signature.
func (s *Store) Restart(l Lane, seq uint64) (*seal.Restart, error) {
	raw, err := os.ReadFile(s.RestartPath(l, seq))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read restart %s/%d: %w", l, seq, err)
	}
	r, err := seal.ParseRestart(raw)
	if err != nil {
		return nil, fmt.Errorf("read restart %s/%d: %w", l, seq, err)
	}
	if r.Device != l.Device || r.Lane != l.Lane || r.First != seq {
		return nil, fmt.Errorf("read restart %s/%d: the file holds another: %w", l, seq, seal.ErrForged)
	}
	return r, nil
}

// SetAside renames a batch file that may not count as kept, and never deletes it.
func (s *Store) SetAside(l Lane, seq uint64) error {
	if err := setAside(s.Path(l, seq)); err != nil {
		return fmt.Errorf("set batch aside: %w", err)
	}
	return durable.SyncDir(s.laneDir(l))
}

func setAside(name string) error {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.aside-%d", name, n)
		if _, err := os.Lstat(aside); err != nil {
			return os.Rename(name, aside)
		}
	}
}

// Lanes lists the lanes that have a folder.
func (s *Store) Lanes() ([]Lane, error) {
	devices, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list lanes: %w", err)
	}
	var out []Lane
	for _, d := range devices {
		device, err := seal.ParseDeviceID(d.Name())
		if err != nil {
			continue
		}
		lanes, err := os.ReadDir(filepath.Join(s.dir, d.Name()))
		if err != nil {
			return nil, fmt.Errorf("list lanes: %w", err)
		}
		for _, l := range lanes {
			if lane, err := seal.ParseLane(l.Name()); err == nil {
				out = append(out, Lane{device, lane})
			}
		}
	}
	return out, nil
}

// Sequences lists the sequence numbers of the lane's batches beyond after, in
// rising order.
func (s *Store) Sequences(l Lane, after uint64) ([]uint64, error) {
	d, err := os.Open(s.laneDir(l))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	var out []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, batchSuffix)
		if !ok || len(digits) != 20 {
			continue
		}
		if seq, err := strconv.ParseUint(digits, 10, 64); err == nil && seq > after {
			out = append(out, seq)
		}
	}
	slices.Sort(out)
	return out, nil
}
