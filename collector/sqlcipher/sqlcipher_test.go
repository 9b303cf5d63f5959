package sqlcipher

import (
	"slices"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Everything committed is seen, whether it is in the WAL, in the main file or in both.
func TestViewSeesTheNewestCommit(t *testing.T) {
	for _, p := range []Params{V4, V3, M3} {
		t.Run(p.Name, func(t *testing.T) {
			src := newSource(t, p)
			src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
			db := src.db()
			var want []string
			for i := range 200 {
				src.exec("INSERT INTO t(body) VALUES('row " + itoa(i) + "')")
				want = append(want, "row "+itoa(i))
				switch i % 50 {
				case 20:
					src.exec("PRAGMA wal_checkpoint(PASSIVE)")
				case 40:
					src.exec("PRAGMA wal_checkpoint(RESTART)")
				case 49:
					src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
				}
				src.mirror()
				if got := mustRows(t, db, "SELECT body FROM t ORDER BY id"); !slices.Equal(got, want) {
					t.Fatalf("after insert %d: %d rows, want %d", i, len(got), len(want))
				}
			}
			if got := mustRows(t, db, "PRAGMA integrity_check"); !slices.Equal(got, []string{"ok"}) {
				t.Fatalf("integrity check: %q", got)
			}
		})
	}
}
