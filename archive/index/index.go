// Package index is what the archive looks records up in: an SQLite database with
// a row for each record and the full text of messages.
//
// The index is made from the stored batches and can be made again: deleting its
// file loses nothing. It is written by one process, the server, through an
// [Index], and read by any number of others meanwhile, through a [Reader]. A
// batch and its records are added in one transaction. That transaction is not
// synced: after a power cut the last ones may be missing, always from the end,
// and the archive adds them again when it opens.
//
// # One record, many captures
//
// A record that arrives again, under the same id and with the same meaning (see
// [Derive]), is kept once, as it came first; the repeat, from the same device or a
// second laptop of the account, leaves a sighting. The same id with another meaning
// is kept too, beside the first and flagged as a variant: nothing is ever
// overwritten.
//
// # Faults
//
// What can't be indexed (a payload that does not open, a line that is no record)
// is a fault: its batch is kept all the same, and the fault names where it is.
package index

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/archive/store"
	"tidemark/seal"
)

// The errors of opening an index.
var (
	ErrMissing = errors.New("index is missing")
	ErrNewer   = errors.New("index was made by a newer version")
)

// version is that of the schema and of what Derive makes of a record. An index of
// an older one is made anew.
const version = 3

const schema = `
CREATE TABLE batches (
	n        INTEGER PRIMARY KEY,
	device   TEXT NOT NULL,
	lane     TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	hash     BLOB NOT NULL,
	log      INTEGER NOT NULL,  -- index of its entry in the archive's log
	received INTEGER NOT NULL,  -- times are Unix milliseconds; received by the archive's clock
	sealed   INTEGER NOT NULL,  -- by the device's clock
	records  INTEGER NOT NULL,
	bytes    INTEGER NOT NULL,
	opened   INTEGER NOT NULL,  -- 0 when the payload was not read
	UNIQUE (device, lane, seq)
) STRICT;
CREATE TABLE keys (             -- key headers, which only the first batch under a key carries
	id     BLOB PRIMARY KEY,
	header BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
	n            INTEGER PRIMARY KEY,  -- order of arrival
	batch        INTEGER NOT NULL REFERENCES batches,
	line         INTEGER NOT NULL,     -- in the batch, from 0
	variant      INTEGER NOT NULL,     -- 1 when a record of the same id and another digest came before
	id           TEXT NOT NULL,
	key          INTEGER NOT NULL,     -- a short hash of id, see Row.Key
	digest       BLOB NOT NULL,        -- of what the record means, see Derive
	kind         TEXT NOT NULL,
	account      TEXT,
	conversation TEXT,
	sender       TEXT,
	sent_at      INTEGER,
	captured_at  INTEGER NOT NULL,
	ord          INTEGER,
	local_id     INTEGER,
	type         TEXT,
	of           TEXT,
	text         TEXT,
	json         TEXT NOT NULL         -- as it was delivered, but for a piece's data
) STRICT;
CREATE INDEX records_key ON records (key);
CREATE INDEX records_conversation ON records (conversation, account);
CREATE INDEX records_media ON records (of, type) WHERE kind = 'media';
CREATE INDEX records_event ON records (batch) WHERE kind = 'event';
CREATE TABLE sightings (        -- a kept record arrived again
	record INTEGER NOT NULL REFERENCES records,
	batch  INTEGER NOT NULL REFERENCES batches,
	line   INTEGER NOT NULL,
	PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;
CREATE TABLE faults (
	device TEXT NOT NULL,
	lane   TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	line   INTEGER,
	fault  TEXT NOT NULL
) STRICT;`

// Batch is what the index holds of one batch.
type Batch struct {
	Lane     store.Lane
	Seq      uint64
	Hash     seal.Hash
	Log      uint64
	Received time.Time
	Sealed   time.Time
	Records  uint32
	Bytes    int64
	Opened   bool
}

// Fault is something of a batch that could not be indexed. Line is negative when
// the whole batch is meant. What never quotes content.
type Fault struct {
	Line int
	What string
}

// Entry is one batch with what was read of it.
type Entry struct {
	Batch
	KeyID     seal.KeyID
	KeyHeader []byte   // nil when the batch carried none
	Headers   [][]byte // of other data keys, which the restart before it carried
	Rows      []Row
	Faults    []Fault
}

// Index is open for writing. Its methods may be called concurrently.
type Index struct {
	mu   sync.Mutex // holds the one connection and its statements
	conn *sqlite3.Conn
	find *sqlite3.Stmt
	add  *sqlite3.Stmt
}

// Open opens the index in the file for writing, and makes an empty one when there
// is none, one of an older form, or something that is no database.
func Open(name string) (*Index, error) {
	x, err := open(name)
	if errors.Is(err, errOlder) || errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		if err := Remove(name); err != nil {
			return nil, err
		}
		x, err = open(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	return x, nil
}

// Remove deletes the index, which loses nothing: it is made again from the batches.
func Remove(name string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(name + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove index: %w", err)
		}
	}
	return nil
}

