package writer

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Mode is a way of checkpointing. See the package documentation.
type Mode string

// The modes.
const (
	Client   Mode = "client"
	Never    Mode = "never"
	Truncate Mode = "truncate"
)

// ParseMode checks that s names a mode.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Client, Never, Truncate:
		return m, nil
	}
	return "", fmt.Errorf("parse checkpoint mode: %q is none of client, never, truncate", s)
}

// JournalSizeLimit is what a WAL is cut to, in bytes, by the first commit of a generation.
const JournalSizeLimit = 4 << 20

// Options are the choices of Open.
type Options struct {
	Cipher       Cipher        // of the file
	Mode         Mode          // "" means Client
	After        time.Duration // Client: delay after a commit; Truncate: period; 0 means 10 s and 0.3 s
	CachePages   int           // page cache of the writing connection; 0 means SQLite's default
	OnCheckpoint func(Event)   // called after each checkpoint, from its goroutine; may be nil
}

// Event is one checkpoint that ran.
type Event struct {
	Frames    int  // frames in the WAL when it began
	Copied    int  // frames in the main file when it ended
	Restarted bool // the WAL began a new generation
}

// DB is one database being written. Its methods may be called from any goroutine;
// transactions follow one another.
type DB struct {
	path  string
	opts  Options
	conn  *sql.DB // writes
	side  *sql.DB // runs passive checkpoints beside the writer
	stop  context.CancelFunc
	done  chan struct{}
	dirty chan struct{} // holds one token when something was committed since the last checkpoint

	mu    sync.Mutex // held by a transaction, and by whoever restarts the WAL
	stmts map[string]*sql.Stmt
	shm   descriptor // -1 until it is needed
	bgErr error      // first failure of the checkpoint goroutine
}

