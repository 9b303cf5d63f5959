package sqlcipher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// View is one snapshot, open for reading. It is valid until the function given to
// DB.View returns, and belongs to that function's goroutine.
type View struct {
	conn *conn
	snap *snapshot
}

// View runs fn on a snapshot of the database as the newest commit left it. Its
// result is, in this order: ErrMoved when the snapshot did not hold (wrapping fn's
// error too, if there is one); ErrCorrupt, or the system's error, when a page could
// not be read while it did; fn's own error as it is; nil. It may fail before fn is
// called, with any error of this package. When ctx ends, running SQL is interrupted
// and the context's error returned. Views run concurrently, each on a connection of
// its own; one connection is kept for later.
func (db *DB) View(ctx context.Context, fn func(*View) error) error {
	err := db.view(ctx, fn)
	if errors.Is(err, ErrMoved) {
		db.counters.moved.Add(1)
	}
	return err
}

func (db *DB) view(ctx context.Context, fn func(*View) error) error {
	db.counters.views.Add(1)
	s, err := db.snapshot(ctx)
	if err != nil {
		return db.fail("open snapshot of", err)
	}
	defer s.close()

	keep, shown := false, Mark{}
	c, startErr := db.acquire(s)
	if c != nil {
		defer func() { db.release(c, s, keep, shown) }()
	}
	sameSchema := false
	var fnErr, finishErr, engineErr error // engineErr: the SQLite engine panicked
	if startErr == nil {
		c.sql.SetInterrupt(ctx)
		startErr = guard(c.start, &engineErr)
		if startErr == nil && engineErr == nil {
			fnErr = guard(func() error { return fn(&View{c, s}) }, &engineErr)
		}
		c.sql.SetInterrupt(context.Background())
		if engineErr == nil {
			finishErr = guard(func() (err error) { sameSchema, err = c.finish(startErr == nil); return err }, &engineErr)
		}
	}

	if ctx.Err() != nil {
		return db.fail("view", ctx.Err())
	}
	working := startErr == nil && finishErr == nil && engineErr == nil && s.fault == nil
	if err := s.validate(); err != nil {
		// What was read may be a mix of states. The pages go with the next view's change
		// counter; a schema read in this view could bear the right version, and the
		// connection goes with it.
		keep = working && sameSchema
		if fnErr != nil {
			err = fmt.Errorf("%w: %w", err, fnErr)
		}
		return db.fail("view", err)
	}
	switch {
	case s.fault != nil:
		if s.fault.page == 1 {
			db.forgetCodec(s.codec) // or another key is wanted from now on
		}
		return db.fail("view", s.fault)
	case engineErr != nil:
		return db.fail("view", fmt.Errorf("%w: %w", ErrCorrupt, engineErr))
	case startErr != nil:
		return db.fail("view", malformed(startErr))
	case isMalformed(fnErr):
		return db.fail("view", malformed(fnErr))
	}
	// Only now is it known that the connection's schema and pages are one state's.
	keep, shown = working, s.mark()
	return fnErr
}

// Conn is the SQLite connection: read-only, inside a read transaction that must be
// left as it is, and without any other database. Statements prepared on it are the
// caller's to close; those of View.Prepare are not.
func (v *View) Conn() *sqlite3.Conn { return v.conn.sql }

// Prepare returns a statement for sql, from the connection's cache when it was
// prepared before. It is reset and has no bindings, must not be closed, and may be
// used until the view ends. Preparing the same text again while the first is
// between two Steps gives a second statement; otherwise the same one.
func (v *View) Prepare(sql string) (*sqlite3.Stmt, error) { return v.conn.prepare(sql) }

// Commit is the snapshot's place in the database's history.
func (v *View) Commit() Mark { return v.snap.mark() }

// Identity says which database this is, to hold cursors against.
func (v *View) Identity() Identity { return v.snap.identity }

// Pages is the size of the database in pages.
func (v *View) Pages() int { return int(v.conn.file.pages) }

