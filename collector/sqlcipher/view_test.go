package sqlcipher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Test 1: before the first checkpoint the main file is one page without a table,
// and everything is in the WAL; and a database of one page is one, with no table.
func TestMainFileOfOnePage(t *testing.T) {
	src := newSource(t, V4)
	src.mirror()
	if n := len(src.read(src.path)); n != V4.PageSize {
		t.Fatalf("main file of %d bytes, want one page", n)
	}
	db := src.db()
	if got := mustRows(t, db, "SELECT name FROM sqlite_schema"); len(got) != 0 {
		t.Fatalf("tables %q, want none", got)
	}
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES('in the wal')")
	src.mirror()
	if n := len(src.read(src.path)); n != V4.PageSize {
		t.Fatalf("main file of %d bytes, want one page", n)
	}
	if got := mustRows(t, db, "SELECT x FROM t"); !slices.Equal(got, []string{"in the wal"}) {
		t.Fatalf("rows %q", got)
	}
	// The same without its WAL, as after a client that never ran again.
	for _, ext := range []string{"-wal", "-shm"} {
		if err := os.Remove(src.path + ext); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustRows(t, db, "SELECT name FROM sqlite_schema"); len(got) != 0 {
		t.Fatalf("tables %q, want none", got)
	}
}

// What is not a database says so by name, and nothing hangs or panics.
func TestNotADatabase(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x)")
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	good := src.read(src.path)
	for _, tt := range []struct {
		name string
		make func(path string) error
		want error
	}{
		{"absent", func(string) error { return nil }, fs.ErrNotExist},
		{"a folder", func(p string) error { return os.Mkdir(p, 0o700) }, ErrNotDatabase},
		{"no bytes", put(nil), ErrEmpty},
		{"a few bytes", put(good[:10]), ErrNotDatabase},
		{"half a page", put(good[:V4.PageSize/2]), ErrKeyRejected},
		{"text", put([]byte(strings.Repeat("not a database\n", 1000))), ErrKeyRejected},
		{"a plain database", put([]byte(magic + strings.Repeat("\x00", 8192))), ErrNotDatabase},
		{"page 1 damaged", put(flip(good, 1000)), ErrKeyRejected},
		{"salt damaged", put(flip(good, 3)), ErrKeyRejected},
		{"page 1 of zeros after the salt", put(append([]byte("0123456789abcdef"), make([]byte, 8176)...)), ErrKeyRejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			db := openDB(t, path, Options{Keys: give(testKey(t))})
			for range 2 {
				_, err := viewRows(db, "SELECT 1")
				if !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				if !strings.Contains(err.Error(), path) {
					t.Errorf("error does not name the file: %v", err)
				}
			}
		})
	}
}

func put(b []byte) func(string) error {
	return func(path string) error { return os.WriteFile(path, b, 0o600) }
}

// Damage in a page is ErrCorrupt wherever it is, and other tables stay readable.
func TestDamageIsNamed(t *testing.T) {
	for _, where := range []string{"main file", "wal"} {
		t.Run(where, func(t *testing.T) {
			src := newSource(t, V4)
			src.exec("CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES('a'); INSERT INTO b VALUES('b')")
			path := src.path + "-wal"
			if where == "main file" {
				src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
				path = src.path
			}
			src.mirror()
			good := src.read(path)
			db := src.db()
			var bad []byte
			if where == "main file" {
				bad = flip(good, V4.PageSize+100) // page 2: table a
			} else {
				// A damaged frame with a right checksum: re-chain what follows.
				bad = rechain(damage(good, 2), V4.PageSize)
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := viewRows(db, "SELECT x FROM a")
				if !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrMoved) {
					t.Fatalf("got %v, want ErrCorrupt", err)
				}
				if !strings.Contains(err.Error(), where) {
					t.Errorf("error does not say where: %v", err)
				}
			}
			// Even a function that hides its error does not hide the damage.
			if err := db.View(t.Context(), func(v *View) error { query(v, "SELECT x FROM a"); return nil }); !errors.Is(err, ErrCorrupt) {
				t.Errorf("error ignored by the function: got %v, want ErrCorrupt", err)
			}
			if got := mustRows(t, db, "SELECT x FROM b"); !slices.Equal(got, []string{"b"}) {
				t.Errorf("table b: %q", got)
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := mustRows(t, db, "SELECT x FROM a"); !slices.Equal(got, []string{"a"}) {
				t.Errorf("after repair: %q", got)
			}
		})
	}
}

