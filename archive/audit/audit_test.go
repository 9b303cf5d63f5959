//go:build !windows

package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/store"
	"tidemark/archive/tlog"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func TestMain(m *testing.M) {
	tlog.LogTo(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// The archives that the tests alter: lane a has chainLen batches, or logLen where
// the log needs full and partial tiles; lane b has two. A record was seen twice, and
// one is a variant.
const (
	chainLen = 12
	rotateAt = 6 // this batch carries a key header, as the first does
	logLen   = 260
)

type fixture struct {
	dir  string
	a, b store.Lane
	next *seal.Batch // what would follow in lane a

	device *archivetest.Device // of lane a
	grown  *seal.Batch         // that grow appended
}

// template makes one, in a temporary folder of the test.
func template(t *testing.T, length int) fixture {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "template")
	if _, err := archive.Init(t.Context(), dir, "archive.test", archivetest.Time); err != nil {
		t.Fatal(err)
	}
	arch, err := archive.Open(t.Context(), dir, archive.Options{Now: func() time.Time { return archivetest.Time }})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := archive.Folder(dir).LoadKeys()
	if err != nil {
		t.Fatal(err)
	}
	enroll := func() *archivetest.Device {
		d := archivetest.NewDevice(t, keys.Archive)
		token, err := arch.Registry().NewToken(1, archivetest.Time, archivetest.Time.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		var e protocol.Enrollment
		protocol.SignEnrollment(&e, d.Identity, arch.Key())
		if _, err := arch.Enroll(token, &e); err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b := enroll(), enroll()
	fx := fixture{dir: dir, device: a, a: store.Lane{Device: a.ID(), Lane: seal.Messages}, b: store.Lane{Device: b.ID(), Lane: seal.Messages}}
	add := func(l store.Lane, batches ...*seal.Batch) {
		for len(batches) > 0 {
			notes, err := arch.Append(context.Background(), l, batches)
			if err != nil {
				t.Fatal(err)
			}
			batches = batches[len(notes):]
		}
	}
	var chain []*seal.Batch
	for n := 1; n <= length; n++ {
		if n == rotateAt {
			a.Rotate(seal.Messages)
		}
		chain = append(chain, a.Seal(seal.Messages, archivetest.Text(a.ID(), "c", n, fmt.Sprint(n))))
	}
	add(fx.a, chain...)
	add(fx.b, b.Seal(seal.Messages, archivetest.Text(b.ID(), "c", 1, "1"), archivetest.Text(b.ID(), "c", 2, "variant")))
	add(fx.b, b.Seal(seal.Messages, archivetest.Text(b.ID(), "d", 1, "only here")))
	fx.next = a.Seal(seal.Messages, archivetest.Text(a.ID(), "c", 999, "next"))
	if err := arch.Close(); err != nil {
		t.Fatal(err)
	}
	return fx
}

// copied returns the fixture in a folder of its own.
func (fx fixture) copied(t *testing.T) fixture {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(fx.dir)); err != nil {
		t.Fatal(err)
	}
	fx.dir = dir
	return fx
}

func verify(t *testing.T, fx fixture) *audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), archive.Folder(fx.dir), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (fx fixture) batch(l store.Lane, seq uint64) string {
	return store.New(archive.Folder(fx.dir).Batches()).Path(l, seq)
}

func (fx fixture) receipts(l store.Lane) string {
	return filepath.Join(filepath.Dir(fx.batch(l, 1)), "receipts")
}

func (fx fixture) log(name string) string { return filepath.Join(archive.Folder(fx.dir).Log(), name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// edit rewrites a file.
func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	must(t, os.Remove(name))
	must(t, os.WriteFile(name, change(b), 0o640))
}

func flip(offset int) func([]byte) []byte {
	return func(b []byte) []byte {
		if offset < 0 {
			offset += len(b)
		}
		b[offset] ^= 1
		return b
	}
}

// An archive as it should be has no fault, and the counts are right.
func TestSound(t *testing.T) {
	fx := template(t, logLen)
	r := verify(t, fx)
	for _, f := range r.Faults {
		t.Error(f)
	}
	if r.Lanes != 2 || r.Batches != logLen+2 || r.Records != logLen+3 || r.Entries != logLen+2 || r.Signed != r.Entries ||
		r.Pending != 0 || r.Unindexed != 0 || r.Blind {
		t.Errorf("report %+v", r)
	}
}

// Whatever is altered, taken away or put in is reported, where it is.
func TestAltered(t *testing.T) {
	fx, big := template(t, chainLen), template(t, logLen)
	at := func(l store.Lane, seq int) string { return fmt.Sprintf("%s/%d", l, seq) }
	type alteration struct {
		name  string
		alter func(t *testing.T, fx fixture)
		want  string // in one of the faults
		of    fixture
	}
	var cases []alteration
	of := fx
	add := func(name, want string, alter func(t *testing.T, fx fixture)) {
		cases = append(cases, alteration{name, alter, want, of})
	}

	// Whole batches.
	for _, seq := range []int{1, 2, 7, chainLen} {
		add(fmt.Sprintf("batch %d deleted", seq), at(fx.a, seq)+": batch file is missing", func(t *testing.T, fx fixture) {
			must(t, os.Remove(fx.batch(fx.a, uint64(seq))))
		})
		add(fmt.Sprintf("batch %d cut short", seq), at(fx.a, seq)+":", func(t *testing.T, fx fixture) {
			edit(t, fx.batch(fx.a, uint64(seq)), func(b []byte) []byte { return b[:len(b)-1] })
		})
		add(fmt.Sprintf("batch %d emptied", seq), at(fx.a, seq)+":", func(t *testing.T, fx fixture) {
			edit(t, fx.batch(fx.a, uint64(seq)), func([]byte) []byte { return nil })
		})
		add(fmt.Sprintf("batch %d with a byte more", seq), at(fx.a, seq)+":", func(t *testing.T, fx fixture) {
			edit(t, fx.batch(fx.a, uint64(seq)), func(b []byte) []byte { return append(b, 0) })
		})
	}
	add("two batches swapped", at(fx.a, 10)+":", func(t *testing.T, fx fixture) {
		one, two := fx.batch(fx.a, 10), fx.batch(fx.a, 11)
		must(t, os.Rename(one, one+"x"))
		must(t, os.Rename(two, one))
		must(t, os.Rename(one+"x", two))
	})
	add("another lane's batch in its place", at(fx.a, 2)+":", func(t *testing.T, fx fixture) {
		b, err := os.ReadFile(fx.batch(fx.b, 2))
		must(t, err)
		edit(t, fx.batch(fx.a, 2), func([]byte) []byte { return b })
	})
	add("the whole lane deleted", at(fx.b, 1)+": log entry", func(t *testing.T, fx fixture) {
		must(t, os.RemoveAll(filepath.Dir(fx.batch(fx.b, 1))))
	})
	add("the last batch deleted with its receipt", at(fx.a, chainLen)+": log entry", func(t *testing.T, fx fixture) {
		must(t, os.Remove(fx.batch(fx.a, chainLen)))
		edit(t, fx.receipts(fx.a), func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("tidemark/receipt/"))] })
	})

	// Receipts.
	add("receipts deleted", at(fx.b, 1)+": receipt is missing", func(t *testing.T, fx fixture) { must(t, os.Remove(fx.receipts(fx.b))) })
	add("a receipt taken out", at(fx.b, 1)+": receipt is missing", func(t *testing.T, fx fixture) {
		edit(t, fx.receipts(fx.b), func(b []byte) []byte { return b[bytes.LastIndex(b, []byte("tidemark/receipt/")):] })
	})
	add("another lane's receipt put in", "receipt of another lane", func(t *testing.T, fx fixture) {
		edit(t, fx.receipts(fx.b), func(b []byte) []byte { return append(b, read(t, fx.receipts(fx.a))...) })
	})

	of = big
	// The log: 262 entries are a full and a partial bundle, the same of tiles, and one tile above.
	for _, name := range []string{
		"tile/entries/000", "tile/entries/001.p/6", "tile/0/000", "tile/0/001.p/6", "tile/1/000.p/1",
	} {
		for _, offset := range []int{3, -1} {
			add(fmt.Sprintf("log %s altered at %d", name, offset), "log", func(t *testing.T, fx fixture) { edit(t, fx.log(name), flip(offset)) })
		}
		add("log "+name+" deleted", "log", func(t *testing.T, fx fixture) { must(t, os.Remove(fx.log(name))) })
		add("log "+name+" cut short", "log", func(t *testing.T, fx fixture) {
			edit(t, fx.log(name), func(b []byte) []byte { return b[:len(b)-1] })
		})
		add("log "+name+" emptied", "log", func(t *testing.T, fx fixture) {
			edit(t, fx.log(name), func([]byte) []byte { return nil })
		})
	}
	for _, offset := range []int{0, 16, 30, -10} {
		add(fmt.Sprintf("checkpoint altered at %d", offset), "checkpoint", func(t *testing.T, fx fixture) { edit(t, fx.log("checkpoint"), flip(offset)) })
	}
	add("checkpoint deleted", "checkpoint", func(t *testing.T, fx fixture) { must(t, os.Remove(fx.log("checkpoint"))) })
	add("checkpoint of another archive", "checkpoint", func(t *testing.T, fx fixture) {
		other := filepath.Join(t.TempDir(), "other")
		_, err := archive.Init(t.Context(), other, "archive.test", archivetest.Time)
		must(t, err)
		edit(t, fx.log("checkpoint"), func([]byte) []byte { return read(t, filepath.Join(other, "log", "checkpoint")) })
	})
	add("log state with another size", "log", func(t *testing.T, fx fixture) {
		edit(t, fx.log(".state/treeState"), func(b []byte) []byte { return bytes.Replace(b, []byte("262"), []byte("261"), 1) })
	})
	add("log state with another root", "log", func(t *testing.T, fx fixture) {
		edit(t, fx.log(".state/treeState"), func(b []byte) []byte {
			at := bytes.Index(b, []byte(`"root":"`)) + 8
			if b[at]++; b[at] == 'Z'+1 || b[at] == 'z'+1 || b[at] == '9'+1 || b[at] < '0' {
				b[at] = 'A'
			}
			return b
		})
	})
	add("log state deleted", "log", func(t *testing.T, fx fixture) { must(t, os.Remove(fx.log(".state/treeState"))) })
	add("log deleted", "log", func(t *testing.T, fx fixture) { must(t, os.RemoveAll(fx.log(""))) })

	of = fx
	// The index: each column of each table, rows taken out and put in.
	for _, set := range []string{
		"hash = zeroblob(32)", "log = log + 1", "received = received + 1", "sealed = sealed + 1", "records = 7", "bytes = 7", "opened = 0",
	} {
		add("index batch: "+set, at(fx.a, 7)+": index", sql(`UPDATE batches SET `+set+` WHERE n = 7`))
	}
	for _, set := range []string{
		"batch = 8", "line = 3", "variant = 1", "id = id || 'x'", "key = key + 1", "digest = x'00'", "kind = 'event'", "account = 'x'", "conversation = NULL",
		"sender = 'x'", "sent_at = NULL", "sent_at = sent_at + 1", "captured_at = 0", "ord = 1", "local_id = 1", "type = 'x'", "of = 'x'",
		"text = 'x'", "text = NULL", "json = json || ' '",
	} {
		add("index record: "+set, at(fx.a, 7)+" line 0: index", sql(`UPDATE records SET `+set+` WHERE n = 7`))
	}
	add("index record deleted", at(fx.a, 7)+" line 0: index", sql(`DELETE FROM records WHERE n = 7`))
	add("index batch deleted", at(fx.a, 7)+": index", sql(`DELETE FROM batches WHERE n = 7`))
	add("index record doubled", "table records", sql(`INSERT INTO records SELECT 9999, batch, 99, variant, 'm_invented', key, digest, kind, account,
		conversation, sender, sent_at, captured_at, ord, local_id, type, of, text, json FROM records WHERE n = 7`))
	add("index sighting deleted", at(fx.b, 1)+" line 0: index", sql(`DELETE FROM sightings`))
	add("index sighting of another record", at(fx.b, 1)+" line 0: index", sql(`UPDATE sightings SET record = record + 1`))
	add("index sighting invented", "table sightings", sql(`INSERT INTO sightings VALUES (7, 7, 99)`))
	add("index key altered", at(fx.a, rotateAt)+": index", sql(`UPDATE keys SET header = x'00'`))
	add("index fault invented", at(fx.a, 7)+": index", sql(fmt.Sprintf(`INSERT INTO faults VALUES ('%s', 'messages', 7, 0, 'x')`, fx.a.Device)))
	add("index deleted", "index is missing", func(t *testing.T, fx fixture) { must(t, os.Remove(archive.Folder(fx.dir).Index())) })

	// Devices.
	add("device deleted", at(fx.b, 1)+": the device's key is not known", registrySQL(fmt.Sprintf(`DELETE FROM devices WHERE id = '%s'`, fx.b.Device)))
	add("device's key replaced", "key of another device", registrySQL(fmt.Sprintf(`UPDATE devices SET public_key = zeroblob(32) WHERE id = '%s'`, fx.b.Device)))

	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fx := c.of.copied(t)
			c.alter(t, fx)
			r := verify(t, fx)
			if !slices.ContainsFunc(r.Faults, func(f audit.Fault) bool { return strings.Contains(f.String(), c.want) }) {
				t.Errorf("no fault has %q in it: %v", c.want, r.Faults)
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}

