// Package spool is a durable, encrypted, ordered queue of sealed batches on one
// machine's disk, together with the cursors of whoever fills it. It seals what it
// is given and looks inside no record.
//
// Append returns nil only once the records and the cursors that pass them would
// survive a power cut, both or neither. Each lane is a chain: sequence numbers
// start at 1, grow by 1 and are never used twice, and each batch names the hash of
// the one before it. Peek removes nothing; a batch leaves through Ack alone, on a
// receipt that verifies under the pinned archive's key and names this device, lane,
// sequence number and hash. After a crash, Open yields every batch whose Append
// returned nil and whose receipt was not taken; an Append that had not returned is
// there whole or not at all.
//
// # Keys
//
// A data key lives in memory only and is new after each Open, so the spool cannot
// read its own backlog. It is also changed every hour and every 64 MiB. The first
// batch sealed under a key carries the key's header; the spool keeps a second copy
// of the header beside it until every batch under the key has been acknowledged.
//
// # Trust
//
// Whoever reads the file learns how many batches there are, how large and how old,
// which files and tables of the client have been read and how far, and nothing of
// what is in them. Whoever writes the file can destroy batches or put back an older
// copy, but not alter, forge or reorder one without the archive's noticing.
//
// # Assumptions
//
// bbolt syncs its data pages and then its meta page when a transaction returns; the
// disk keeps what it has confirmed. Concurrent Appends share a transaction, and so
// its two syncs.
package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// Ordinary refusals; each is wrapped with what was asked.
var (
	ErrLocked  = errors.New("held by another process")
	ErrFull    = errors.New("spool is full")
	ErrNewer   = errors.New("made by a newer version")
	ErrReceipt = errors.New("receipt is not for a batch of this spool")
)

const formatVersion = 1

// The buckets. Lane buckets hang below lanesBucket by the lane's name; integers are
// big-endian, so that keys sort by number.
var (
	metaBucket    = []byte("meta")     // "version" -> 1
	lanesBucket   = []byte("lanes")    // lane -> bucket of sequence number (8) -> the batch's exact bytes
	headsBucket   = []byte("heads")    // lane -> head
	keysBucket    = []byte("datakeys") // lane, data key id (16) -> last sequence number under it (8), key header
	cursorsBucket = []byte("cursors")  // the collector's
	receiptBucket = []byte("receipts") // lane -> sequence number (8), the last receipt, the exact note
)

// Options are a spool's choices.
type Options struct {
	Identity *seal.Identity // signs the batches
	Archive  *seal.Archive  // seals to its recipients, trusts its receipts
	MaxBytes int64          // appends that would hold more than this undelivered return ErrFull; 0 means 2 GiB
	Logger   *slog.Logger   // nil discards
	Now      func() time.Time
}

// Records is a group of records to be sealed as one batch.
type Records struct {
	NDJSON []byte // one JSON object a line, each ended by a newline
	Count  int
}

// Cursor is a place the collector has reached. A nil Value deletes it.
type Cursor struct {
	Key   string
	Value []byte
}

// Spool is an open spool. Its methods are safe for concurrent use.
type Spool struct {
	dbMu sync.RWMutex // held for writing only while shrink changes db
	db   *bbolt.DB

	opts  Options
	path  string
	clock func() time.Time

	mu      sync.Mutex // guards what follows
	lanes   map[seal.Lane]*lane
	cursors map[string][]byte // what is committed
	pending int64             // bytes of undelivered batches
	closed  bool

	requests chan *request // to the committer
	drained  chan struct{} // to the committer: nothing waits, the file may shrink
	quit     chan struct{}
	done     chan struct{}
}

// lane is what memory holds of a lane. key is guarded by keyMu, the rest by Spool.mu.
type lane struct {
	name     []byte
	head     head
	stats    LaneStats
	appended chan struct{} // closed and replaced at each append

	keyMu sync.Mutex
	key   *seal.DataKey
}

// head is the end of a lane's chain: sequence number (8) and hash (32) on disk.
type head struct {
	seq  uint64
	hash seal.Hash
}

func (h head) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, h.seq), h.hash[:]...)
}

func decodeHead(b []byte) (head, error) {
	if len(b) != 40 {
		return head{}, fmt.Errorf("chain head of %d bytes", len(b))
	}
	return head{binary.BigEndian.Uint64(b), seal.Hash(b[8:])}, nil
}

