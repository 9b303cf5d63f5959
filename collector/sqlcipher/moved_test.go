package sqlcipher

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// grown is a database of a few dozen pages, all in the main file, with an open DB.
func grown(t *testing.T, edit ...func(*source)) (*source, *DB) {
	t.Helper()
	src := newSource(t, V4)
	for _, f := range edit {
		f(src)
	}
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body); CREATE TABLE u(x)")
	src.exec("BEGIN")
	for range 300 {
		src.exec("INSERT INTO t(body) VALUES('old' || hex(zeroblob(200)))")
	}
	src.exec("COMMIT; PRAGMA wal_checkpoint(RESTART); UPDATE t SET body = body || '!' WHERE id = 1")
	src.mirror()
	return src, src.db()
}

const oldRows = "SELECT count(*) FROM t WHERE body LIKE 'old%'"

// Test 5, and what may and may not happen while a view is open: whatever the writer
// does between two reads of one view, it is either seen as one whole state, the one
// at the view's beginning, or the view says that it moved.
func TestInterferenceDuringAView(t *testing.T) {
	update := "UPDATE t SET body = 'new' || substr(body, 4)"
	for _, tt := range []struct {
		name  string
		do    func(*source)
		want  error // nil: the view must hold; ErrMoved: it must not
		noSHM error // the same when there is no -shm to ask
	}{
		{"nothing", func(s *source) {}, nil, nil},
		{"an unfinished transaction", func(s *source) { s.exec("BEGIN; " + update) }, nil, nil},
		{"a commit", func(s *source) { s.exec(update) }, nil, ErrMoved},
		{"commits on pages that were not read", func(s *source) { s.exec("INSERT INTO u VALUES(1)") }, nil, nil},
		{"a commit, and a checkpoint overwrites pages", func(s *source) { s.exec(update + "; PRAGMA wal_checkpoint(PASSIVE)") }, ErrMoved, ErrMoved},
		{"a checkpoint of what the snapshot has", func(s *source) { s.exec("PRAGMA wal_checkpoint(PASSIVE)") }, nil, nil},
		{"a restart", func(s *source) { s.exec("PRAGMA wal_checkpoint(RESTART); " + update) }, ErrMoved, ErrMoved},
		{"a truncation", func(s *source) { s.exec(update + "; PRAGMA wal_checkpoint(TRUNCATE)") }, ErrMoved, ErrMoved},
		{"restarts back and forth", func(s *source) {
			for range 3 {
				s.exec(update + "; PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET body = 'old' || substr(body, 4); PRAGMA wal_checkpoint(RESTART)")
			}
		}, ErrMoved, ErrMoved},
		{"rows deleted and the file made shorter", func(s *source) {
			s.exec("DELETE FROM t WHERE id > 20; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
		}, ErrMoved, ErrMoved},
		{"the wal deleted", func(s *source) { os.Remove(s.path + "-wal"); s.noMirror = true }, ErrMoved, ErrMoved},
	} {
		for _, noSHM := range []bool{false, true} {
			want := tt.want
			if noSHM {
				want = tt.noSHM
			}
			t.Run(tt.name+map[bool]string{true: " without shm"}[noSHM], func(t *testing.T) {
				src, db := grown(t, func(s *source) { s.noSHM = noSHM })
				var first, second []string
				err := db.View(t.Context(), func(v *View) (err error) {
					if first, err = query(v, "SELECT count(*) FROM t WHERE id < 150 AND body LIKE 'old%'"); err != nil {
						return err
					}
					tt.do(src)
					if !src.noMirror {
						src.mirror()
					}
					second, err = query(v, "SELECT count(*) FROM t WHERE id >= 150 AND body LIKE 'old%'")
					return err
				})
				if !errors.Is(err, want) || (err == nil) != (want == nil) {
					t.Fatalf("got %v, want %v", err, want)
				}
				if err == nil && (first[0] != "149" || second[0] != "151") {
					t.Errorf("saw %s and %s old rows, want 149 and 151", first[0], second[0])
				}
				if moved := db.Counters().Moved; (moved == 1) != (want != nil) {
					t.Errorf("%d moved views counted", moved)
				}
			})
		}
	}
}

// Test 4: what was only in the WAL at one look and only in the main file at the
// next is there both times.
func TestRestartBetweenViews(t *testing.T) {
	src, db := grown(t)
	for i, mode := range []string{"PASSIVE", "RESTART", "TRUNCATE", "RESTART", "TRUNCATE"} {
		src.exec("UPDATE t SET body = 'new' WHERE id = " + itoa(i+1))
		src.mirror()
		want := []string{itoa(300 - i - 1)}
		if got := mustRows(t, db, oldRows); !slices.Equal(got, want) {
			t.Fatalf("before %s: %s old rows, want %s", mode, got, want)
		}
		src.exec("PRAGMA wal_checkpoint(" + mode + ")")
		src.mirror()
		if got := mustRows(t, db, oldRows); !slices.Equal(got, want) {
			t.Fatalf("after %s: %s old rows, want %s", mode, got, want)
		}
	}
}

// Test 3: a WAL far larger than its database, then cut within one commit.
func TestHugeWALThenCut(t *testing.T) {
	src := newSource(t, V4)
	src.exec("PRAGMA journal_size_limit = 65536; CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES(1, 0)")
	for range 2000 {
		src.exec("UPDATE t SET n = n + 1")
	}
	src.mirror()
	db := src.db()
	if got := mustRows(t, db, "SELECT n FROM t"); got[0] != "2000" {
		t.Fatalf("n = %s, want 2000", got[0])
	}
	long := len(src.read(src.path + "-wal"))
	src.exec("PRAGMA wal_checkpoint(RESTART)")
	src.mirror()
	if got := mustRows(t, db, "SELECT n FROM t"); got[0] != "2000" {
		t.Fatalf("n = %s, want 2000", got[0])
	}
	src.exec("UPDATE t SET n = n + 1")
	src.mirror()
	if short := len(src.read(src.path + "-wal")); short >= long/10 {
		t.Fatalf("wal was cut from %d to %d bytes only: nothing is tested", long, short)
	}
	if got := mustRows(t, db, "SELECT n FROM t"); got[0] != "2001" {
		t.Fatalf("n = %s, want 2001", got[0])
	}
}

// A database replaced between two views is announced once, then read; cursors have
// an Identity to hold on to. The same path with the same bytes in another file is
// another database.
func TestReplacedBetweenViews(t *testing.T) {
	src, db := grown(t)
	ident := func() (id Identity) {
		t.Helper()
		if err := db.View(t.Context(), func(v *View) error { id = v.Identity(); return nil }); err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := ident()
	if first.Salt != testSalt || first != ident() {
		t.Fatalf("identity %v is not stable", first)
	}
	copyOver(t, src.path)
	if _, err := viewRows(db, oldRows); !errors.Is(err, ErrReplaced) {
		t.Fatalf("got %v, want ErrReplaced", err)
	}
	second := ident()
	if second == first {
		t.Error("a replaced database has the same identity")
	}

	// Another salt in the same file, as when a client makes its database anew.
	other := newSource(t, V4)
	other.exec("CREATE TABLE t(body); INSERT INTO t VALUES('old')")
	other.seal.salt = [saltSize]byte([]byte("fedcba9876543210"))
	keys, err := derivePageKeys(testKeyBytes[:], other.seal.salt[:], V4.Hash, 0)
	if err != nil {
		t.Fatal(err)
	}
	other.seal.keys = keys
	other.mirror()
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.WriteFile(src.path+ext, other.read(other.path+ext), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := viewRows(db, oldRows); !errors.Is(err, ErrReplaced) {
		t.Fatalf("got %v, want ErrReplaced", err)
	}
	if got := mustRows(t, db, oldRows); got[0] != "1" {
		t.Errorf("%s old rows, want 1", got[0])
	}
	if third := ident(); third.Salt != other.seal.salt || third == second {
		t.Errorf("identity %v after another salt", third)
	}
}

// A database replaced during a view makes the view move; the next one says what
// happened.
func TestReplacedDuringAView(t *testing.T) {
	for _, name := range []string{"", "-wal"} {
		src, db := grown(t)
		err := db.View(t.Context(), func(v *View) error {
			copyOver(t, src.path+name)
			_, err := query(v, oldRows)
			return err
		})
		if !errors.Is(err, ErrMoved) {
			t.Fatalf("%q: got %v, want ErrMoved", name, err)
		}
		_, err = viewRows(db, oldRows)
		if want := name == ""; errors.Is(err, ErrReplaced) != want {
			t.Fatalf("%q: then got %v", name, err)
		}
		if got := mustRows(t, db, oldRows); got[0] != "300" {
			t.Errorf("%q: %s old rows, want 300", name, got[0])
		}
	}
}

// copyOver renames a copy of a file over it.
func copyOver(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// -shm is believed only about the WAL it describes, and only if its library keeps
// the field that is looked at; otherwise the frames alone decide.
func TestSHMIsBelievedWithCare(t *testing.T) {
	salts := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	shm := func(attempt, done byte, salts [8]byte) []byte {
		b := make([]byte, 136)
		copy(b[shmSalts:], salts[:])
		b[shmBackfill], b[shmBackfillAttempt] = done, attempt // little-endian machines
		b[shmBackfill+3], b[shmBackfillAttempt+3] = 0, 0
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"right", shm(7, 7, salts), true},
		{"checkpoint under way", shm(7, 3, salts), true},
		{"other salts", shm(7, 7, [8]byte{}), false},
		{"a library that does not keep the field", shm(0, 7, salts), false},
		{"too short", shm(7, 7, salts)[:130], false},
		{"empty", nil, false},
	} {
		_, ok := attempted(&memory{b: tt.b}, salts)
		if ok != tt.ok {
			t.Errorf("%s: believed %t", tt.name, ok)
		}
	}
}

// A rollback journal in use means that pages are being written without a WAL: no
// snapshot can be shown to hold.
func TestRollbackJournal(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	src.mirror()
	db := src.db()
	mustRows(t, db, "SELECT x FROM t")
	journal := src.path + "-journal"
	if err := os.WriteFile(journal, []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := viewRows(db, "SELECT x FROM t"); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	if err := os.WriteFile(journal, make([]byte, 512), 0o600); err != nil { // as a persistent journal is when done
		t.Fatal(err)
	}
	mustRows(t, db, "SELECT x FROM t")
}
