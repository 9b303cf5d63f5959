package sqlcipher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"pgregory.net/rapid"
)

// machine drives SQLite and a model of its tables side by side. Whatever the order
// of inserts, updates, deletes, changes of the schema, commits, rollbacks and
// checkpoints, and whatever other readers hold them up, a View gives exactly the
// newest committed state; and when the writer goes on in the middle of one, the state
// it began with or ErrMoved. What a connection keeps from a view that moved, its
// schema and its statements, never shows in a later one. Pages that differ between two
// views are among those that changed, whenever these are known.
type machine struct {
	t         *rapid.T
	src       *source
	db        *DB
	reader    *sqlite3.Conn // another reader, whose transaction holds up checkpoints
	committed map[int]string
	working   map[int]string    // with what the open transaction did
	schema    map[string]string // the tables besides t: the one row of each
	pending   map[string]string // with what the open transaction did
	inTxn     bool
	next      int
	held      int // views that held although the writer went on meanwhile
	kept      int // views that moved and left their connection
	linked    int // views that knew what had changed across a restart of the WAL

	mark  Mark              // of the last undisturbed view
	pages map[uint32]string // as they were then
}

const stateQuery = "SELECT id || '=' || body FROM t ORDER BY id"

func state(rows map[int]string) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, fmt.Sprintf("%d=%s", id, rows[id]))
	}
	return out
}

func (m *machine) sql(format string, args ...any) { m.src.exec(fmt.Sprintf(format, args...)) }

func (m *machine) body() string {
	// From a few bytes to several overflow pages.
	n := rapid.SampledFrom([]int{1, 60, 900, 9000}).Draw(m.t, "length")
	m.next++
	return strings.Repeat(string(rune('a'+m.next%26)), n) + itoa(m.next)
}

// write does one thing the client might do.
func (m *machine) write(what string) {
	some := func() int {
		ids := slices.Sorted(maps.Keys(m.working))
		return rapid.SampledFrom(ids).Draw(m.t, "id")
	}
	switch what {
	case "insert":
		m.next++
		id, body := m.next, m.body()
		m.sql("INSERT INTO t VALUES(%d, '%s')", id, body)
		m.working[id] = body
	case "update":
		if len(m.working) == 0 {
			return
		}
		id, body := some(), m.body()
		m.sql("UPDATE t SET body = '%s' WHERE id = %d", body, id)
		m.working[id] = body
	case "delete":
		if len(m.working) == 0 {
			return
		}
		id := some()
		m.sql("DELETE FROM t WHERE id = %d", id)
		delete(m.working, id)
	case "create":
		if len(m.pending) == 12 {
			return
		}
		m.next++
		// A long text, so that the schema takes several pages.
		name, row := "extra"+itoa(m.next), "row"+itoa(m.next)
		m.sql("CREATE TABLE %s(body /*%s*/); INSERT INTO %s VALUES('%s')", name, strings.Repeat("-", 700), name, row)
		m.pending[name] = row
	case "drop":
		if len(m.pending) == 0 {
			return
		}
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.pending))).Draw(m.t, "table")
		m.sql("DROP TABLE %s", name)
		delete(m.pending, name)
	case "begin":
		if !m.inTxn {
			m.sql("BEGIN")
			m.inTxn = true
		}
		return
	case "commit":
		if m.inTxn {
			m.sql("COMMIT")
			m.inTxn = false
		}
	case "rollback":
		if m.inTxn {
			m.sql("ROLLBACK")
			m.inTxn = false
			m.working, m.pending = maps.Clone(m.committed), maps.Clone(m.schema)
		}
		return
	case "reader":
		// Begins or ends a read transaction elsewhere.
		if m.reader.GetAutocommit() {
			m.must(m.reader.Exec("BEGIN; SELECT count(*) FROM t"))
		} else {
			m.must(m.reader.Exec("COMMIT"))
		}
		return
	default: // a checkpoint of this mode; busy is as good as done
		if !m.inTxn {
			err := m.src.conn.Exec("PRAGMA wal_checkpoint(" + what + ")")
			if err != nil && !errors.Is(err, sqlite3.BUSY) {
				m.t.Fatal(err)
			}
		}
		return
	}
	if !m.inTxn {
		m.committed, m.schema = maps.Clone(m.working), maps.Clone(m.pending)
	}
}