// LaneStats counts what waits in a lane.
type LaneStats struct {
	Batches int       `json:"batches"`
	Records int       `json:"records"`
	Bytes   int64     `json:"bytes"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest undelivered batch was sealed
	Seq     uint64    `json:"seq"`             // last appended
	Acked   uint64    `json:"acked"`           // last that the archive acknowledged
}

// Stats counts what waits.
type Stats struct {
	Lanes     map[string]LaneStats `json:"lanes"`
	Bytes     int64                `json:"bytes"`      // undelivered
	MaxBytes  int64                `json:"max_bytes"`  // the quota
	FileBytes int64                `json:"file_bytes"` // the file's size
}

// Open opens the spool at path or makes a new one. ErrLocked means that another
// process has it open.
func Open(path string, o Options) (*Spool, error) {
	if o.Identity == nil || o.Archive == nil {
		return nil, errors.New("open spool: it needs an identity and an archive")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 2 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{
		db: db, opts: o, path: path, clock: o.Now, lanes: map[seal.Lane]*lane{}, cursors: map[string][]byte{},
		requests: make(chan *request), drained: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := db.View(s.load); err != nil {
		db.Close()
		return nil, fmt.Errorf("open spool %s: %w", filepath.Base(path), err)
	}
	go s.commitLoop()
	return s, nil
}

func openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 200 * time.Millisecond, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return db, nil
}

// create makes an empty spool under another name and renames it, so that a crash
// in between leaves no half-made file under the real name.
func create(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openFile(temp)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{metaBucket, lanesBucket, headsBucket, keysBucket, cursorsBucket, receiptBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		for _, l := range []seal.Lane{seal.Messages, seal.Media} {
			if _, err := tx.Bucket(lanesBucket).CreateBucket([]byte(l.String())); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put([]byte("version"), binary.BigEndian.AppendUint32(nil, formatVersion))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// load reads what memory keeps: heads, counts and cursors, but no batch.
func (s *Spool) load(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, lanesBucket, headsBucket, keysBucket, cursorsBucket, receiptBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("not a spool: bucket %s is missing", name)
		}
	}
	v := tx.Bucket(metaBucket).Get([]byte("version"))
	if len(v) != 4 {
		return errors.New("not a spool: no version")
	}
	if n := binary.BigEndian.Uint32(v); n > formatVersion {
		return fmt.Errorf("version %d: %w", n, ErrNewer)
	}
	for _, id := range []seal.Lane{seal.Messages, seal.Media} {
		l := &lane{name: []byte(id.String()), appended: make(chan struct{})}
		s.lanes[id] = l
		if b := tx.Bucket(headsBucket).Get(l.name); b != nil {
			h, err := decodeHead(b)
			if err != nil {
				return fmt.Errorf("lane %s: %w", id, err)
			}
			l.head = h
		}
		l.stats.Seq = l.head.seq
		if r := tx.Bucket(receiptBucket).Get(l.name); len(r) > 8 {
			l.stats.Acked = binary.BigEndian.Uint64(r)
		}
		bucket := tx.Bucket(lanesBucket).Bucket(l.name)
		if bucket == nil {
			return fmt.Errorf("not a spool: lane %s is missing", id)
		}
		err := bucket.ForEach(func(_, raw []byte) error {
			h, err := seal.ParseHeader(raw) // only the first page of each batch is touched
			if err != nil {
				return fmt.Errorf("lane %s: %w", id, err)
			}
			s.count(l, h, len(raw))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return tx.Bucket(cursorsBucket).ForEach(func(k, v []byte) error {
		s.cursors[string(k)] = append([]byte{}, v...)
		return nil
	})
}

// count adds a batch of size bytes to the lane's figures.
func (s *Spool) count(l *lane, h seal.Header, size int) {
	if l.stats.Batches == 0 {
		l.stats.Oldest = h.Sealed
	}
	l.stats.Batches++
	l.stats.Records += int(h.Records)
	l.stats.Bytes += int64(size)
	s.pending += int64(size)
}

// discount takes a batch out of the lane's figures; the caller sets Oldest.
func (s *Spool) discount(l *lane, b *seal.Batch) {
	l.stats.Batches--
	l.stats.Records -= int(b.Records)
	l.stats.Bytes -= int64(len(b.Raw))
	s.pending -= int64(len(b.Raw))
}

// Stats returns the figures as of now.
func (s *Spool) Stats() (Stats, error) {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	info, err := os.Stat(s.path)
	if err != nil {
		return Stats{}, fmt.Errorf("spool: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Lanes: map[string]LaneStats{}, Bytes: s.pending, MaxBytes: s.opts.MaxBytes, FileBytes: info.Size()}
	for id, l := range s.lanes {
		out.Lanes[id.String()] = l.stats
	}
	return out, nil
}

// Head returns the last batch appended to the lane: sequence number 0 when there
// has been none.
func (s *Spool) Head(id seal.Lane) (uint64, seal.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.lanes[id].head
	return h.seq, h.hash
}

// Wait returns a channel that is closed at the next append to the lane.
func (s *Spool) Wait(id seal.Lane) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[id].appended
}

// Cursor returns the value last committed under the key, or nil.
func (s *Spool) Cursor(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.cursors[key]
	if !ok {
		return nil, nil
	}
	return append([]byte{}, v...), nil
}

// Cursors calls fn for each cursor whose key begins with prefix, in no order.
func (s *Spool) Cursors(prefix string, fn func(key string, value []byte) error) error {
	s.mu.Lock()
	found := map[string][]byte{}
	for k, v := range s.cursors {
		if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
			found[k] = append([]byte{}, v...)
		}
	}
	s.mu.Unlock()
	for k, v := range found {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for running Appends and closes the file. A second Close is harmless.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	<-s.done
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

var errClosed = errors.New("spool is closed")

// Append seals the records as one batch of the lane and commits it together with
// the cursors. With no records only the cursors are committed. It returns once
// both are durable. ErrFull leaves everything as it was.
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
