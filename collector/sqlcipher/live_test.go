package sqlcipher

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// chat starts the simulator chatting and returns a channel closed when it ended.
func (a simAccount) chat(t *testing.T, args ...string) (*exec.Cmd, <-chan error) {
	t.Helper()
	cmd := exec.Command(simulator(t), a.args("chat", args...)...)
	cmd.Stderr = os.Stderr
	if testing.Short() || !testing.Verbose() {
		cmd.Stderr = nil
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait(); close(done) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	return cmd, done
}

// inserted reads from the oracle how many messages each table must hold.
func (a simAccount) inserted(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open(a.oracle)
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
			a := newAccount(t.TempDir())
			_, done := a.chat(t, append(mode, "--rate", "400", "--for", "3s", "--recall", "0.05", "--recall-after", "100ms")...)
			var keys []Key
			db := openDB(t, a.message0(), Options{Keys: func([16]byte) []Key {
				if keys == nil {
					if _, err := os.Stat(a.keysFile); err != nil {
						return nil
					}
					keys = []Key{a.key(t)}
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
				case err := <-done:
					if err != nil {
						t.Fatalf("simulator: %v", err)
					}
					running = false
				default:
					look()
				}
			}
			if !look() {
				t.Fatal("no view held although nobody writes")
			}
			want := a.inserted(t)
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
	a := newAccount(t.TempDir())
	mode := []string{"--checkpoint", "client", "--checkpoint-after", "200ms", "--rate", "400"}
	_, done := a.chat(t, append(mode, "--count", "50")...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	db := openDB(t, a.message0(), Options{Keys: give(a.key(t))})
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
		cmd, done := a.chat(t, append(mode, "--for", "60s")...)
		// Killed in mid-sentence: when enough was seen, not when enough time has passed.
		for enough := total() + 100; total() < enough; {
			look()
			select {
			case err := <-done:
				t.Fatalf("simulator ended by itself: %v", err)
			default:
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		look()
	}
	// A clean run settles in the oracle what the last kill left open.
	_, done = a.chat(t, append(mode, "--count", "20")...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	look()
	want := a.inserted(t)
	for name := range seen {
		if seen[name] == 0 && want[name] == 0 {
			delete(seen, name)
		}
	}
	if !maps.Equal(seen, want) {
		t.Errorf("rows by table %v, want %v", seen, want)
	}
}