func (m *machine) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

var writes = []string{
	"insert", "insert", "insert", "update", "update", "delete", "create", "create", "drop", "begin", "commit", "rollback",
	"reader", "passive", "passive", "restart", "truncate",
}

func (m *machine) step(t *rapid.T) {
	m.write(rapid.SampledFrom(writes).Draw(t, "write"))
}

// want is what a view of the committed state reads.
func (m *machine) want() []string {
	out := state(m.committed)
	for _, name := range slices.Sorted(maps.Keys(m.schema)) {
		out = append(out, name+"="+m.schema[name])
	}
	return out
}

// read reads everything: the tables besides t as they stand in SQLite's memory of the
// schema.
func (m *machine) read(v *View) ([]string, error) {
	out, err := query(v, stateQuery)
	if err != nil {
		return nil, err
	}
	tables, err := query(v, "SELECT name FROM pragma_table_list WHERE name LIKE 'extra%' ORDER BY name")
	for _, name := range tables {
		if err != nil {
			return nil, err
		}
		var rows []string
		rows, err = query(v, "SELECT '"+name+"=' || body FROM "+name)
		out = append(out, rows...)
	}
	return out, err
}

// view looks while nobody interferes.
func (m *machine) view() {
	m.src.mirror()
	want := m.want()
	var got []string
	err := m.db.View(context.Background(), func(v *View) (err error) {
		if got, err = m.read(v); err == nil {
			err = m.changes(v)
		}
		return err
	})
	if err != nil {
		m.t.Fatalf("undisturbed view: %v", err)
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("undisturbed view: %d rows, want the %d committed: %s", len(got), len(want), firstDifference(got, want))
	}
}

// changes compares pages with those of the last undisturbed view.
func (m *machine) changes(v *View) error {
	now := make(map[uint32]string)
	buf := make([]byte, m.src.seal.params.PageSize)
	for p := uint32(1); p <= uint32(v.Pages()); p++ {
		if err := v.snap.readPage(v.conn.file.dec, p, buf); err != nil {
			return err
		}
		now[p] = string(buf)
	}
	changed, known := v.ChangedSince(m.mark)
	for p, was := range m.pages {
		if _, ok := changed[p]; known && !ok && now[p] != was && int(p) <= v.Pages() {
			m.t.Fatalf("page %d changed and is not among the %d pages that did", p, len(changed))
		}
	}
	if known && v.snap.gen.id != m.mark.generation {
		m.linked++
	}
	m.mark, m.pages = v.Commit(), now
	return nil
}

// torn looks while a checkpoint is copying pages: what the writer did since the mirror
// was last brought up comes at some moment of the view, its opening and the reading of
// the schema included, but to the main file only a part of it; the rest follows at the
// view's end.
func (m *machine) torn(t *rapid.T) {
	m.src.mirror()
	before := m.want()
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		m.step(t)
	}
	if rapid.Bool().Draw(t, "checkpoint") {
		m.write("passive")
	}
	fs := m.db.fs.(*interruptedFS)
	reads := rapid.IntRange(1, 30).Draw(t, "reads before")
	fs.when = func(string, int, int64) bool { reads--; return reads == 0 }
	upTo := rapid.IntRange(1, 40).Draw(t, "pages copied")
	fs.then = func() { m.src.copied(upTo) }
	idle := m.db.idle
	var got []string
	err := m.db.View(context.Background(), func(v *View) (err error) {
		defer m.src.mirror()
		got, err = m.read(v)
		return err
	})
	fs.then = nil
	m.outcome("torn", err, got, before, m.want()) // the newer one when its frames were there in time
	if errors.Is(err, ErrMoved) && idle != nil && m.db.idle == idle {
		m.kept++
	}
}

// outcome checks a view during which the writer went on.
func (m *machine) outcome(what string, err error, got []string, want ...[]string) {
	switch {
	case errors.Is(err, ErrMoved):
	case err != nil:
		m.t.Fatalf("%s view: %v", what, err)
	case !slices.ContainsFunc(want, func(w []string) bool { return slices.Equal(got, w) }):
		m.t.Fatalf("%s view: %d rows, want the %d it began with: %s", what, len(got), len(want[0]), firstDifference(got, want[0]))
	default:
		m.held++
	}
}