// A malformed page under a right MAC, as a mix of states shows, never gets further
// than an error, whatever the engine makes of it.
func TestMalformedPageUnderARightMAC(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
	for range 100 {
		src.exec("INSERT INTO t(body) VALUES(hex(randomblob(200)))")
	}
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	plain := src.read(src.plain)
	p := V4.PageSize
	failed := 0
	for seed := range 200 {
		main := slices.Clone(plain)
		r := uint32(seed)*2654435761 + 12345
		for range 1 + seed%20 {
			r = r*1664525 + 1013904223
			page := int(r>>8) % (len(main)/p - 1)
			r = r*1664525 + 1013904223
			at := (page + 1) * p // not page 1
			at += []int{int(r>>8) % 20, int(r>>8) % 200, int(r>>8) % (p - V4.Reserve)}[seed%3]
			main[at] ^= byte(r>>24) | 1
		}
		for pg := 1; pg*p <= len(main); pg++ {
			copy(main[(pg-1)*p:], src.seal.page(uint32(pg), main[(pg-1)*p:pg*p]))
		}
		if err := os.WriteFile(src.path, main, 0o600); err != nil {
			t.Fatal(err)
		}
		db := src.db()
		_, err := viewRows(db, "SELECT id || body FROM t")
		if err != nil {
			failed++
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("seed %d: got %v, want ErrCorrupt", seed, err)
			}
		}
		db.Close()
	}
	if failed == 0 {
		t.Error("no damage was ever noticed")
	}
}

// A panic of the engine is ErrCorrupt and costs the connection; a panic of the
// caller goes through, and the DB is as usable as before.
func TestPanics(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.mirror()
	db := src.db()
	err := db.View(t.Context(), func(v *View) error {
		return (&sqlite3.Stmt{}).Reset() // a statement of no connection: a nil dereference inside the engine
	})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("engine panic: got %v, want ErrCorrupt", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "mine" {
				t.Errorf("recovered %v, want the function's own panic", r)
			}
		}()
		db.View(t.Context(), func(*View) error { panic("mine") })
	}()
	func() {
		defer func() {
			if r := recover(); r == nil {
				t.Error("an index out of range in the function was swallowed")
			}
		}()
		db.View(t.Context(), func(*View) error { return []error{}[len(src.path)] })
	}()
	if got := mustRows(t, db, "SELECT x FROM t"); len(got) != 1 {
		t.Errorf("%d rows afterwards, want 1", len(got))
	}
}