func sql(statement string) func(*testing.T, fixture) {
	return func(t *testing.T, fx fixture) { exec(t, archive.Folder(fx.dir).Index(), statement) }
}

func registrySQL(statement string) func(*testing.T, fixture) {
	return func(t *testing.T, fx fixture) { exec(t, archive.Folder(fx.dir).Registry(), statement) }
}

func exec(t *testing.T, name, statement string) {
	t.Helper()
	conn, err := sqlite3.Open(name)
	must(t, err)
	must(t, conn.Exec(`PRAGMA foreign_keys=0; `+statement))
	if conn.TotalChanges() == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
	must(t, conn.Close())
}

// A batch that is stored and was not receipted is no fault: its device was told
// nothing yet, and the next serve goes on with it.
func TestPending(t *testing.T) {
	fx := template(t, chainLen)
	must(t, os.WriteFile(fx.batch(fx.a, chainLen+1), fx.next.Raw, 0o440))
	r := verify(t, fx)
	if len(r.Faults) > 0 || r.Pending != 1 {
		t.Errorf("%d pending, faults %v", r.Pending, r.Faults)
	}
}

// Verify only reads: not a byte of the archive is another afterwards.
func TestOnlyReads(t *testing.T) {
	fx := template(t, chainLen)
	snapshot := func() map[string]string {
		out := map[string]string{}
		must(t, filepath.WalkDir(fx.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.Contains(d.Name(), ".db") && d.Name() != "lock" {
				out[path] = string(read(t, path))
			}
			return err
		}))
		return out
	}
	before := snapshot()
	verify(t, fx)
	after := snapshot()
	if len(before) < chainLen || len(before) != len(after) {
		t.Fatalf("%d files before, %d after", len(before), len(after))
	}
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s is another", name)
		}
	}
}
