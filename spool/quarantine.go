package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// quarantineDir stands beside the spool. A batch in it is a file with its exact bytes,
// <lane>-<sequence number, 20 digits>-<first half of its hash>.tmb, and one with the
// reason, the same name with .json.
const quarantineDir = "quarantine"

// Quarantined says what is known of a batch that the archive refused for good.
type Quarantined struct {
	Lane    string    `json:"lane"`
	Seq     uint64    `json:"seq"`
	Records int       `json:"records"`
	Bytes   int64     `json:"bytes"`
	Sealed  time.Time `json:"sealed"`
	At      time.Time `json:"at"`     // when it was set aside, the device's clock
	Reason  string    `json:"reason"` // the archive's words, without content
	File    string    `json:"file"`   // name in the folder
}

func (s *Spool) quarantine() string { return filepath.Join(filepath.Dir(s.path), quarantineDir) }

// Quarantine sets the lane's oldest batch aside, whole and for as long as it takes a
// person to look, because the archive refuses it for good; seq says which batch the
// caller means. The lane goes on behind it with a restart.
//
// The order at this commit point: the files are durable before the transaction that takes
// the batch out of the lane. A crash between leaves it in both places, and the next
// refusal does the same again.
func (s *Spool) Quarantine(id seal.Lane, seq uint64, reason string) (*Quarantined, error) {
	l := s.lanes[id]
	if l == nil {
		return nil, fmt.Errorf("quarantine: no lane %d", id)
	}
	batches, err := s.Peek(id, 1)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	if len(batches) == 0 || batches[0].Seq != seq {
		return nil, fmt.Errorf("quarantine %s/%d: it is not the lane's oldest batch", id, seq)
	}
	b := batches[0]
	hash := b.Hash()
	q := &Quarantined{
		Lane: id.String(), Seq: seq, Records: int(b.Records), Bytes: int64(len(b.Raw)), Sealed: b.Sealed, At: s.clock().UTC(), Reason: reason,
		File: fmt.Sprintf("%s-%020d-%x.tmb", id, seq, hash[:16]),
	}
	if err := s.keepQuarantined(q, b.Raw); err != nil {
		return nil, s.failed(fmt.Errorf("quarantine: %w", err))
	}
	restart := &seal.Restart{Lane: id, Reason: seal.Refused, Made: s.clock(), Seen: seq, First: seq + 1, Previous: hash}
	if len(b.KeyHeader) > 0 { // those behind it may need the key that it carries
		restart.KeyHeaders = [][]byte{b.KeyHeader}
	}
	if err := restart.Sign(s.opts.Identity); err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	err = s.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(lanesBucket).Bucket(l.name)
		if err := bucket.Delete(binary.BigEndian.AppendUint64(nil, seq)); err != nil {
			return err
		}
		restarts := tx.Bucket(restartBucket)
		if err := restarts.Delete(restartKey(id, seq)); err != nil {
			return err
		}
		if err := restarts.Put(restartKey(id, restart.First), restart.Raw); err != nil {
			return err
		}
		return addCounts(tx, l.name, counts{-1, -int64(b.Records), -int64(len(b.Raw))})
	}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.discount(l, b)
		delete(l.restarts, seq)
		l.restarts[restart.First] = restart
		s.ladder.climb(s.pending, s.opts.MaxBytes)
		s.judge()
	})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	return q, nil
}

func (s *Spool) keepQuarantined(q *Quarantined, raw []byte) error {
	dir := s.quarantine()
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	said, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, q.File), raw, 0o600); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, strings.TrimSuffix(q.File, ".tmb")+".json"), said, 0o600)
}

// ListQuarantined lists what was set aside beside the spool at path, the oldest first.
// It needs no open spool.
func ListQuarantined(path string) ([]Quarantined, error) {
	dir := filepath.Join(filepath.Dir(path), quarantineDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	out := []Quarantined{}
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".tmb")
		if !ok {
			continue
		}
		q := Quarantined{Reason: "its reason is not on the disk any more"}
		if said, err := os.ReadFile(filepath.Join(dir, stem+".json")); err == nil {
			// What does not parse is as good as absent: the batch counts.
			_ = json.Unmarshal(said, &q)
		}
		q.File = e.Name()
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b Quarantined) int { return a.At.Compare(b.At) })
	return out, nil
}

// Replay puts a batch from the quarantine at the end of its lane again, for an archive
// that takes it now: the payload as it was sealed, under a new number, signed anew. The
// files go once that is durable; a crash before leaves the batch in both places, and its
// records have the same ids in both.
func (s *Spool) Replay(q Quarantined) error {
	name := filepath.Join(s.quarantine(), filepath.Base(q.File))
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	b, err := seal.ParseBatch(raw)
	if err == nil && b.Device == s.opts.Identity.ID() {
		err = b.Verify(s.opts.Identity.Public())
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w", q.File, err)
	}
	if b.Device != s.opts.Identity.ID() {
		return fmt.Errorf("replay %s: it was sealed under another identity of this device", q.File)
	}
	req := &request{lane: s.lanes[b.Lane], id: b.Lane, records: int(b.Records), again: b, result: make(chan error, 1)}
	select {
	case s.requests <- req:
	case <-s.quit:
		return errClosed
	}
	if err := <-req.result; err != nil {
		return fmt.Errorf("replay %s: %w", q.File, err)
	}
	if err := errors.Join(os.Remove(name), os.Remove(strings.TrimSuffix(name, ".tmb")+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replay %s: %w", q.File, err)
	}
	return durable.SyncDir(s.quarantine())
}
