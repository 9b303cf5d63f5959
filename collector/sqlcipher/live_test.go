package sqlcipher

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/simtest"
)

// message0 is the database that the simulator's messages go to.
const message0 = "message/message_0.db"

// accountKey is the key the simulator wrote down.
func accountKey(t testing.TB, w *simtest.World) Key {
	t.Helper()
	k, err := ParseKey(w.Key())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tables lists the message tables.
func tables(v *View) ([]string, error) {
	return query(v, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'Msg\\_%' ESCAPE '\\' ORDER BY name")
}

// inserted reads from the oracle how many messages each table must hold.
func inserted(t *testing.T, oracle string) map[string]int {
	t.Helper()
	f, err := os.Open(oracle)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type line struct {
		Op     string
		N      int
		Change struct{ Op, Table string }
	}
	begun := map[int]string{}
	counts := map[string]int{}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Op == "begin" && l.Change.Op == "insert":
			begun[l.N] = l.Change.Table
		case l.Op == "commit" && begun[l.N] != "":
			counts[begun[l.N]]++
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// census counts the rows of every message table, in one view, and checks that each
// row is whole: local_ids without a hole, and every column readable.
func census(ctx context.Context, db *DB) (counts map[string]int, err error) {
	err = db.View(ctx, func(v *View) error {
		counts = map[string]int{}
		names, err := tables(v)
		if err != nil {
			return err
		}
		for _, name := range names {
			stmt, err := v.Prepare("SELECT count(*), coalesce(max(local_id), 0), total(length(message_content)) FROM " + sqlite3.QuoteIdentifier(name))
			if err != nil {
				return err
			}
			if stmt.Step() {
				counts[name] = stmt.ColumnInt(0)
				if stmt.ColumnInt(0) != stmt.ColumnInt(1) {
					return errHole
				}
			}
			if err := stmt.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}

var errHole = errors.New("local ids have a hole")

// Tests 1 to 5 alive: while real SQLCipher writes, in each way of checkpointing,
// every view that holds shows tables that only grow and have no holes, and the last
// one shows exactly what was committed.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a writer for some seconds")
	}
	for _, mode := range [][]string{
		{"--checkpoint", "client", "--checkpoint-after", "200ms"},
		{"--checkpoint", "never"},
		{"--checkpoint", "truncate", "--checkpoint-after", "100ms"},
	} {
		t.Run(mode[1], func(t *testing.T) {
			w := simtest.New(t)
			chat := w.Chat(append(mode, "--rate", "400", "--for", "3s", "--recall", "0.05", "--recall-after", "100ms")...)
			var keys []Key
			db := openDB(t, w.DB(message0), Options{Keys: func([16]byte) []Key {
				if keys == nil {
					if _, err := os.Stat(w.Keys); err != nil {
						return nil
					}
					keys = []Key{accountKey(t, w)}
				}
				return keys
			}})
			seen := map[string]int{}
			views := 0
			look := func() bool {
				counts, err := census(t.Context(), db)
				switch {
				case errors.Is(err, ErrMoved), errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrEmpty), errors.Is(err, ErrKeyMissing):
					return false
				case err != nil:
					t.Fatalf("after %d views: %v", views, err)
				}
				for name, n := range seen {
					if counts[name] < n {
						t.Fatalf("after %d views: a table went from %d rows to %d", views, n, counts[name])
					}
				}
				seen = counts
				views++
				return true
			}
			for running := true; running; {
				select {
				case <-chat.Done():
					chat.Wait()
					running = false
				default:
					look()
				}
			}
			if !look() {
				t.Fatal("no view held although nobody writes")
			}
			want := inserted(t, w.Oracle)
			for name := range seen {
				if seen[name] == 0 && want[name] == 0 {
					delete(seen, name) // a conversation in which nobody has spoken
				}
			}
			if !maps.Equal(seen, want) {
				t.Errorf("rows by table %v, want %v", seen, want)
			}
			c := db.Counters()
			t.Logf("%d views held, %d moved, %d pages, %d MAC failures", views, c.Moved, c.Pages, c.MACFailures)
			if views < 10 || len(want) == 0 {
				t.Errorf("%d views of %d tables show little", views, len(want))
			}
		})
	}
}

// Test 9: the writer is killed and started again, several times. No view shows a
// row that was not committed or misses one that was.
func TestWriterKilledAndReopened(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a writer for some seconds")
	}
	w := simtest.New(t)
	mode := []string{"--checkpoint", "client", "--checkpoint-after", "200ms", "--rate", "400"}
	w.Chat(append(mode, "--count", "50")...).Wait()
	db := openDB(t, w.DB(message0), Options{Keys: give(accountKey(t, w))})
	seen := map[string]int{}
	total := func() (n int) {
		for _, c := range seen {
			n += c
		}
		return n
	}
	look := func() {
		var counts map[string]int
		err := Retry(t.Context(), 100, func() (err error) {
			counts, err = census(t.Context(), db)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range seen {
			if counts[name] < n {
				t.Fatalf("a table went from %d rows to %d", n, counts[name])
			}
		}
		seen = counts
	}
	look()
	for range 3 {
		chat := w.Chat(append(mode, "--for", "60s")...)
		// Killed in mid-sentence: when enough was seen, not when enough time has passed.
		for enough := total() + 100; total() < enough; {
			look()
			select {
			case <-chat.Done():
				chat.Wait()
				t.Fatal("simulator ended by itself")
			default:
			}
		}
		chat.Kill()
		look()
	}
	// A clean run settles in the oracle what the last kill left open.
	w.Chat(append(mode, "--count", "20")...).Wait()
	look()
	want := inserted(t, w.Oracle)
	for name := range seen {
		if seen[name] == 0 && want[name] == 0 {
			delete(seen, name)
		}
	}
	if !maps.Equal(seen, want) {
		t.Errorf("rows by table %v, want %v", seen, want)
	}
}
