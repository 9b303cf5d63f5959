package collector

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
)

// A silent database gives its connection back at the second look. Those of large schemas
// stay, the last two that changed, for an hour.
func TestLargeSchemasStayOpen(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	a := &account{c: &Collector{opts: Options{Now: func() time.Time { return now }}}}
	for i, tables := range []int{1, 1100, 1100, 1100} {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", i))
		conn, err := sqlite3.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		sql := "PRAGMA synchronous = off; BEGIN;"
		for n := range tables {
			sql += fmt.Sprintf("CREATE TABLE Msg_%d(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o);", n)
		}
		if err := conn.Exec(sql + "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sqlcipher.Open(path, sqlcipher.Options{Params: []sqlcipher.Params{sqlcipher.Plain}})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		a.sessions = append(a.sessions, &database{db: db})
	}
	open := func() (out string) {
		for i, d := range a.sessions {
			if d.db.Schema() > 0 {
				out += fmt.Sprint(i)
			}
		}
		return out
	}
	for _, d := range a.sessions {
		if err := d.view(t.Context(), func(*sqlcipher.View) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if size := a.sessions[1].db.Schema(); size < largeSchema {
		t.Fatalf("a schema of %d bytes is not large", size)
	}
	for _, tt := range []struct {
		after time.Duration
		news  int // in which database this look finds some; 0: in none
		want  string
	}{
		{0, 0, "0123"},
		{time.Minute, 3, "123"},
		{time.Minute, 0, "13"},
		{58*time.Minute + 30*time.Second, 0, "3"},
		{time.Minute, 0, ""},
	} {
		now = now.Add(tt.after)
		if tt.news > 0 {
			a.sessions[tt.news].looked = sqlcipher.Mark{}
		}
		a.rest()
		if got := open(); got != tt.want {
			t.Errorf("after %v: %q are open, want %q", tt.after, got, tt.want)
		}
	}
}