// Nothing can be written through the connection, and no other file reached.
func TestConnectionIsReadOnlyAndAlone(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.exec("CREATE TABLE big AS SELECT hex(randomblob(900)) AS x FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 4000) SELECT i FROM n)")
	src.mirror()
	other := filepath.Join(t.TempDir(), "other.db")
	err := src.db().View(t.Context(), func(v *View) error {
		for _, sql := range []string{
			"INSERT INTO t VALUES(2)", "DELETE FROM t", "CREATE TABLE u(x)", "CREATE TEMP TABLE u(x)", "DROP TABLE t",
			"PRAGMA user_version = 7", "ATTACH '" + other + "' AS o", "ATTACH 'file:" + other + "?vfs=os' AS o", "VACUUM INTO '" + other + "'",
		} {
			if err := v.Conn().Exec(sql); err == nil {
				t.Errorf("%s: allowed", sql)
			}
		}
		// A sort of more than the cache holds stays in memory.
		rows, err := query(v, "SELECT x FROM big ORDER BY x")
		if err == nil && (len(rows) != 4000 || !slices.IsSorted(rows)) {
			t.Errorf("sorted %d rows", len(rows))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Error("another file was made")
	}
}

// Guest: whatever views do, the files' content, names, sizes and times stay, and no
// handle is left open.
func TestGuestLeavesNoTrace(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.exec("PRAGMA wal_checkpoint(RESTART); INSERT INTO t VALUES(2)")
	src.mirror()
	dir := filepath.Dir(src.path)
	look := func() string {
		var b strings.Builder
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, e.Name(), info.Size(), info.ModTime().UnixNano(), info.Mode(), string(src.read(filepath.Join(dir, e.Name()))))
		}
		return b.String()
	}
	before := look()
	watch := &watchedFS{}
	db := src.db()
	db.fs = watch
	for range 5 {
		mustRows(t, db, "SELECT x FROM t")
	}
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Prefetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Changed(t.Context(), Mark{frame: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := viewRows(src.db(func(o *Options) { o.Keys = nil }), "SELECT 1"); !errors.Is(err, ErrKeyMissing) {
		t.Fatal(err)
	}
	if after := look(); after != before {
		t.Error("the folder is not as it was")
	}
	if n := watch.opened.Load(); n == 0 || watch.openNow.Load() != 0 {
		t.Errorf("%d files opened, %d still open", n, watch.openNow.Load())
	}
	if watch.lockBytes.Load() {
		t.Error("lock bytes of -shm were read")
	}
}

// watchedFS counts open files and notices reads of the lock bytes.
type watchedFS struct {
	osFS
	opened, openNow atomic.Int64
	lockBytes       atomic.Bool
}

func (w *watchedFS) open(path string) (file, error) {
	f, err := w.osFS.open(path)
	if err != nil {
		return nil, err
	}
	w.opened.Add(1)
	w.openNow.Add(1)
	return &watchedFile{f, w, strings.HasSuffix(path, "-shm")}, nil
}

type watchedFile struct {
	file
	w   *watchedFS
	shm bool
}

func (f *watchedFile) ReadAt(p []byte, off int64) (int, error) {
	if f.shm && off < 128 && off+int64(len(p)) > 120 {
		f.w.lockBytes.Store(true)
	}
	return f.file.ReadAt(p, off)
}

func (f *watchedFile) Close() error {
	f.w.openNow.Add(-1)
	return f.file.Close()
}

// A page half written when it is read is read again, and nobody hears of it.
func TestTornPageIsReadAgain(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES('whole')")
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	db := src.db()
	mustRows(t, db, "SELECT x FROM t")
	tear := &tearingFS{times: 3}
	db.fs = tear
	src.exec("INSERT INTO t VALUES('more')") // so that pages are read at all
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	if got := mustRows(t, db, "SELECT x FROM t"); !slices.Equal(got, []string{"whole", "more"}) {
		t.Fatalf("rows %q", got)
	}
	if got := db.Counters().MACFailures; got != 3 {
		t.Errorf("%d MAC failures, want 3", got)
	}
}

// tearingFS gives page 2 of the main file torn, a number of times.
type tearingFS struct {
	osFS
	times int
}

func (w *tearingFS) open(path string) (file, error) {
	f, err := w.osFS.open(path)
	if err != nil || filepath.Ext(path) != ".db" {
		return f, err
	}
	return &tornFile{f, w}, nil
}

type tornFile struct {
	file
	w *tearingFS
}

func (f *tornFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	if off == int64(V4.PageSize) && f.w.times > 0 {
		f.w.times--
		clear(p[len(p)/2:])
	}
	return n, err
}

// Pages of zeros and the lock-byte page have no MAC. The lock page is at 1 GiB, so
// the file here is sparse: a database whose table goes from below it to beyond.
func TestLockBytePage(t *testing.T) {
	if testing.Short() {
		t.Skip("a sparse file of 1 GiB")
	}
	src := newSource(t, V4)
	s := &snapshot{db: src.db(), pageSize: V4.PageSize, codec: &codec{params: V4, keys: src.seal.keys}}
	dec, err := newDecryptor(s.codec)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "big.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const lockPage = 262145
	page := make([]byte, V4.PageSize)
	for i := range page {
		page[i] = byte(i)
	}
	for _, pg := range []uint32{lockPage - 1, lockPage + 1} {
		if _, err := f.WriteAt(src.seal.page(pg, page), int64(pg-1)*int64(V4.PageSize)); err != nil {
			t.Fatal(err)
		}
	}
	// Whatever stands at the lock page does not count.
	if _, err := f.WriteAt([]byte("garbage"), lockByte); err != nil {
		t.Fatal(err)
	}
	s.main = f
	buf := make([]byte, V4.PageSize)
	for pg, first := range map[uint32]byte{lockPage - 1: 1, lockPage: 0, lockPage + 1: 1, 5: 0} {
		if err := s.readPage(dec, pg, buf); err != nil {
			t.Fatalf("page %d: %v", pg, err)
		}
		if buf[1] != first {
			t.Errorf("page %d: second byte %d, want %d", pg, buf[1], first)
		}
	}
	if s.reads.has(lockPage) {
		t.Error("the lock page counts as read from the main file")
	}
}

// The size of the reserve that SQLite sees is byte 20 of the header, whatever the
// cipher reserves: a v3 file with 80 there reads well.
func TestReserveByteIsTheDatabases(t *testing.T) {
	v3with80 := V3
	v3with80.Reserve = 80 // what SQLite is told
	src := newSource(t, v3with80)
	src.exec("CREATE TABLE t(x)")
	for range 50 {
		src.exec("INSERT INTO t VALUES(hex(randomblob(400)))")
	}
	src.seal.params = V3 // what the cipher does
	src.mirror()
	db := openDB(t, src.path, Options{Params: []Params{V4, V3}, Keys: give(testKey(t))})
	if got := mustRows(t, db, "PRAGMA integrity_check"); !slices.Equal(got, []string{"ok"}) {
		t.Fatalf("integrity check: %q", got)
	}
}

// A plain database is read when Plain is listed, and refused otherwise.
func TestPlain(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES('plain')")
	db := openDB(t, src.plain, Options{Params: []Params{V4, Plain}})
	if got := mustRows(t, db, "SELECT x FROM t"); !slices.Equal(got, []string{"plain"}) {
		t.Fatalf("rows %q", got)
	}
	if _, err := viewRows(openDB(t, src.plain, Options{}), "SELECT 1"); !errors.Is(err, ErrNotDatabase) {
		t.Errorf("got %v, want ErrNotDatabase", err)
	}
}

// Changed is true after each commit, false otherwise, and needs no key.
func TestChanged(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x)")
	src.mirror()
	db := src.db()
	mark := func() (m Mark) {
		t.Helper()
		if err := db.View(t.Context(), func(v *View) error { m = v.Commit(); return nil }); err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := func(m Mark, want bool, when string) {
		t.Helper()
		got, err := db.Changed(t.Context(), m)
		if err != nil || got != want {
			t.Errorf("%s: changed %t, %v; want %t", when, got, err, want)
		}
	}
	want(Mark{}, true, "before everything")
	m := mark()
	want(m, false, "nothing happened")
	src.exec("BEGIN; INSERT INTO t VALUES(1)")
	src.mirror()
	want(m, false, "not committed")
	src.exec("COMMIT")
	src.mirror()
	want(m, true, "committed")
	m = mark()
	want(m, false, "seen")
	src.exec("PRAGMA wal_checkpoint(PASSIVE)")
	src.mirror()
	want(m, false, "a checkpoint changes no row")
	src.exec("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(2)")
	src.mirror()
	want(m, true, "another generation")
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	m = mark()
	want(m, false, "no wal")
	src.exec("INSERT INTO t VALUES(3); PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	want(m, true, "committed and copied while there was no wal to see it in")
	m = mark()
	if err := os.Rename(src.path, src.path+".gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Changed(t.Context(), m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file gone: %v", err)
	}
}

// ChangedSince and Trace together tell whether rows that were read may have changed:
// the pages of the touched table are among those changed, the others' are not.
func TestChangedPagesAndTrace(t *testing.T) {
	src := newSource(t, V4)
	for _, table := range []string{"a", "b"} {
		src.exec("CREATE TABLE " + table + "(id INTEGER PRIMARY KEY, body)")
		for range 60 {
			src.exec("INSERT INTO " + table + "(body) VALUES(hex(randomblob(300)))")
		}
	}
	src.mirror()
	db := src.db()
	var mark Mark
	pages := map[string][]uint32{}
	err := db.View(t.Context(), func(v *View) error {
		mark = v.Commit()
		for _, table := range []string{"a", "b", "a"} {
			if _, err := query(v, "SELECT count(body) FROM "+table); err != nil { // warms the cache
				return err
			}
			stop := v.Trace()
			_, err := query(v, "SELECT body FROM "+table+" WHERE id > 50")
			got := stop()
			if err != nil {
				return err
			}
			if earlier := pages[table]; earlier != nil && !slices.Equal(earlier, got) {
				t.Errorf("table %s: pages %v, and %v with a warm cache", table, earlier, got)
			}
			pages[table] = got
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	src.exec("UPDATE a SET body = 'changed' WHERE id = 55")
	src.mirror()
	err = db.View(t.Context(), func(v *View) error {
		changed, known := v.ChangedSince(mark)
		if !known {
			t.Fatal("changes not known within one generation")
		}
		touches := func(pages []uint32) bool {
			return slices.ContainsFunc(pages, func(p uint32) bool { _, ok := changed[p]; return ok })
		}
		if !touches(pages["a"]) {
			t.Error("a's pages are not among those changed")
		}
		if touches(pages["b"]) {
			t.Error("b's pages are among those changed")
		}
		if _, known := v.ChangedSince(Mark{}); known {
			t.Error("changes since the beginning of time are known")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	src.exec("PRAGMA wal_checkpoint(TRUNCATE); UPDATE a SET body = 'again' WHERE id = 56")
	src.mirror()
	err = db.View(t.Context(), func(v *View) error {
		if _, known := v.ChangedSince(mark); known {
			t.Error("changes are known across a restart")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Across one restart of the WAL changes are known, if every frame before it was seen
// and that can be shown; otherwise they are not.
func TestChangesAcrossARestart(t *testing.T) {
	const restart = "PRAGMA wal_checkpoint(RESTART); "
	const a, b = "UPDATE a SET body = body + 1", "UPDATE b SET body = body + 1"
	for _, tt := range []struct {
		name    string
		before  bool // frames of an older generation stand behind those of this one
		seen    string
		unseen  string
		known   bool
		changed string // tables
	}{
		{"one restart", true, a, restart + b, true, "ab"},
		{"and nothing before it", true, "", restart + b, true, "b"},
		{"as long as the one before", true, a, restart + b + "; " + b, true, "ab"},
		{"longer than the one before", true, a, restart + b + "; " + b + "; " + b, false, ""},
		{"frames before it that nobody saw", true, "", a + "; " + restart + b, false, ""},
		{"and as many after it", true, "", a + "; " + restart + b + "; " + b, false, ""},
		{"two restarts", true, "", restart + a + "; " + restart + b, false, ""},
		{"nothing behind the frames", false, a, restart + b, false, ""},
		{"a truncation", true, a, "PRAGMA wal_checkpoint(TRUNCATE); " + b, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := newSource(t, V4)
			src.exec("CREATE TABLE a(body); CREATE TABLE b(body); INSERT INTO a VALUES(1); INSERT INTO b VALUES(1)")
			if tt.before {
				src.exec(restart + a)
			}
			src.mirror()
			db := src.db()
			var mark Mark
			roots := map[string]uint32{}
			err := db.View(t.Context(), func(v *View) error {
				mark = v.Commit()
				for _, table := range []string{"a", "b"} {
					rows, err := query(v, "SELECT rootpage FROM sqlite_schema WHERE name = '"+table+"'")
					if err != nil {
						return err
					}
					n, err := strconv.Atoi(rows[0])
					if err != nil {
						return err
					}
					roots[table] = uint32(n)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, sql := range []string{tt.seen, tt.unseen} {
				src.exec(sql)
				src.mirror()
				if changed, err := db.Changed(t.Context(), mark); err != nil || changed != (sql != "") {
					t.Fatalf("changed after %q: %t, %v", sql, changed, err)
				}
			}
			err = db.View(t.Context(), func(v *View) error {
				pages, known := v.ChangedSince(mark)
				changed := ""
				for _, table := range []string{"a", "b"} {
					if _, ok := pages[roots[table]]; ok {
						changed += table
					}
				}
				if known != tt.known || changed != tt.changed {
					t.Errorf("changes known: %t, of tables %q; want %t, %q", known, changed, tt.known, tt.changed)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A commit and a restart between the frames of a look and what it finds behind them:
// that is the next generation's, and proves nothing.
func TestRestartWithinALook(t *testing.T) {
	const restart = "PRAGMA wal_checkpoint(RESTART); "
	const a, b = "UPDATE a SET body = body + 1; ", "UPDATE b SET body = body + 1; "
	src := newSource(t, V4)
	src.exec("CREATE TABLE a(body); CREATE TABLE b(body); INSERT INTO a VALUES(1); INSERT INTO b VALUES(1);" + restart + a)
	src.mirror()
	db := src.db()
	var mark Mark
	look := func(fn func(*View)) {
		t.Helper()
		if err := db.View(t.Context(), func(v *View) error { fn(v); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	look(func(v *View) { mark = v.Commit() })
	src.exec(a)
	src.mirror()
	headers := 0 // of frames: the last one seen, the next, and the one behind that
	fs := &interruptedFS{filesystem: db.fs, when: func(path string, size int, off int64) bool {
		if size == frameHeaderSize {
			headers++
		}
		return headers == 3
	}}
	fs.then = func() {
		src.exec(a + restart + b + b + b)
		src.mirror()
	}
	db.fs = fs
	if _, err := db.Changed(t.Context(), mark); err != nil || headers != 3 {
		t.Fatalf("%v after %d headers", err, headers)
	}
	look(func(v *View) {
		if _, known := v.ChangedSince(mark); known {
			t.Error("changes are known although a commit was not seen")
		}
	})
}

// A second look at the same snapshot reads nothing but headers; a new commit costs
// its own pages and the way to them.
func TestCostOfAView(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
	src.exec("BEGIN")
	for range 20000 {
		src.exec("INSERT INTO t(body) VALUES(hex(randomblob(100)))")
	}
	src.exec("COMMIT; PRAGMA wal_checkpoint(RESTART); INSERT INTO t(body) VALUES('last')")
	src.mirror()
	db := src.db()
	cost := func() (pages, bytes uint64) {
		before := db.Counters()
		mustRows(t, db, "SELECT body FROM t WHERE id > 20000")
		after := db.Counters()
		return after.Pages - before.Pages, after.MainBytes - before.MainBytes + after.WALBytes - before.WALBytes
	}
	cost()
	if pages, bytes := cost(); pages > 1 || bytes > 2*uint64(V4.PageSize) {
		t.Errorf("nothing new: %d pages, %d bytes", pages, bytes)
	}
	src.exec("INSERT INTO t(body) VALUES('newer')")
	src.mirror()
	if pages, bytes := cost(); pages > 8 || bytes > 100_000 {
		t.Errorf("one row more: %d pages, %d bytes", pages, bytes)
	}
}

// Prepared statements are kept, bounded, and clean when they come back.
func TestPrepare(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1), (2), (3)")
	src.mirror()
	db := src.db()
	var kept *sqlite3.Stmt
	for round := range 3 {
		err := db.View(t.Context(), func(v *View) error {
			s, err := v.Prepare("SELECT x FROM t WHERE x > ?")
			if err != nil {
				return err
			}
			if round > 0 && s != kept {
				t.Error("statement was prepared again")
			}
			kept = s
			if s.Step() {
				t.Error("a binding survived")
			}
			s.Reset()
			s.BindInt(1, 1)
			s.Step() // left in the middle
			again, err := v.Prepare("SELECT x FROM t WHERE x > ?")
			if err != nil {
				return err
			}
			if again == s {
				t.Error("a statement in use was given away")
			}
			if !s.Step() || s.ColumnInt(0) != 3 {
				t.Error("the statement in use was disturbed")
			}
			for i := range maxStmts + 50 {
				if _, err := v.Prepare("SELECT " + itoa(i) + " FROM t"); err != nil {
					return err
				}
			}
			if _, err := v.Prepare("SELECT x FROM t WHERE x > ?"); err != nil {
				return err
			}
			if _, err := v.Prepare("SELECT 1; SELECT 2"); err == nil {
				t.Error("two statements in one were prepared")
			}
			if _, err := v.Prepare(""); err == nil {
				t.Error("no statement was prepared")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(db.idle.stmts); n > maxStmts {
			t.Errorf("%d statements kept, want at most %d", n, maxStmts)
		}
	}
}

// Views run at the same time, each on its own connection, and one is kept.
func TestConcurrentViews(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.mirror()
	cache := new(KeyCache)
	src.seal = newSealer(t, V4, testKeyBytes[:], V4.Iterations)
	src.mirror()
	db := src.db(func(o *Options) { o.Derived = cache })
	const n = 4
	var ready, done sync.WaitGroup
	ready.Add(n)
	conns := make(chan *sqlite3.Conn, n)
	for range n {
		done.Go(func() {
			err := db.View(context.Background(), func(v *View) error {
				ready.Done()
				ready.Wait() // all are inside at once
				conns <- v.Conn()
				_, err := query(v, "SELECT x FROM t")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	close(conns)
	seen := map[*sqlite3.Conn]bool{}
	for c := range conns {
		seen[c] = true
	}
	if len(seen) != n {
		t.Errorf("%d connections for %d views", len(seen), n)
	}
	if db.idle == nil {
		t.Error("no connection was kept")
	}
	if got := cache.Derivations(); got != 1 {
		t.Errorf("%d key derivations, want 1", got)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := viewRows(db, "SELECT 1"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("view after close: %v", err)
	}
}

// The function's own error comes back as it is and does not cost the connection, and
// neither does a view that moved, unless the schema was read in it: that may be a mix
// of two states under the right version.
func TestConnectionIsKeptOrDropped(t *testing.T) {
	src, db := grown(t)
	own := errors.New("enough")
	look := func(meanwhile string) (conn *sqlite3.Conn, err error) {
		err = db.View(t.Context(), func(v *View) error {
			conn = v.Conn()
			if meanwhile != "" {
				src.exec(meanwhile)
				src.mirror()
			}
			return own
		})
		return conn, err
	}
	const restart = "UPDATE t SET body = 'x'; PRAGMA wal_checkpoint(TRUNCATE)"
	var last *sqlite3.Conn
	for _, tt := range []struct {
		name, before, meanwhile string
		kept                    bool // the connection of the view before
	}{
		{"the first, which moves", "", restart, false},
		{"another", "", "", false},
		{"after the function's error", "", restart, true},
		{"after moving", "", "", true},
		{"with another schema", "CREATE TABLE another(x)", restart, true},
		{"after moving with another schema", "", "", false},
		{"with another schema and at rest", "CREATE TABLE third(x)", "", true},
		{"after that", "", restart, true},
		{"and at the end", "", "", true},
	} {
		if tt.before != "" {
			src.exec(tt.before)
			src.mirror()
		}
		c, err := look(tt.meanwhile)
		if !errors.Is(err, own) || errors.Is(err, ErrMoved) != (tt.meanwhile != "") {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if (c == last) != tt.kept {
			t.Errorf("%s: the connection was kept: %t, want %t", tt.name, c == last, tt.kept)
		}
		last = c
	}
}

// A schema read while a checkpoint copies it, page 1 with the new version already and
// a leaf still old, is not remembered: the next view reads it again.
func TestTornSchemaIsForgotten(t *testing.T) {
	src, _ := grown(t)
	for i := range 20 {
		src.exec("CREATE TABLE x" + itoa(i) + "(was /*" + strings.Repeat("-", 700) + "*/)")
	}
	src.exec("PRAGMA wal_checkpoint(RESTART); INSERT INTO u VALUES(2)")
	src.mirror()
	db := src.db()
	fs := &interruptedFS{filesystem: db.fs, when: func(path string, size int, off int64) bool {
		return path == src.path && size == V4.PageSize && off == 0
	}}
	db.fs = fs
	mustRows(t, db, "SELECT was FROM x10")
	src.exec("INSERT INTO u VALUES(3)") // SQLite's page 1 is out of date
	src.mirror()
	fs.then = func() {
		src.exec("ALTER TABLE x10 RENAME COLUMN was TO is_now; INSERT INTO x10 VALUES('new'); PRAGMA wal_checkpoint(PASSIVE)")
		src.copied(1)
	}
	err := db.View(t.Context(), func(v *View) error {
		defer src.mirror()
		_, err := query(v, "SELECT was FROM x10") // as the old leaf says
		return err
	})
	if !errors.Is(err, ErrMoved) || strings.Contains(err.Error(), "no such column") {
		t.Fatalf("got %v, want ErrMoved alone", err)
	}
	if got := mustRows(t, db, "SELECT is_now FROM x10"); !slices.Equal(got, []string{"new"}) {
		t.Errorf("got %q", got)
	}
}

// A view ends when its context does, in the middle of a statement too.
func TestContextEndsAView(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.mirror()
	db := src.db()
	ctx, cancel := context.WithCancel(context.Background())
	err := db.View(ctx, func(v *View) error {
		cancel()
		_, err := query(v, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n")
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := db.View(ctx, func(*View) error { t.Error("fn ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	mustRows(t, db, "SELECT x FROM t")
}

// Retry runs again for ErrMoved alone, no more often than told.
func TestRetry(t *testing.T) {
	other := errors.New("other")
	for _, tt := range []struct {
		name     string
		errs     []error
		attempts int
		want     error
		runs     int
	}{
		{"at once", []error{nil}, 3, nil, 1},
		{"moved twice", []error{ErrMoved, fmt.Errorf("view: %w", ErrMoved), nil}, 3, nil, 3},
		{"moved too often", []error{ErrMoved, ErrMoved, nil}, 2, ErrMoved, 2},
		{"another error", []error{other, nil}, 3, other, 1},
		{"one attempt", []error{ErrMoved}, 1, ErrMoved, 1},
	} {
		runs := 0
		err := Retry(t.Context(), tt.attempts, func() error { runs++; return tt.errs[runs-1] })
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || runs != tt.runs {
			t.Errorf("%s: %v after %d runs, want %v after %d", tt.name, err, runs, tt.want, tt.runs)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := Retry(ctx, 1<<30, func() error { cancel(); return ErrMoved }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// damage changes a byte in the ciphertext of the newest frame that holds a page.
func damage(wal []byte, page uint32) []byte {
	wal = slices.Clone(wal)
	g, _, _, err := new(follower).sync(&memory{b: wal})
	if err != nil || g == nil {
		panic(err)
	}
	last, _ := g.last()
	wal[g.frameOffset(g.lookup(page, last))+frameHeaderSize+500] ^= 1
	return wal
}

// rechain makes the checksums of all frames right again.
func rechain(wal []byte, pageSize int) []byte {
	wal = slices.Clone(wal)
	h := walHeader(wal[:walHeaderSize])
	sum := getSum(h[24:])
	for b := wal[walHeaderSize:]; len(b) >= frameHeaderSize+pageSize; b = b[frameHeaderSize+pageSize:] {
		sum = checksum(h.bigEndian(), sum, b[:8])
		sum = checksum(h.bigEndian(), sum, b[frameHeaderSize:frameHeaderSize+pageSize])
		putSum(b[16:], sum)
	}
	return wal
}

// A database that rests holds no connection and loses nothing: the next view derives
// no key again and reads the same.
func TestRest(t *testing.T) {
	src, _ := grown(t)
	cache := new(KeyCache)
	db := src.db(func(o *Options) { o.Derived = cache })
	before := mustRows(t, db, "SELECT name FROM sqlite_schema")
	derived := cache.Derivations()
	if db.Schema() == 0 {
		t.Error("the schema takes no memory")
	}
	if !db.Rest() {
		t.Error("there was no connection to free")
	}
	if n := db.Schema(); n != 0 {
		t.Errorf("the schema takes %d bytes without a connection", n)
	}
	if db.Rest() {
		t.Error("the connection is still there")
	}
	if after := mustRows(t, db, "SELECT name FROM sqlite_schema"); !slices.Equal(before, after) {
		t.Errorf("before %v, after %v", before, after)
	}
	if n := cache.Derivations(); n != derived {
		t.Errorf("%d key derivations more", n-derived)
	}
}
