package sqlcipher

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/collector/simtest"
)

// writers are two connections of real SQLCipher to one database, in a process of
// their own, as the client's are.
type writers struct {
	t    *rapid.T
	in   io.WriteCloser
	out  *bufio.Scanner
	fail bytes.Buffer
	sent int // statements whose answers were not read yet
}

const writerCount = 2

func startWriters(t *rapid.T, bin, path, generation string) (w *writers, stop func()) {
	w = &writers{t: t}
	cmd := exec.Command(bin, "sql", "--db", path, "--key", hex.EncodeToString(testKeyBytes[:]), "--raw",
		"--generation", generation, "--connections", itoa(writerCount))
	cmd.Stderr = &w.fail
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.in, w.out = in, bufio.NewScanner(out)
	return w, func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
}

// send gives a statement to a connection and does not wait for it.
func (w *writers) send(conn int, sql string) {
	if _, err := fmt.Fprintf(w.in, "%d %s\n", conn, sql); err != nil {
		w.t.Fatalf("%v: %s", err, w.fail.String())
	}
	w.sent++
}

// wait reads the answer to the oldest statement that was sent. A checkpoint may meet a
// lock.
func (w *writers) wait() {
	for w.out.Scan() {
		switch line := w.out.Text(); {
		case line == "ok":
			w.sent--
			return
		case strings.HasPrefix(line, "error ") && strings.Contains(line, "locked"):
			w.sent--
			return
		case strings.HasPrefix(line, "error "):
			w.t.Fatal(line)
		}
	}
	w.t.Fatalf("the writer ended: %s", w.fail.String())
}

// rowsMachine holds the rows of a view against the states that were committed.
type rowsMachine struct {
	*writers
	t         *rapid.T
	db        *DB
	committed map[int]string
	working   map[int]string // with what the open transaction of connection 0 did
	inTxn     bool
	reading   bool // connection 1 has a read transaction, which holds up restarts
	next      int

	held, moved int // views during which the writer went on
}

func rowsOf(rows map[int]string) string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&out, "%d=%s\n", id, rows[id])
	}
	return out.String()
}

// statement draws something that the client might do, and says what it makes of the
// rows if it runs.
func (m *rowsMachine) statement(t *rapid.T) (conn int, sql string, apply func()) {
	ids := slices.Sorted(maps.Keys(m.working))
	write := func(sql string, change func(map[int]string)) (int, string, func()) {
		return 0, sql, func() {
			change(m.working)
			if !m.inTxn {
				m.committed = maps.Clone(m.working)
			}
		}
	}
	what := rapid.SampledFrom([]string{
		"insert", "insert", "insert", "insert", "update", "update", "delete", "begin", "commit", "rollback",
		"read", "PASSIVE", "PASSIVE", "RESTART", "TRUNCATE",
	}).Draw(t, "statement")
	switch what {
	case "update", "delete":
		if len(ids) == 0 {
			what = "insert"
		}
	case "begin", "PASSIVE", "RESTART", "TRUNCATE":
		if m.inTxn { // a checkpoint needs none
			what = "commit"
		}
	}
	if (what == "commit" || what == "rollback") && !m.inTxn {
		what = "begin"
	}
	m.next++
	content := strings.Repeat(string(rune('a'+m.next%26)), rapid.SampledFrom([]int{3, 200, 3000, 12000}).Draw(t, "length"))
	switch what {
	case "insert":
		id := m.next
		return write(fmt.Sprintf("INSERT INTO m VALUES(%d, %d, '%s')", id, 1000+id, content), func(rows map[int]string) {
			rows[id] = fmt.Sprintf("%d:%s", 1000+id, content)
		})
	case "update":
		id, server := rapid.SampledFrom(ids).Draw(t, "id"), 5000+m.next
		return write(fmt.Sprintf("UPDATE m SET server_id = %d, content = '%s' WHERE local_id = %d", server, content, id), func(rows map[int]string) {
			rows[id] = fmt.Sprintf("%d:%s", server, content)
		})
	case "delete":
		id := rapid.SampledFrom(ids).Draw(t, "id")
		return write(fmt.Sprintf("DELETE FROM m WHERE local_id = %d", id), func(rows map[int]string) { delete(rows, id) })
	case "begin":
		return 0, "BEGIN IMMEDIATE", func() { m.inTxn = true }
	case "commit":
		return 0, "COMMIT", func() { m.inTxn, m.committed = false, maps.Clone(m.working) }
	case "rollback":
		return 0, "ROLLBACK", func() { m.inTxn, m.working = false, maps.Clone(m.committed) }
	case "read":
		if m.reading {
			return 1, "COMMIT", func() { m.reading = false }
		}
		return 1, "BEGIN", func() { m.reading = true }
	}
	return 0, "PRAGMA wal_checkpoint(" + what + ")", func() {}
}

// step does one thing. Without wait the writer does it by itself, sometime.
func (m *rowsMachine) step(t *rapid.T, wait bool) {
	conn, sql, apply := m.statement(t)
	m.send(conn, sql)
	apply() // nothing but a checkpoint is ever held up, and that has no rows
	if m.reading {
		m.send(1, "SELECT count(*) FROM m") // its snapshot is of this moment
	}
	for wait && m.sent > 0 {
		m.wait()
	}
}

