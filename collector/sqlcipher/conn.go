package sqlcipher

import (
	"container/list"
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

const (
	maxStmts  = 256       // prepared statements kept per connection
	cacheKiB  = 2048      // SQLite's page cache
	maxMemory = 128 << 20 // of one connection, address space until used; a database cannot ask for more
)

// conn is an SQLite connection that is bound to one snapshot after another, so
// that it keeps its schema and its prepared statements.
type conn struct {
	sql    *sqlite3.Conn
	file   *pageFile
	shown  Mark // the snapshot whose pages the cache may hold; zero: unknown
	begin  *sqlite3.Stmt
	probe  *sqlite3.Stmt // needs the schema and reads nothing
	commit *sqlite3.Stmt
	parses int   // how often probe was prepared again by the end of the last view; -1: this is the first
	schema int64 // bytes of memory

	stmts  map[string]*list.Element // of *sqlite3.Stmt
	recent *list.List               // the least recently used last
	extra  []*sqlite3.Stmt          // prepared twice at once; closed with the view
}

// open connects SQLite to the snapshot bound to f.
func openConn(f *pageFile) (_ *conn, err error) {
	name, release := theVFS().register(f)
	defer release()
	f.parsing = true
	defer func() { f.parsing = false }()
	ctx := sqlite3.WithMaxMemory(context.Background(), maxMemory)
	c := &conn{file: f, parses: -1, stmts: make(map[string]*list.Element), recent: list.New()}
	if c.sql, err = sqlite3.OpenContext(ctx, "file:"+name+"?vfs="+vfsName); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.discard()
		}
	}()
	// Sorting stays in memory: a temporary file would hold message text.
	err = c.sql.Exec(fmt.Sprintf(`
		PRAGMA cache_size = -%d;
		PRAGMA temp_store = memory;
		PRAGMA mmap_size = 0;
		PRAGMA query_only = on;
		PRAGMA trusted_schema = off`, cacheKiB))
	if err != nil {
		return nil, fmt.Errorf("configure connection: %w", err)
	}
	c.sql.Limit(sqlite3.LIMIT_ATTACHED, 0)
	for sql, stmt := range map[string]**sqlite3.Stmt{
		"BEGIN": &c.begin, "SELECT 1 FROM sqlite_schema LIMIT 0": &c.probe, "COMMIT": &c.commit,
	} {
		if *stmt, _, err = c.sql.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// start begins the read transaction: SQLite looks at page 1, drops from its cache
// what the change counter says is old, and reads the schema if its version is another.
func (c *conn) start() error {
	c.file.parsing = true
	defer func() { c.file.parsing = false }()
	if err := c.begin.Exec(); err != nil {
		return err
	}
	return c.probe.Exec()
}

// finish resets all statements and ends the transaction. sameSchema says that the
// schema in SQLite's memory is the one of the view before, so that nothing that was
// read in this view went into it.
//
// A statement that was prepared before the schema was read prepares itself again when
// it runs, and counts that: whatever made SQLite read the schema, this tells. probe
// runs before anything else in a view and after all else. When the view did not start,
// the schema could not be read, and is not to be read again for that.
func (c *conn) finish(started bool) (sameSchema bool, err error) {
	var errs []error
	if started && !c.sql.GetAutocommit() {
		errs = append(errs, c.probe.Exec())
		parses := c.probe.Status(sqlite3.STMTSTATUS_REPREPARE, false)
		if sameSchema = parses == c.parses; !sameSchema {
			c.parses = parses
			c.schema, _, _ = c.sql.Status(sqlite3.DBSTATUS_SCHEMA_USED, false) // cannot fail but for misuse
		}
	}
	for _, s := range c.extra {
		errs = append(errs, s.Close())
	}
	clear(c.extra)
	c.extra = c.extra[:0]
	for e := c.recent.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*sqlite3.Stmt); s.Busy() {
			s.Reset() // its error was its user's
		}
	}
	for c.recent.Len() > maxStmts {
		s := c.recent.Remove(c.recent.Back()).(*sqlite3.Stmt)
		delete(c.stmts, s.SQL())
		errs = append(errs, s.Close())
	}
	if !c.sql.GetAutocommit() {
		errs = append(errs, c.commit.Exec())
	}
	return sameSchema, errors.Join(errs...)
}

// prepare returns the connection's statement for sql, reset and without bindings.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
	if e := c.stmts[sql]; e != nil {
		c.recent.MoveToFront(e)
		s := e.Value.(*sqlite3.Stmt)
		if !s.Busy() {
			return s, errors.Join(s.Reset(), s.ClearBindings())
		}
		s, _, err := c.sql.Prepare(sql)
		if err == nil {
			c.extra = append(c.extra, s)
		}
		return s, err
	}
	s, tail, err := c.sql.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	if s == nil || tail != "" {
		s.Close()
		return nil, errors.New("prepare: text must be one statement")
	}
	c.stmts[sql] = c.recent.PushFront(s)
	return s, nil
}

// close frees the connection; a nil one is closed already.
func (c *conn) close() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, s := range []*sqlite3.Stmt{c.begin, c.probe, c.commit} {
		errs = append(errs, s.Close())
	}
	for _, s := range c.extra {
		errs = append(errs, s.Close())
	}
	for e := c.recent.Front(); e != nil; e = e.Next() {
		errs = append(errs, e.Value.(*sqlite3.Stmt).Close())
	}
	// Statements that the user prepared on Conn() and left open.
	var left []*sqlite3.Stmt
	for s := range c.sql.Stmts() {
		left = append(left, s)
	}
	for _, s := range left {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.sql.Close())...)
}

// discard frees a connection whose engine may be in any state.
func (c *conn) discard() {
	if c == nil {
		return
	}
	defer func() { _ = recover() }() // an engine that panicked may do so again
	_ = c.close()
}
