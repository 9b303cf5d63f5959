package sqlcipher

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Promise: every way a client of the layout is known to write a file is found by
// probing page 1, whichever form the key has, and a wrong key opens none of them.
func TestParamsForOpensEveryForm(t *testing.T) {
	large := V3
	large.Iterations = 0 // 4096 bytes under a key used as it is
	wrong, err := NewKey(make([]byte, keySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		layout     string
		written    Params
		iterations int
	}{
		{"v4", V4, 0}, {"v4", V4, V4.Iterations},
		{"w3", V3, 0}, {"w3", V3, V3.Iterations},
		{"m3", M3, 0}, {"m3", M3Derived, M3Derived.Iterations}, {"m3", large, 0}, {"m3", V3, V3.Iterations},
	} {
		for _, checkpointed := range []bool{false, true} {
			src := newSource(t, c.written)
			src.seal = newSealer(t, c.written, testKeyBytes[:], c.iterations)
			src.exec("CREATE TABLE t(x); INSERT INTO t VALUES('seen')")
			if checkpointed {
				src.exec("PRAGMA wal_checkpoint(TRUNCATE)")
			}
			src.mirror()
			db := openDB(t, src.path, Options{Params: ParamsFor(c.layout), Keys: give(wrong, testKey(t))})
			if got := mustRows(t, db, "SELECT x FROM t"); !slices.Equal(got, []string{"seen"}) {
				t.Errorf("%s, %s with %d iterations: %q", c.layout, c.written.Name, c.iterations, got)
			}
			no := openDB(t, src.path, Options{Params: ParamsFor(c.layout), Keys: give(wrong)})
			if rows, err := viewRows(no, "SELECT x FROM t"); err == nil {
				t.Errorf("%s: a wrong key read %q", c.layout, rows)
			}
		}
	}
}

// Promise: a file in clear opens without a key where the client writes such files,
// and nowhere else.
func TestParamsForPlain(t *testing.T) {
	src := newSource(t, V3)
	src.exec("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	for layout, want := range map[string]bool{"m3": true, "w3": false, "v4": false} {
		_, err := viewRows(openDB(t, src.plain, Options{Params: ParamsFor(layout)}), "SELECT x FROM t")
		if (err == nil) != want {
			t.Errorf("%s: %v", layout, err)
		}
	}
}

// Promise: files that real SQLCipher 3.4.1 wrote open, in each form that the 3.x
// clients are said to use. testdata/third was made by its shell, the key given as
// x'…' for raw and as the text itself for derived, cipher_page_size by the name:
//
//	CREATE TABLE t(x); INSERT INTO t VALUES('seen')
func TestParamsForRealSQLCipher3(t *testing.T) {
	key, err := NewKey([]byte("an-ordinary-32-byte-key-for-tests"[:keySize]))
	if err != nil {
		t.Fatal(err)
	}
	for file, layouts := range map[string]string{
		"1024-raw.db": "m3", "1024-derived.db": "m3", "4096-raw.db": "m3 w3", "4096-derived.db": "m3 w3", "plain.db": "m3",
	} {
		for _, layout := range []string{"m3", "w3", "v4"} {
			db := openDB(t, filepath.Join("testdata", "third", file), Options{Params: ParamsFor(layout), Keys: give(key)})
			rows, err := viewRows(db, "SELECT x FROM t")
			if want := strings.Contains(layouts, layout); want != (err == nil) || want && !slices.Equal(rows, []string{"seen"}) {
				t.Errorf("%s as %s: %q, %v", file, layout, rows, err)
			}
		}
	}
}