// Open opens or creates the database at path and begins to checkpoint it. It fails
// when the key is not the file's.
func Open(path string, keys *Keyring, o Options) (*DB, error) {
	if err := install(); err != nil {
		return nil, err
	}
	o.Mode = cmp.Or(o.Mode, Client)
	if o.After == 0 {
		o.After = 10 * time.Second
		if o.Mode == Truncate {
			o.After = 300 * time.Millisecond
		}
	}
	keyPragma, err := keyPragmas(path, keys, o.Cipher)
	if err != nil {
		return nil, err
	}
	d := &DB{path: path, opts: o, done: make(chan struct{}), dirty: make(chan struct{}, 1), stmts: map[string]*sql.Stmt{}, shm: -1}
	if d.conn, err = connect(path, keyPragma, o.Cipher.defaults()); err != nil {
		return nil, err
	}
	pragmas := []string{
		"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "PRAGMA synchronous=NORMAL",
		"PRAGMA secure_delete=ON", fmt.Sprintf("PRAGMA journal_size_limit=%d", JournalSizeLimit),
	}
	if o.CachePages != 0 {
		pragmas = append(pragmas, fmt.Sprintf("PRAGMA cache_size=%d", o.CachePages))
	}
	for _, p := range pragmas {
		if _, err := d.conn.Exec(p); err != nil {
			d.conn.Close()
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	if o.Mode == Client {
		if d.side, err = connect(path, append(keyPragma, "wal_autocheckpoint=0"), o.Cipher.defaults()); err != nil {
			d.conn.Close()
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	// What an earlier process left in the WAL counts as a commit.
	if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > walHeaderSize {
		d.dirty <- struct{}{}
	}
	go d.checkpoints(ctx)
	return d, nil
}

// keyPragmas are the pragmas that open path under its key: none for a plain file.
func keyPragmas(path string, keys *Keyring, c Cipher) ([]string, error) {
	if c == Plain {
		return nil, nil
	}
	salt, err := fileSalt(path)
	if err != nil {
		return nil, err
	}
	raw, err := keys.rawKey(c, salt)
	if err != nil {
		return nil, err
	}
	// Memory security would lock and unlock pages of memory around every allocation,
	// which costs as much as the encryption, for keys that are no secret.
	return []string{`key="` + raw + `"`, "cipher_memory_security=OFF"}, nil
}

// Tx is a transaction in progress. It is valid only inside its function.
type Tx struct{ d *DB }

// Exec runs one statement. Statements are prepared once per DB.
func (t Tx) Exec(query string, args ...any) (sql.Result, error) {
	s, err := t.d.prepared(query)
	if err != nil {
		return nil, err
	}
	return s.Exec(args...)
}

// Once runs a statement that changes the schema: it and what was prepared before are
// forgotten, so that no statement holds a table that is gone.
func (t Tx) Once(statement string) error {
	for q, s := range t.d.stmts {
		s.Close()
		delete(t.d.stmts, q)
	}
	_, err := t.d.conn.Exec(statement)
	return err
}

// QueryRow runs a query for one row.
func (t Tx) QueryRow(query string, args ...any) *sql.Row {
	return t.d.conn.QueryRow(query, args...)
}

// prepared returns the statement of query. The caller holds d.mu.
func (d *DB) prepared(query string) (*sql.Stmt, error) {
	if s, ok := d.stmts[query]; ok {
		return s, nil
	}
	s, err := d.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	d.stmts[query] = s
	return s, nil
}

// Update runs fn in a transaction, and commits when fn returns nil. The COMMIT is
// the very next thing after fn.
func (d *DB) Update(fn func(Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := Tx{d}
	if _, err := t.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(t); err != nil {
		t.Exec("ROLLBACK")
		return err
	}
	if _, err := t.Exec("COMMIT"); err != nil {
		t.Exec("ROLLBACK")
		return fmt.Errorf("commit: %w", err)
	}
	select {
	case d.dirty <- struct{}{}:
	default:
	}
	return nil
}

// Query runs a query outside a transaction. The caller must close the rows before
// the next call.
func (d *DB) Query(query string, args ...any) (*sql.Rows, error) {
	return d.conn.Query(query, args...)
}

// QueryRow runs a query for one row outside a transaction.
func (d *DB) QueryRow(query string, args ...any) *sql.Row {
	return d.conn.QueryRow(query, args...)
}

// Checkpoint copies all of the WAL and restarts it as Client does, whatever the
// mode, and cuts the file to JournalSizeLimit without waiting for a commit to do so.
func (d *DB) Checkpoint() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := context.Background()
	if _, err := runCheckpoint(ctx, d.conn, "PASSIVE"); err != nil {
		return err
	}
	if _, err := d.restart(ctx); err != nil {
		return err
	}
	if fi, err := os.Stat(d.path + "-wal"); err == nil && fi.Size() > JournalSizeLimit {
		if err := os.Truncate(d.path+"-wal", JournalSizeLimit); err != nil {
			return fmt.Errorf("cut wal: %w", err)
		}
	}
	return nil
}

// Backfill copies what it can of the WAL to the main file, no more.
func (d *DB) Backfill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := runCheckpoint(context.Background(), d.conn, "PASSIVE")
	return err
}

// Export writes all that is committed into a new database at path, under the same
// cipher and a salt of its own. It may be called after Release.
func (d *DB) Export(path string, keys *Keyring) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := `''`
	if d.opts.Cipher != Plain {
		salt := make([]byte, saltSize)
		rand.Read(salt)
		raw, err := keys.rawKey(d.opts.Cipher, salt)
		if err != nil {
			return err
		}
		key = `"` + raw + `"`
	}
	opening.Lock()
	defer opening.Unlock()
	if err := d.opts.Cipher.defaults().set(); err != nil {
		return err
	}
	for _, s := range []string{`ATTACH DATABASE ? AS fresh KEY ` + key, `SELECT sqlcipher_export('fresh')`, `DETACH DATABASE fresh`} {
		var args []any
		if strings.Contains(s, "?") {
			args = append(args, path)
		}
		rows, err := d.conn.Query(s, args...)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		for rows.Next() {
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// Release stops the checkpoints and returns the first error one of them met. The
// connections stay open until the process ends, which keeps -wal and -shm. Nothing
// may be called after it.
func (d *DB) Release() error {
	d.stop()
	<-d.done
	return d.bgErr
}

// checkpoints runs one checkpoint after another until ctx ends.
func (d *DB) checkpoints(ctx context.Context) {
	defer close(d.done)
	for d.opts.Mode != Never {
		if d.opts.Mode == Client {
			// The clock starts with the first commit since the last checkpoint.
			select {
			case <-ctx.Done():
				return
			case <-d.dirty:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(d.opts.After):
		}
		e, err := d.checkpoint()
		if err != nil {
			d.bgErr = cmp.Or(d.bgErr, err)
			return
		}
		if d.opts.OnCheckpoint != nil {
			d.opts.OnCheckpoint(e)
		}
	}
	<-ctx.Done()
}

// checkpoint runs one checkpoint of the DB's mode.
func (d *DB) checkpoint() (Event, error) {
	ctx := context.Background()
	if d.opts.Mode == Truncate {
		d.mu.Lock()
		defer d.mu.Unlock()
		e, err := runCheckpoint(ctx, d.conn, "TRUNCATE")
		e.Restarted = e.Frames == 0
		return e, err
	}
	// Commits go on beside this one; those that came before it are in it.
	select {
	case <-d.dirty:
	default:
	}
	e, err := runCheckpoint(ctx, d.side, "PASSIVE")
	if err != nil || e.Copied != e.Frames {
		return e, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Restarted, err = d.restart(ctx)
	return e, err
}

// runCheckpoint runs one checkpoint on a connection. Busy is not an error.
func runCheckpoint(ctx context.Context, c *sql.DB, kind string) (Event, error) {
	var e Event
	var busy int
	err := c.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+kind+")").Scan(&busy, &e.Frames, &e.Copied)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return e, fmt.Errorf("checkpoint: %w", err)
	}
	return e, nil
}