// ChangedSince returns the numbers of all pages that commits after mark wrote, up
// to this snapshot. known is false when that cannot be told: there is no WAL, or it was
// restarted since, more than once or with frames before that nobody saw. Then anything
// may have changed.
func (v *View) ChangedSince(mark Mark) (pages map[uint32]struct{}, known bool) {
	if v.snap.gen == nil {
		return nil, false
	}
	return v.snap.gen.since(mark.generation, mark.frame, v.snap.last)
}

// Trace starts noting which pages SQLite reads, until stop, which returns their
// numbers, sorted, each once. It empties the connection's page cache first, so a
// page read earlier in the view is noted too; only pages that an unfinished
// statement holds are not, so reset statements before. Page 1, which every read
// stands on, is noted from the beginning. One trace at a time.
func (v *View) Trace() (stop func() []uint32) {
	f := v.conn.file
	_ = v.conn.sql.ReleaseMemory() // cannot fail but for misuse
	f.tracing, f.trace, f.leaf, f.inner = true, []uint32{1}, 0, nil
	return func() []uint32 {
		pages := f.trace
		f.tracing, f.trace, f.inner = false, nil, nil
		slices.Sort(pages)
		return slices.Compact(pages)
	}
}

// acquire binds the idle connection, or a new one, to s. The connection, if not nil,
// is to be released even after an error.
func (db *DB) acquire(s *snapshot) (*conn, error) {
	db.mu.Lock()
	c := db.idle
	db.idle = nil
	db.mu.Unlock()
	if c != nil {
		mark := s.mark()
		// Without a WAL equal marks do not prove equal pages.
		changed := mark != c.shown || mark.generation == 0
		c.shown = Mark{}
		if err := c.file.bind(s, changed); err != nil {
			return c, err
		}
		return c, nil
	}
	f := &pageFile{unseen: db.unseen}
	if err := f.bind(s, true); err != nil {
		return nil, err
	}
	var engineErr error
	err := guard(func() (err error) { c, err = openConn(f); return err }, &engineErr)
	if engineErr != nil {
		err = fmt.Errorf("%w: %w", ErrCorrupt, engineErr)
	}
	return c, err
}

// release keeps the connection for the next view or frees it. shown is the mark of the
// state that its page cache holds, zero when the cache must not be used again.
func (db *DB) release(c *conn, s *snapshot, keep bool, shown Mark) {
	c.file.unbind()
	c.shown = shown
	// A transaction that a statement holds open would let the next view look at this
	// one's page 1.
	keep = keep && c.sql.TxnState("main") == sqlite3.TXN_NONE
	db.mu.Lock()
	keep = keep && !db.closed && db.idle == nil && db.identity == s.identity
	if keep {
		db.idle = c
	}
	db.mu.Unlock()
	if !keep {
		c.discard()
	}
}

// isMalformed reports SQLite's own findings of damage.
func isMalformed(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB)
}

// malformed marks them as ErrCorrupt.
func malformed(err error) error {
	if isMalformed(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// guard runs fn and turns a panic of the SQLite engine, which checks its memory's
// bounds, into *engineErr. A panic of anything else, such as the caller's function,
// goes on unhindered.
func guard(fn func() error, engineErr *error) error {
	returned := false
	defer func() {
		if returned || !panicInEngine() {
			return
		}
		// The value could quote memory, and so content; its type says enough.
		*engineErr = fmt.Errorf("sqlite engine panicked: %T", recover())
	}()
	err := fn()
	returned = true
	return err
}

// panicInEngine, called by a deferred function, reports whether the goroutine
// panics and the innermost function that is not the standard library's is the
// SQLite engine's.
func panicInEngine() bool {
	const enginePath = "github.com/ncruces/go-sqlite3" // and -wasm
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case !panicking || standard(f.Function):
		default:
			return strings.HasPrefix(f.Function, enginePath)
		}
		if !more {
			return false
		}
	}
}

// standard reports a function that the engine's memory accesses end in.
func standard(function string) bool {
	for _, p := range []string{"runtime.", "encoding/binary.", "bytes.", "math.", "math/bits.", "slices."} {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}
