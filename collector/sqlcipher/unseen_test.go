package sqlcipher

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/simtest"
)

// contents lists every table of a message database with its rows, and counts the entries
// of indexes that the engine met.
func contents(t *testing.T, db *DB) (rows map[string]string, indexes int) {
	t.Helper()
	err := db.View(context.Background(), func(v *View) error {
		rows, indexes = map[string]string{}, 0
		names, err := v.Prepare("SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'index')")
		if err != nil {
			return err
		}
		for names.Step() {
			if name := names.ColumnText(0); names.ColumnText(1) == "table" {
				rows[name] = ""
			} else if !strings.HasPrefix(name, "sqlite_autoindex_") {
				indexes++
			}
		}
		if err := names.Err(); err != nil {
			return err
		}
		for name := range rows {
			stmt, _, err := v.Conn().Prepare("SELECT count(*), sum(length(CAST(t.rowid AS TEXT))), max(t.rowid) FROM " + sqlite3.QuoteIdentifier(name) + " t NOT INDEXED")
			if err != nil {
				return err
			}
			if stmt.Step() {
				rows[name] = fmt.Sprintf("%d rows, %s, up to %s", stmt.ColumnInt64(0), stmt.ColumnText(1), stmt.ColumnText(2))
			}
			if err := stmt.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, indexes
}

// Promise: a database whose indexes are not told to SQLite has the same tables and rows as
// with them, in a real client's file, also after the client has made another table; and
// the engine then knows next to none of them.
func TestUnseen(t *testing.T) {
	w := simtest.New(t)
	w.Make(600, 120)
	path, keys := w.DB("message/message_0.db"), give(accountKey(t, w))
	seen := openDB(t, path, Options{Keys: keys})
	unseen := openDB(t, path, Options{Keys: keys, Unseen: func(table, _ string) bool { return strings.HasPrefix(table, "Msg_") }})
	for round := range 2 {
		want, all := contents(t, seen)
		got, left := contents(t, unseen)
		if !maps.Equal(got, want) {
			t.Errorf("round %d: %d tables, and with indexes %d; or other rows", round, len(got), len(want))
		}
		if len(want) < 120 || all < 400 || left > all/10 {
			t.Errorf("round %d: %d tables; %d of %d indexes are known", round, len(want), left, all)
		}
		if round == 1 && got["Msg_new"] != "2 rows, 2, up to 2" {
			t.Errorf("the new table: %q", got["Msg_new"])
		}
		if round == 0 {
			w.Run("exec", "--db", path, "--key", w.Key(), "--sql", "CREATE TABLE Msg_new(local_id INTEGER PRIMARY KEY, x)",
				"--sql", "CREATE INDEX Msg_new_x ON Msg_new(x)", "--sql", "INSERT INTO Msg_new(x) VALUES (1), (2)")
		}
	}
}
