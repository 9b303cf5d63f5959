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
// # Faults
//
// A disk that is full, read-only, taken away or failing is a state ([ErrDisk],
// [Condition]): nothing is confirmed meanwhile, the file is opened anew after each
// failure, because nobody knows what a failed write left, and it goes on when the
// cause is gone. Appends also stop when the backlog reaches its quota or the file
// system its floor, and begin again well below, so that they do not flutter.
//
// A damaged file is found when it is opened, by a careful walk of its structure, or
// when what is read from it does not verify. Open then sets it aside under another
// name, keeps every batch that still verifies, and begins a new chain where the old
// one cannot go on (see seal.Restart). Cursors go back to those of a time when
// everything before them was acknowledged, unless nothing can have been lost.
// [Recovery] says what happened; nobody has to do anything.
//
// # Assumptions
//
// bbolt syncs its data pages and then its meta page when a transaction returns; the
// disk keeps what it has confirmed. Concurrent Appends share a transaction, and so
// its two syncs.
package spool

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// Ordinary refusals; each is wrapped with what was asked.
var (
	ErrLocked  = errors.New("held by another process")
	ErrFull    = errors.New("spool is full")
	ErrLowDisk = errors.New("the disk is nearly full") // comes with ErrFull
	ErrNewer   = errors.New("made by a newer version")
	ErrReceipt = errors.New("receipt is not for a batch of this spool")
	// ErrDisk comes with the system's error; trying again may help.
	ErrDisk = errors.New("the disk does not take it")
	// ErrDamaged means that the file is not as it was written. Opening it anew heals it.
	ErrDamaged = errors.New("damaged")
)

// Options are a spool's choices.
type Options struct {
	Identity *seal.Identity // signs the batches
	Archive  *seal.Archive  // seals to its recipients, trusts its receipts
	MaxBytes int64          // appends that would hold more than this undelivered return ErrFull; 0 means 2 GiB
	MinFree  int64          // bytes that appends leave free on the file system; 0 means no floor
	Logger   *slog.Logger   // nil discards
	Now      func() time.Time

	// Lasting are keys of cursors that pass no record. They stay when a damage sends
	// the others back.
	Lasting []string

	// Progress, when set, is told during a salvage how far it is, in bytes.
	Progress func(done, total int64)
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
	// dbMu is held for reading while db is used and memory brought up to it, for
	// writing while db changes.
	dbMu sync.RWMutex
	db   *bbolt.DB // nil while the file cannot be opened
	file os.FileInfo

	opts     Options
	path     string
	clock    func() time.Time
	lock     *os.File
	paged    atomic.Int64 // bytes of batches read since letGo
	recovery *Recovery

	mu        sync.Mutex // guards what follows
	lanes     map[seal.Lane]*lane
	cursors   map[string][]byte // what is committed
	pending   int64             // bytes of undelivered batches
	closed    bool
	suspect   error // why the file must be opened anew before it is used
	trouble   error // why nothing could be written last
	damage    error // why it must not be used any more
	ladder    ladder
	condition Condition
	changed   chan struct{} // closed and replaced when condition changes
	kept      keptCursors

	requests chan *request // to the committer
	rechains chan *rechaining
	shrinks  chan struct{} // to the committer: the file may be worth shrinking
	quit     chan struct{}
	done     chan struct{}
}

// lane is what memory holds of a lane. key is guarded by keyMu, the rest by Spool.mu.
type lane struct {
	name     []byte
	head     head
	stats    LaneStats
	restarts map[uint64]*seal.Restart // by the sequence number of the batch they introduce
	appended chan struct{}            // closed and replaced at each append

	keyMu sync.Mutex
	key   *seal.DataKey
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
	FreeBytes int64                `json:"free_bytes"` // on its file system
	MinFree   int64                `json:"min_free"`   // that are left free
	Condition Condition            `json:"condition"`
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

// Stats returns the figures as of now. What the system does not tell is zero.
func (s *Spool) Stats() (Stats, error) {
	out := Stats{Lanes: map[string]LaneStats{}, MaxBytes: s.opts.MaxBytes, MinFree: s.opts.MinFree}
	if info, err := os.Stat(s.path); err == nil {
		out.FileBytes = info.Size()
	}
	out.FreeBytes = max(s.lookAtDisk(), 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Bytes, out.Condition = s.pending, s.condition
	for id, l := range s.lanes {
		out.Lanes[id.String()] = l.stats
	}
	return out, nil
}

// Recovery says what Open found damaged and what came of it, nil when all was well.
func (s *Spool) Recovery() *Recovery { return s.recovery }

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
		if strings.HasPrefix(k, prefix) {
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
