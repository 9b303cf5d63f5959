package sqlcipher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Options says how a database is read. The zero value reads nothing, for want of keys.
type Options struct {
	// Params are the parameter sets to try on page 1, in order; none means V4.
	Params []Params

	// Keys returns the candidates for the file that begins with salt. It is called
	// when a View needs a key and none is known to work, by one goroutine at a time,
	// and must not call the DB. nil means there is no key.
	Keys func(salt [16]byte) []Key

	// Unseen says which indexes need not be known, by their tables and CREATE texts: a
	// large schema without them is read many times faster. Queries then go without these
	// indexes, and sqlite_schema may or may not list them. nil hides none.
	Unseen func(table, sql string) bool

	// Derived is where derived keys are kept; nil means a cache for this DB alone.
	Derived *KeyCache

	// Logger receives what is worth knowing and no error says, at level Debug, with
	// the attribute db. nil means nothing is logged.
	Logger *slog.Logger
}

// Identity tells one database from another that took its path. It is comparable.
type Identity struct {
	Salt        [16]byte // the file's first bytes; not secret; the SQLite magic in a plain file
	Incarnation uint64   // 1 for the first file a DB sees at its path, more for each ErrReplaced; not kept across restarts
}

// Mark is a place in a database's history: the commit a View showed. It is opaque,
// comparable, good for one DB in one process, and its zero value is before everything.
type Mark struct {
	incarnation uint64
	generation  uint64 // of the WAL; 0: there was none
	frame       uint32 // last committed frame seen
	bare        bareStamp
}

// bareStamp is what is compared while there is no WAL to tell states apart. It is
// a hint for Changed, and one of several checks for a View.
type bareStamp struct {
	size    int64
	modTime int64 // ns
	wal     walHeader
	walSize int // how many bytes of wal exist
	shm     shmHeader
}

// Counters count since Open. Figures taken while views run may be of slightly
// different moments.
type Counters struct {
	Views       uint64 // views begun
	Moved       uint64 // views that ended in ErrMoved
	MainBytes   uint64 // read from the main file
	WALBytes    uint64 // read from the WAL, frame headers included
	Pages       uint64 // pages verified and decrypted
	MACFailures uint64 // page reads that did not verify, most of them torn and read again
}

// DB is one database file, live or not. It holds no file open between calls, at
// most one idle SQLite connection, the map of the WAL's frames and the page keys.
// All methods may be called concurrently.
type DB struct {
	path     string
	params   []Params
	keys     func([16]byte) []Key
	unseen   func(table, sql string) bool
	derived  *KeyCache
	log      *slog.Logger
	fs       filesystem
	wal      follower
	counters counters

	mu       sync.Mutex // guards what follows
	info     fs.FileInfo
	identity Identity
	codec    *codec // nil until page 1 has verified
	idle     *conn
	closed   bool

	resolving sync.Mutex // one goroutine at a time asks for keys
}

// Open returns the DB for a path. It touches nothing: whether the file exists, and
// whether a key opens it, is for View or Check to say.
func Open(path string, opts Options) (*DB, error) {
	if path == "" {
		return nil, errors.New("open database: no path")
	}
	params := opts.Params
	if len(params) == 0 {
		params = []Params{V4}
	}
	for _, p := range params {
		if err := p.validate(); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
	}
	return &DB{
		path:    path,
		params:  params,
		keys:    opts.Keys,
		unseen:  opts.Unseen,
		derived: cmp.Or(opts.Derived, new(KeyCache)),
		log:     cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)).With("db", path),
		fs:      osFS{},
	}, nil
}

// Params names the parameter set that opened the database, "" before one has.
func (db *DB) Params() string {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.codec == nil {
		return ""
	}
	return db.codec.params.Name
}

// Path is the path given to Open.
func (db *DB) Path() string { return db.path }

// Format prints the path whatever the verb: a DB holds keys.
func (db *DB) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sqlcipher.DB(%s)", db.path) }

// Close frees the idle connection and forgets keys and frames. Views that are
// under way end as usual; later ones fail with fs.ErrClosed. Twice is harmless.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.closed = true
	db.codec = nil
	db.wal.reset()
	err := db.idle.close()
	db.idle = nil
	return err
}

// Rest frees the idle connection, some megabytes, and reports whether there was one.
// Keys and frames stay known; the next View opens a connection again and reads the
// schema.
func (db *DB) Rest() bool {
	db.mu.Lock()
	idle := db.idle
	db.idle = nil
	db.mu.Unlock()
	idle.discard()
	return idle != nil
}

// Schema is how many bytes of memory the schema takes in the idle connection, and a
// measure of what opening another costs: 9 MB, and seconds of CPU time, for 5,000 tables
// of four indexes. It is 0 when there is no idle connection.
func (db *DB) Schema() int64 {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.idle == nil {
		return 0
	}
	return db.idle.schema
}