// interruptedFS does something once, before a certain read: the first for which when
// is true.
type interruptedFS struct {
	filesystem
	when func(path string, size int, off int64) bool
	then func()
}

func (f *interruptedFS) open(path string) (file, error) {
	inner, err := f.filesystem.open(path)
	if err != nil {
		return nil, err
	}
	return &interruptedFile{inner, f, path}, nil
}

type interruptedFile struct {
	file
	fs   *interruptedFS
	path string
}

func (f *interruptedFile) ReadAt(p []byte, off int64) (int, error) {
	if then := f.fs.then; then != nil && f.fs.when(f.path, len(p), off) {
		f.fs.then = nil
		then()
	}
	return f.file.ReadAt(p, off)
}

// disturbed looks while the writer goes on.
func (m *machine) disturbed(t *rapid.T) {
	m.src.mirror()
	want := m.want()
	steps := rapid.IntRange(1, 6).Draw(t, "steps")
	var got []string
	err := m.db.View(context.Background(), func(v *View) error {
		half, err := query(v, "SELECT id || '=' || body FROM t WHERE id % 2 = 0 ORDER BY id")
		if err != nil {
			return err
		}
		for range steps {
			m.step(t)
			if rapid.Bool().Draw(t, "seen") {
				m.src.mirror()
			}
		}
		m.src.mirror()
		// Others look too, and SQLite has to read its pages again: the snapshot must
		// hold by itself.
		if rapid.Bool().Draw(t, "others look") {
			if _, err := m.db.Changed(context.Background(), v.Commit()); err != nil {
				return err
			}
		}
		if err := v.Conn().ReleaseMemory(); err != nil {
			return err
		}
		got, err = m.read(v)
		for _, row := range half {
			if err == nil && !slices.Contains(got, row) {
				// Two reads of one view disagree: only right if it turns out to have moved.
				got = append(got, "missing "+row)
			}
		}
		return err
	})
	m.outcome("disturbed", err, got, want)
}

func firstDifference(a, b []string) string {
	short := func(s []string, i int) string {
		if i >= len(s) {
			return "none"
		}
		return s[i][:min(len(s[i]), 20)]
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("row %d is %q and not %q", i, short(a, i), short(b, i))
}

func TestModel(t *testing.T) {
	held, kept, linked, moved := 0, 0, 0, uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		params := rapid.SampledFrom([]Params{V4, M3}).Draw(rt, "params")
		params.OldSHM = rapid.Bool().Draw(rt, "old shm")
		src := newSource(t, params)
		defer src.conn.Close()
		src.big = rapid.Bool().Draw(rt, "big endian")
		src.noSHM = rapid.Bool().Draw(rt, "no shm")
		// A cache of a few pages, so that unfinished transactions reach the WAL.
		src.exec("PRAGMA cache_size = 3; PRAGMA journal_size_limit = " + rapid.SampledFrom([]string{"20000", "1000000"}).Draw(rt, "limit"))
		src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
		reader, err := sqlite3.Open(src.plain)
		if err != nil {
			rt.Fatal(err)
		}
		defer reader.Close()
		db := src.db()
		defer db.Close()
		db.fs = &interruptedFS{filesystem: db.fs}
		m := &machine{
			t: rt, src: src, db: db, reader: reader, committed: map[int]string{}, working: map[int]string{},
			schema: map[string]string{}, pending: map[string]string{},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"write":     m.step,
			"more":      m.step,
			"view":      func(*rapid.T) { m.view() },
			"disturbed": m.disturbed,
			"torn":      m.torn,
		})
		m.view()
		held, kept, linked = held+m.held, kept+m.kept, linked+m.linked
		moved += db.Counters().Moved
	})
	t.Logf("%d disturbed views held, %d moved, %d of them left their connection, %d knew changes across a restart", held, moved, kept, linked)
	if held == 0 || kept == 0 || linked == 0 || moved <= uint64(kept) {
		t.Error("the model never met all outcomes, so it shows little")
	}
}
