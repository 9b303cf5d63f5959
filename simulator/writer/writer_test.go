package writer

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const pageSize = 4096

// awkward has a NUL, a quote and bytes that are not text: none may end or change a passphrase.
var awkward = Key{0, 1, '"', '\'', ';', 0xff, 0xfe, 0x80, '\n', 'x', 0x00}

var keys = NewKeyring(awkward)

// open opens a database whose checkpoints are reported on the channel.
func open(t *testing.T, path string, o Options) (*DB, <-chan Event) {
	t.Helper()
	events := make(chan Event, 1)
	o.OnCheckpoint = func(e Event) {
		select {
		case events <- e:
		default: // whoever waits looks at the files, and only needs to be woken
		}
	}
	d, err := Open(path, keys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Release(); err != nil {
			t.Error(err)
		}
	})
	return d, events
}

func exec(t *testing.T, d *DB, query string, args ...any) {
	t.Helper()
	if err := d.Update(func(tx Tx) error { _, err := tx.Exec(query, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

// grow creates the table and commits n rows of about one page each, one by one.
func grow(t *testing.T, d *DB, n int) {
	t.Helper()
	exec(t, d, `CREATE TABLE IF NOT EXISTS m(id INTEGER PRIMARY KEY, body BLOB)`)
	for range n {
		exec(t, d, `INSERT INTO m(body) VALUES(randomblob(3500))`)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// count opens a copy of the files with SQLCipher's own KDF, as a process that comes
// later would, checks the whole database and returns the number of rows.
func count(t *testing.T, path string, withWAL bool) int {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, end := range []string{"", "-wal"} {
		if end == "-wal" && !withWAL {
			continue
		}
		b, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := Connect(to, awkward, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %q, %v", verdict, err)
	}
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM m`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wal is what the test's own reading of a WAL found.
type wal struct {
	header    []byte
	sequence  uint32
	salts     []byte
	valid     int // frames from the front whose salts and checksums fit
	committed int // of them, up to the last commit frame
	frames    int // room for frames in the file
}

// readWAL follows a WAL by SQLite's rules: salts, and checksums over everything before.
func readWAL(t *testing.T, path string) wal {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 32 {
		t.Fatalf("wal of %d bytes has no header", len(b))
	}
	sum := func(s0, s1 uint32, data []byte) (uint32, uint32) {
		for i := 0; i+8 <= len(data); i += 8 {
			if b[3] == 0x83 {
				s0 += binary.BigEndian.Uint32(data[i:]) + s1
				s1 += binary.BigEndian.Uint32(data[i+4:]) + s0
			} else {
				s0 += binary.LittleEndian.Uint32(data[i:]) + s1
				s1 += binary.LittleEndian.Uint32(data[i+4:]) + s0
			}
		}
		return s0, s1
	}
	s0, s1 := sum(0, 0, b[:24])
	if s0 != binary.BigEndian.Uint32(b[24:]) || s1 != binary.BigEndian.Uint32(b[28:]) {
		t.Fatal("wal header: checksum does not fit")
	}
	w := wal{header: b[:32], sequence: binary.BigEndian.Uint32(b[12:]), salts: b[16:24], frames: (len(b) - 32) / (24 + pageSize)}
	for i := range w.frames {
		f := b[32+i*(24+pageSize):][:24+pageSize]
		if !bytes.Equal(f[8:16], w.salts) {
			break
		}
		s0, s1 = sum(s0, s1, f[:8])
		s0, s1 = sum(s0, s1, f[24:])
		if s0 != binary.BigEndian.Uint32(f[16:]) || s1 != binary.BigEndian.Uint32(f[20:]) {
			break
		}
		w.valid++
		if binary.BigEndian.Uint32(f[4:]) != 0 {
			w.committed = w.valid
		}
	}
	return w
}

// Promise: the 32 bytes are a passphrase. A reader that knows only the published
// parameters of SQLCipher 4 derives the keys from them, verifies page 1 and decrypts it.
func TestKeyGoesThroughKDF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.db")
	open(t, path, Options{Mode: Never})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, salt := b[:pageSize], b[:16]
	derived, _ := pbkdf2.Key(sha512.New, string(awkward[:]), salt, 256_000, 32)
	macSalt := bytes.Clone(salt)
	for i := range macSalt {
		macSalt[i] ^= 0x3a
	}
	macKey, _ := pbkdf2.Key(sha512.New, string(derived), macSalt, 2, 32)
	mac := hmac.New(sha512.New, macKey)
	mac.Write(page[16 : pageSize-64])
	mac.Write([]byte{1, 0, 0, 0})
	if !hmac.Equal(mac.Sum(nil), page[pageSize-64:]) {
		t.Fatal("page 1: MAC does not fit the derived key")
	}
	block, _ := aes.NewCipher(derived)
	plain := make([]byte, pageSize-80-16)
	cipher.NewCBCDecrypter(block, page[pageSize-80:pageSize-64]).CryptBlocks(plain, page[16:pageSize-80])
	if got := binary.BigEndian.Uint16(plain); got != pageSize {
		t.Errorf("page size in page 1: got %d", got)
	}
}

// Promise: real SQLCipher, doing its own KDF or given the derived key, opens what Open
// wrote; a wrong key is refused, and the files are as they were.
func TestConnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	d, _ := open(t, path, Options{Mode: Never})
	grow(t, d, 3)
	if n := count(t, path, true); n != 3 {
		t.Fatalf("rows: got %d, want 3", n)
	}
	to := filepath.Join(t.TempDir(), "raw.db")
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	derived, _ := pbkdf2.Key(sha512.New, string(awkward[:]), b[:16], 256_000, 32)
	raw, err := Connect(to, Key(derived), ConnectOptions{Raw: true})
	if err != nil {
		t.Fatalf("with the derived key: %v", err)
	}
	raw.Close()
	if db, err := Connect(to, Key{9}, ConnectOptions{}); err == nil {
		db.Close()
		t.Error("a wrong key opened the database")
	}
	if _, err := Open(to, NewKeyring(Key{9}), Options{Mode: Never}); err == nil {
		t.Error("a wrong key opened the database for writing")
	}
	if after, _ := os.ReadFile(to); !bytes.Equal(after, b) {
		t.Error("a wrong key changed the file")
	}
}

// Promise: other parameters are real too. A v3 file of 1024-byte pages opens with
// them again and not as v4.
func TestConnectOldParameters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v3.db")
	o := ConnectOptions{Compat: 3, PageSize: 1024}
	db, err := Connect(path, awkward, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE m(x)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if n := size(t, path); n != 2048 {
		t.Errorf("file of two pages: got %d bytes", n)
	}
	if db, err = Connect(path, awkward, o); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if db, err = Connect(path, awkward, ConnectOptions{}); err == nil {
		db.Close()
		t.Error("opened as v4")
	}
}

// Promise: in mode never nothing is checkpointed, not by SQLite either: far more pages
// than its automatic limit of 1000 are in the WAL, and the main file is one page.
func TestNeverCheckpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.db")
	d, _ := open(t, path, Options{Mode: Never})
	exec(t, d, `CREATE TABLE m(id INTEGER PRIMARY KEY, body BLOB)`)
	exec(t, d, `INSERT INTO m(body) WITH n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<1500) SELECT randomblob(3500) FROM n`)
	grow(t, d, 5)
	if n := size(t, path); n != pageSize {
		t.Errorf("main file: got %d bytes, want one page", n)
	}
	if w := readWAL(t, path+"-wal"); w.committed < 1500 || w.sequence != 0 {
		t.Errorf("wal: got %d committed frames in generation %d", w.committed, w.sequence)
	}
	if n := count(t, path, true); n != 1505 {
		t.Errorf("rows: got %d, want 1505", n)
	}
}

// Promise: mode client restarts the WAL at once when everything was copied. On disk
// stands a new header (next sequence, new salts) with no valid frame behind it, in
// front of all the old frames; the main file alone has every row. The next commits
// leave that header as it is, continue behind it, and nothing is lost.
func TestClientRestartsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	d, _ := open(t, path, Options{Mode: Client, After: time.Hour})
	rows := 0
	for generation := range uint32(4) {
		grow(t, d, 20)
		rows += 20
		before := readWAL(t, path+"-wal")
		if before.sequence != generation {
			t.Errorf("generation %d has sequence %d", generation, before.sequence)
		}
		e, err := d.checkpoint() // what the timer runs
		if err != nil || !e.Restarted {
			t.Fatalf("checkpoint: %+v, %v", e, err)
		}
		after := readWAL(t, path+"-wal")
		if after.sequence != before.sequence+1 || bytes.Equal(after.salts, before.salts) {
			t.Errorf("generation %d: sequence went from %d to %d, salts from %x to %x", generation, before.sequence, after.sequence, before.salts, after.salts)
		}
		if after.valid != 0 {
			t.Fatalf("generation %d: %d valid frames behind a new header", generation, after.valid)
		}
		if after.frames != before.frames {
			t.Fatalf("generation %d: room for %d frames, there were %d", generation, after.frames, before.frames)
		}
		if n := count(t, path, false); n != rows {
			t.Fatalf("main file alone: got %d rows, want %d", n, rows)
		}
		if n := count(t, path, true); n != rows {
			t.Fatalf("main file with stale frames beside it: got %d rows, want %d", n, rows)
		}
	}
	header := readWAL(t, path+"-wal").header
	grow(t, d, 1)
	w := readWAL(t, path+"-wal")
	if !bytes.Equal(w.header, header) {
		t.Error("the next commit changed the header")
	}
	if w.committed == 0 || w.committed == w.frames {
		t.Errorf("the next commit: %d committed frames, %d in all; want some of both kinds", w.committed, w.frames)
	}
	if n := count(t, path, true); n != rows+1 {
		t.Errorf("rows: got %d, want %d", n, rows+1)
	}
	var verdict string
	if err := d.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %q, %v", verdict, err)
	}
}

// Promise: mode client checkpoints by itself some time after a commit, again and again.
func TestClientCheckpointsAfterCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d, events := open(t, path, Options{Mode: Client, After: time.Millisecond})
	for range 3 {
		grow(t, d, 1)
		waitRestart(t, d, events)
	}
}

// Promise: what an earlier process left in the WAL is checkpointed without a commit.
func TestClientCheckpointsWhatItFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	earlier, _ := open(t, path, Options{Mode: Never})
	grow(t, earlier, 1)
	d, events := open(t, path, Options{Mode: Client, After: time.Millisecond})
	waitRestart(t, d, events)
}

// waitRestart waits until the WAL has been restarted and holds nothing newer.
func waitRestart(t *testing.T, d *DB, events <-chan Event) {
	t.Helper()
	for {
		d.mu.Lock()
		x, err := d.readIndex()
		d.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if x.maxFrame == 0 {
			return
		}
		select {
		case <-events:
		case <-time.After(time.Minute):
			t.Fatal("no checkpoint in a minute")
		}
	}
}

// Promise: a WAL that grew long stays so when it is restarted, and the very next commit
// cuts it to the journal size limit.
func TestNextCommitCutsWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.db")
	d, _ := open(t, path, Options{Mode: Never})
	exec(t, d, `CREATE TABLE m(id INTEGER PRIMARY KEY, body BLOB)`)
	exec(t, d, `INSERT INTO m(body) WITH n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<2500) SELECT randomblob(3500) FROM n`)
	long := size(t, path+"-wal")
	if long <= JournalSizeLimit {
		t.Fatalf("wal of %d bytes is not long enough for this test", long)
	}
	d.mu.Lock()
	_, err := runCheckpoint(context.Background(), d.conn, "PASSIVE")
	restarted := false
	if err == nil {
		restarted, err = d.restart(context.Background())
	}
	d.mu.Unlock()
	if err != nil || !restarted {
		t.Fatalf("restart: %t, %v", restarted, err)
	}
	if n := size(t, path+"-wal"); n != long {
		t.Errorf("after the restart: %d bytes, want %d as before", n, long)
	}
	grow(t, d, 1)
	if n := size(t, path+"-wal"); n != JournalSizeLimit {
		t.Errorf("after the next commit: %d bytes, want %d", n, JournalSizeLimit)
	}
	if n := count(t, path, true); n != 2501 {
		t.Errorf("rows: got %d, want 2501", n)
	}
}

// Promise: while somebody reads from the WAL, mode client copies and does not restart;
// the writer is not kept waiting for the reader.
func TestClientDoesNotRestartUnderReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	d, _ := open(t, path, Options{Mode: Never})
	grow(t, d, 10)
	reader, err := Connect(path, awkward, ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Left open at the end, as closing it would be in the way of SQLite's locks.
	rows, err := reader.Query(`SELECT id FROM m`)
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal("no rows")
	}
	before := readWAL(t, path+"-wal")
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if w := readWAL(t, path+"-wal"); !bytes.Equal(w.header, before.header) || w.valid != before.valid {
		t.Error("the WAL was restarted under a reader")
	}
	if n := count(t, path, false); n != 10 {
		t.Errorf("main file alone: got %d rows, want 10", n)
	}
	rows.Close()
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if w := readWAL(t, path+"-wal"); bytes.Equal(w.header, before.header) || w.valid != 0 {
		t.Error("the WAL was not restarted when the reader had gone")
	}
}

// Promise: mode truncate empties the WAL, and writing goes on.
func TestTruncate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	d, events := open(t, path, Options{Mode: Truncate, After: time.Millisecond})
	for rows := 5; rows <= 20; rows += 5 {
		grow(t, d, 5)
		waitRestart(t, d, events)
		if n := size(t, path+"-wal"); n != 0 {
			t.Errorf("wal: %d bytes, want none", n)
		}
		if n := count(t, path, false); n != rows {
			t.Errorf("main file alone: got %d rows, want %d", n, rows)
		}
	}
}

// Promise: what a transaction did is undone when its function fails, and the DB stays usable.
func TestUpdateRollsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "u.db")
	d, _ := open(t, path, Options{Mode: Never})
	grow(t, d, 1)
	boom := fmt.Errorf("boom")
	err := d.Update(func(tx Tx) error {
		if _, err := tx.Exec(`DELETE FROM m`); err != nil {
			return err
		}
		return boom
	})
	if err != boom {
		t.Fatalf("got %v", err)
	}
	grow(t, d, 1)
	if n := count(t, path, true); n != 2 {
		t.Errorf("rows: got %d, want 2", n)
	}
}

// Promise: a key is never printed by accident, and is read only whole.
func TestKeyText(t *testing.T) {
	for _, verb := range []string{"%v", "%s", "%#v", "%+v", "%x"} {
		if s := fmt.Sprintf(verb, awkward); strings.Contains(s, hex.EncodeToString(awkward[:4])) {
			t.Errorf("%s prints the key", verb)
		}
	}
	if k, err := ParseKey(awkward.Hex()); err != nil || k != awkward {
		t.Errorf("round trip: %v", err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64)} {
		if _, err := ParseKey(bad); err == nil || (bad != "" && strings.Contains(err.Error(), bad)) {
			t.Errorf("%d characters: got %v", len(bad), err)
		}
	}
}