var errOlder = errors.New("index was made by an older version")

func open(name string) (x *Index, err error) {
	conn, err := sqlite.Open(name)
	if err != nil {
		return nil, err
	}
	made := &Index{conn: conn}
	x = made
	defer func() {
		if err != nil {
			made.Close()
		}
	}()
	conn.BusyTimeout(time.Minute)
	// Not synced at each commit, see the package's doc. The keys of records_key come
	// in no order, so a history dirties most of its pages with each batch: small
	// pages, a cache that holds that index for two million records, and a log in
	// which many versions of a page meet before one of them is copied back.
	if err := conn.Exec(`PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
		PRAGMA cache_size=-49152; PRAGMA wal_autocheckpoint=16384; PRAGMA journal_size_limit=4194304`); err != nil {
		return nil, err
	}
	v, err := userVersion(conn)
	if err != nil {
		return nil, err
	}
	switch {
	case v == 0:
		err = conn.Exec(fmt.Sprintf(`BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT`, schema, version))
	case v < version:
		err = errOlder
	case v > version:
		err = ErrNewer
	}
	if err != nil {
		return nil, err
	}
	if x.find, _, err = conn.Prepare(`SELECT n, digest FROM records WHERE key = ? AND id = ?`); err != nil {
		return nil, err
	}
	x.add, _, err = conn.Prepare(`INSERT INTO records (batch, line, variant, id, key, digest, kind, account, conversation,
		sender, sent_at, captured_at, ord, local_id, type, of, text, json) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	return x, err
}

func userVersion(c *sqlite3.Conn) (v int64, err error) {
	err = sqlite.Query(c, func(s *sqlite3.Stmt) error { v = s.ColumnInt64(0); return nil }, `PRAGMA user_version`)
	return v, err
}

// Close closes the file.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range []*sqlite3.Stmt{x.find, x.add} {
		if s != nil {
			s.Close()
		}
	}
	return x.conn.Close()
}

const batchColumns = `device, lane, seq, hash, log, received, sealed, records, bytes, opened`

func scanBatch(s *sqlite3.Stmt) (Batch, error) {
	var b Batch
	var err error
	if b.Lane, err = scanLane(s); err != nil {
		return b, err
	}
	b.Seq = uint64(s.ColumnInt64(2))
	if copy(b.Hash[:], s.ColumnRawBlob(3)) != len(b.Hash) {
		return b, fmt.Errorf("hash: %w", seal.ErrMalformed)
	}
	b.Log = uint64(s.ColumnInt64(4))
	b.Received, b.Sealed = time.UnixMilli(s.ColumnInt64(5)).UTC(), time.UnixMilli(s.ColumnInt64(6)).UTC()
	b.Records, b.Bytes, b.Opened = uint32(s.ColumnInt64(7)), s.ColumnInt64(8), s.ColumnBool(9)
	return b, nil
}

// Head returns the lane's last batch, or false.
func (x *Index) Head(l store.Lane) (Batch, bool, error) {
	return x.batch(`device = ? AND lane = ? ORDER BY seq DESC LIMIT 1`, l.Device.String(), l.Lane.String())
}

// Counts returns how many batches of each lane the index holds.
func (x *Index) Counts() (map[store.Lane]int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := map[store.Lane]int{}
	err := sqlite.Query(x.conn, func(s *sqlite3.Stmt) error {
		l, err := scanLane(s)
		out[l] = s.ColumnInt(2)
		return err
	}, `SELECT device, lane, count(*) FROM batches GROUP BY device, lane`)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return out, nil
}

// Batch returns one batch's row, or false.
func (x *Index) Batch(l store.Lane, seq uint64) (Batch, bool, error) {
	return x.batch(`device = ? AND lane = ? AND seq = ?`, l.Device.String(), l.Lane.String(), int64(seq))
}

func (x *Index) batch(where string, args ...any) (b Batch, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	err = sqlite.Query(x.conn, func(s *sqlite3.Stmt) (err error) {
		b, err = scanBatch(s)
		ok = true
		return err
	}, `SELECT `+batchColumns+` FROM batches WHERE `+where, args...)
	if err != nil {
		return b, false, fmt.Errorf("read index: %w", err)
	}
	return b, ok, nil
}

// KeyHeader returns the key header of that id, or nil.
func (x *Index) KeyHeader(id seal.KeyID) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return keyHeader(x.conn, id)
}

func keyHeader(c *sqlite3.Conn, id seal.KeyID) (header []byte, err error) {
	err = sqlite.Query(c, func(s *sqlite3.Stmt) error { header = s.ColumnBlob(0, nil); return nil },
		`SELECT header FROM keys WHERE id = ?`, id[:])
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return header, nil
}

func scanLane(s *sqlite3.Stmt) (l store.Lane, err error) {
	if l.Device, err = seal.ParseDeviceID(s.ColumnText(0)); err != nil {
		return l, err
	}
	l.Lane, err = seal.ParseLane(s.ColumnText(1))
	return l, err
}