// Check opens the database as View does, verifies page 1 with a candidate key, and
// runs no SQL. Its errors are View's.
func (db *DB) Check(ctx context.Context) error {
	s, err := db.snapshot(ctx)
	if err != nil {
		return db.fail("check", err)
	}
	defer s.close()
	// Resolving keys verified page 1 the first time; a later Check does it again.
	buf := make([]byte, s.pageSize)
	dec, err := newDecryptor(s.codec)
	if err != nil {
		return db.fail("check", err)
	}
	pageErr := s.readPage(dec, 1, buf)
	if err := s.validate(); err != nil {
		return db.fail("check", err)
	}
	if pageErr != nil {
		db.forgetCodec(s.codec)
		return db.fail("check", pageErr)
	}
	return nil
}

// Changed reports whether anything was committed since mark. It needs no key, reads
// a WAL header and one or two frame headers when nothing was, and otherwise only
// the new frames, which the next View then need not read. False is certain while
// there is a valid WAL; without one it rests on sizes and times, so a caller looks
// again by View from time to time. A file that is gone is fs.ErrNotExist; one that
// was replaced counts as changed, and View will say how.
func (db *DB) Changed(ctx context.Context, mark Mark) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	info, err := db.fs.stat(db.path)
	if err != nil {
		return false, db.fail("look at", err)
	}
	db.mu.Lock()
	known := db.info != nil && os.SameFile(db.info, info)
	id := db.identity
	db.mu.Unlock()
	if !known || mark == (Mark{}) || mark.incarnation != id.Incarnation {
		return true, nil
	}
	now, err := db.mark(info, id)
	if err != nil {
		return false, db.fail("look at", err)
	}
	return now != mark, nil
}

// mark follows the WAL and returns where the database stands now.
func (db *DB) mark(info fs.FileInfo, id Identity) (Mark, error) {
	wal, err := db.openSide("-wal")
	if err != nil {
		return Mark{}, err
	}
	var r io.ReaderAt
	if wal != nil {
		defer wal.Close()
		r = counting{wal, &db.counters.walBytes}
	}
	g, h, n, err := db.wal.sync(r)
	if err != nil {
		return Mark{}, err
	}
	if g == nil {
		return Mark{incarnation: id.Incarnation, bare: db.bareStamp(info, h, n)}, nil
	}
	last, _ := g.last()
	return Mark{incarnation: id.Incarnation, generation: g.id, frame: last}, nil
}

// Prefetch has the system read the main file into its cache in order, so that a scan
// that jumps between interleaved tables does not wait for each piece. It verifies
// nothing and is a hint: what is cached already costs next to nothing.
func (db *DB) Prefetch(ctx context.Context) error {
	f, err := db.fs.open(db.path)
	if err != nil {
		return db.fail("prefetch", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return db.fail("prefetch", err)
	}
	const piece = 2 << 20
	for off := int64(0); off < info.Size(); off += piece {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readAhead(f, off, piece); err != nil {
			return db.fail("prefetch", err)
		}
	}
	return nil
}

// Counters returns the counts so far.
func (db *DB) Counters() Counters { return db.counters.load() }

// Retry runs fn up to attempts times while it returns ErrMoved: the second time at
// once, later ones after 1, 2, 4 … at most 50 ms. It returns fn's last error, or the
// context's when that ends first. fn must begin by discarding what an earlier run
// of it produced.
func Retry(ctx context.Context, attempts int, fn func() error) error {
	const longest = 50 * time.Millisecond
	var wait time.Duration
	for i := 1; ; i++ {
		err := fn()
		if !errors.Is(err, ErrMoved) || i >= attempts {
			return err
		}
		if wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		wait = min(max(2*wait, time.Millisecond), longest)
	}
}

// identify compares the file found with the one known. On a change it forgets the
// old file and returns ErrReplaced, once.
func (db *DB) identify(info fs.FileInfo, salt [saltSize]byte) (Identity, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return Identity{}, fs.ErrClosed
	}
	if db.info != nil && salt == db.identity.Salt && os.SameFile(db.info, info) {
		return db.identity, nil
	}
	first := db.info == nil
	if !first {
		db.derived.Forget(db.identity.Salt)
		db.wal.reset()
		db.codec = nil
		db.idle.discard()
		db.idle = nil
	}
	db.info = info
	db.identity = Identity{Salt: salt, Incarnation: db.identity.Incarnation + 1}
	if !first {
		return Identity{}, ErrReplaced
	}
	return db.identity, nil
}

// forgetCodec makes the next View look for a key again, if c is still in use: the
// file may have been given another one.
func (db *DB) forgetCodec(c *codec) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.codec == c {
		db.codec = nil
	}
}

// openSide opens X-wal, X-shm or X-journal; nil without an error when there is none.
func (db *DB) openSide(suffix string) (file, error) {
	f, err := db.fs.open(db.path + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// fail wraps an error with what was being done to which file.
func (db *DB) fail(doing string, err error) error {
	return fmt.Errorf("%s %s: %w", doing, db.path, err)
}