// look reads all rows, twice and by the index, and has SQLite check every page.
func (m *rowsMachine) look(v *View, between func()) (string, error) {
	rows := func() (string, error) {
		all, err := query(v, "SELECT local_id || '=' || server_id || ':' || content FROM m ORDER BY local_id")
		return strings.Join(append(all, ""), "\n"), err
	}
	first, err := rows()
	if err != nil {
		return "", err
	}
	if between != nil {
		between()
	}
	if err := v.Conn().ReleaseMemory(); err != nil {
		return "", err
	}
	second, err := rows()
	if err == nil && first != second {
		return "two reads of one view differ", nil
	}
	counts, err := query(v, "SELECT (SELECT count(*) FROM m NOT INDEXED) || '/' || (SELECT count(server_id) FROM m INDEXED BY m_server WHERE server_id > 0)")
	if err != nil {
		return "", err
	}
	if whole, index, _ := strings.Cut(counts[0], "/"); whole != index {
		return fmt.Sprintf("%s rows, %s in the index", whole, index), nil
	}
	if check, err := query(v, "PRAGMA integrity_check"); err != nil || check[0] != "ok" {
		return fmt.Sprintf("damaged: %q", check), err
	}
	return first, nil
}

// view looks, has the writer do something in the midst of it, and gets one of the
// states, unless it moved.
func (m *rowsMachine) view(states func() []string, during func()) {
	var got string
	err := m.db.View(context.Background(), func(v *View) (err error) {
		got, err = m.look(v, during)
		return err
	})
	for m.sent > 0 {
		m.wait()
	}
	disturbed := during != nil
	switch want := states(); {
	case errors.Is(err, ErrMoved) && disturbed:
		m.moved++
	case err != nil:
		m.t.Fatalf("view: %v", err)
	case !slices.Contains(want, got):
		m.t.Fatalf("view of %d bytes is none of %d states: %.60q", len(got), len(want), got)
	case disturbed:
		m.held++
	}
}

// quiet looks while nobody does anything.
func (m *rowsMachine) quiet(*rapid.T) { m.view(m.newest(), nil) }

// newest is the state that is committed now.
func (m *rowsMachine) newest() func() []string {
	now := []string{rowsOf(m.committed)}
	return func() []string { return now }
}

// between has the writer go on between two reads of a view.
func (m *rowsMachine) between(t *rapid.T) {
	steps := rapid.IntRange(1, 5).Draw(t, "steps")
	m.view(m.newest(), func() {
		for range steps {
			m.step(t, true)
		}
	})
}

// meanwhile has the writer go on by itself, from before the view to after it.
func (m *rowsMachine) meanwhile(t *rapid.T) {
	states := []string{rowsOf(m.committed)}
	for range rapid.IntRange(1, 12).Draw(t, "statements") {
		m.step(t, false)
		states = append(states, rowsOf(m.committed))
	}
	m.view(func() []string { return states }, func() {})
}

// Whatever a real SQLCipher does, in whatever order, inserts, updates, deletes,
// transactions, checkpoints, restarts of the WAL, held up by another reader or not: the
// rows of a view are those of one committed state, the newest at its beginning, or it
// says that it moved. Each check starts a process, so there are few of them unless
// -rapid.checks asks for more.
func TestRows(t *testing.T) {
	bin := simtest.Binary(t)
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		was := checks.Value.String()
		if err := flag.Set("rapid.checks", "20"); err != nil {
			t.Fatal(err)
		}
		defer flag.Set("rapid.checks", was)
	}
	held, moved := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		generation := rapid.SampledFrom([]simtest.Generation{simtest.V4, simtest.W3, simtest.M3}).Draw(rt, "generation")
		params := map[simtest.Generation]Params{simtest.V4: V4, simtest.W3: V3, simtest.M3: M3}[generation]
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "message_0.db")
		w, stop := startWriters(rt, bin, path, string(generation))
		defer stop()
		limit := rapid.SampledFrom([]string{"20000", "1000000"}).Draw(rt, "journal size limit")
		for _, sql := range []string{
			"PRAGMA journal_size_limit=" + limit,
			"PRAGMA cache_size=5", // so that unfinished transactions reach the WAL
			"CREATE TABLE m(local_id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, content TEXT)",
			"CREATE INDEX m_server ON m(server_id)",
		} {
			w.send(0, sql)
			w.wait()
		}
		db := openDB(t, path, Options{Params: []Params{params}, Keys: give(testKey(t)), Unseen: func(string, string) bool { return true }})
		defer db.Close()
		m := &rowsMachine{writers: w, t: rt, db: db, committed: map[int]string{}, working: map[int]string{}}
		step := func(t *rapid.T) { m.step(t, true) }
		rt.Repeat(map[string]func(*rapid.T){
			"step": step, "more": step, "quiet": m.quiet, "between": m.between, "meanwhile": m.meanwhile,
		})
		m.quiet(rt)
		held, moved = held+m.held, moved+m.moved
	})
	t.Logf("%d disturbed views held, %d moved", held, moved)
	if held == 0 || moved == 0 {
		t.Error("the model never met both outcomes, so it shows little")
	}
}
