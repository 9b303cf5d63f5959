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

// machine drives SQLite and a model of the table side by side. Whatever the order
// of inserts, updates, deletes, commits, rollbacks and checkpoints, and whatever
// other readers hold them up, a View gives exactly the newest committed state; and
// when the writer goes on in the middle of one, the state it began with or ErrMoved.
type machine struct {
	t         *rapid.T
	src       *source
	db        *DB
	reader    *sqlite3.Conn // another reader, whose transaction holds up checkpoints
	committed map[int]string
	working   map[int]string // with what the open transaction did
	inTxn     bool
	next      int
	held      int // views that held although the writer went on meanwhile
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
			m.working = maps.Clone(m.committed)
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
		m.committed = maps.Clone(m.working)
	}
}

func (m *machine) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

var writes = []string{
	"insert", "insert", "insert", "update", "update", "delete", "begin", "commit", "rollback",
	"reader", "passive", "passive", "restart", "truncate",
}

func (m *machine) step(t *rapid.T) {
	m.write(rapid.SampledFrom(writes).Draw(t, "write"))
}

// view looks while nobody interferes.
func (m *machine) view() {
	m.src.mirror()
	got, err := viewRows(m.db, stateQuery)
	if err != nil {
		m.t.Fatalf("undisturbed view: %v", err)
	}
	if want := state(m.committed); !slices.Equal(got, want) {
		m.t.Fatalf("undisturbed view: %d rows, want the %d committed: %s", len(got), len(want), firstDifference(got, want))
	}
}

// disturbed looks while the writer goes on.
func (m *machine) disturbed(t *rapid.T) {
	m.src.mirror()
	want := state(m.committed)
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
		got, err = query(v, stateQuery)
		for _, row := range half {
			if err == nil && !slices.Contains(got, row) {
				// Two reads of one view disagree: only right if it turns out to have moved.
				got = append(got, "missing "+row)
			}
		}
		return err
	})
	switch {
	case errors.Is(err, ErrMoved):
	case err != nil:
		m.t.Fatalf("disturbed view: %v", err)
	case !slices.Equal(got, want):
		m.t.Fatalf("disturbed view: %d rows, want the %d it began with: %s", len(got), len(want), firstDifference(got, want))
	default:
		m.held++
	}
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
	held, moved := 0, uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		params := rapid.SampledFrom([]Params{V4, M3}).Draw(rt, "params")
		params.OldSHM = rapid.Bool().Draw(rt, "old shm")
		src := newSource(t, params)
		defer src.conn.Close()
		src.big = rapid.Bool().Draw(rt, "big endian")
		src.noSHM = rapid.Bool().Draw(rt, "no shm")
		// A cache of a few pages, so that unfinished transactions reach the WAL.
		src.exec("PRAGMA cache_size = 3; PRAGMA journal_size_limit = 20000")
		src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
		reader, err := sqlite3.Open(src.plain)
		if err != nil {
			rt.Fatal(err)
		}
		defer reader.Close()
		db := src.db()
		defer db.Close()
		m := &machine{t: rt, src: src, db: db, reader: reader, committed: map[int]string{}, working: map[int]string{}}
		rt.Repeat(map[string]func(*rapid.T){
			"write":     m.step,
			"more":      m.step,
			"view":      func(*rapid.T) { m.view() },
			"disturbed": m.disturbed,
		})
		m.view()
		held += m.held
		moved += db.Counters().Moved
	})
	t.Logf("%d disturbed views held, %d moved", held, moved)
	if held == 0 || moved == 0 {
		t.Error("the model never met both outcomes, so it shows little")
	}
}
