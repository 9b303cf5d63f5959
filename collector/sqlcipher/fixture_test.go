package sqlcipher

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// The fixtures are plain databases written by SQLite itself, in WAL mode, and
// mirrored page by page and frame by frame into an encrypted copy. What the reader
// meets is therefore SQLite's own doing, checkpoints and restarts included, under a
// second implementation of the encryption.

var testSalt = [saltSize]byte([]byte("0123456789abcdef"))

// testKeyBytes is the page key itself, so that fixtures need no key derivation.
var testKeyBytes = [keySize]byte([]byte("an ordinary 32-byte key for tests"[:32]))

func testKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKey(testKeyBytes[:])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// give returns Options.Keys for fixed candidates.
func give(keys ...Key) func([16]byte) []Key {
	return func([16]byte) []Key { return keys }
}

// sealer encrypts pages, independently of the code under test.
type sealer struct {
	params Params
	salt   [saltSize]byte
	keys   pageKeys
}

func newSealer(t testing.TB, p Params, key []byte, iterations int) *sealer {
	t.Helper()
	keys, err := derivePageKeys(key, testSalt[:], p.Hash, iterations)
	if err != nil {
		t.Fatal(err)
	}
	return &sealer{p, testSalt, keys}
}

// page returns the stored form of a plain page. The IV depends on the content, so
// that the same page always has the same stored form.
func (s *sealer) page(pgno uint32, plain []byte) []byte {
	out := append([]byte(nil), plain...)
	body := s.params.PageSize - s.params.Reserve
	start := 0
	if pgno == 1 {
		start = copy(out, s.salt[:])
	}
	iv := sha256.Sum256(append(binary.LittleEndian.AppendUint32(nil, pgno), plain...))
	block, err := aes.NewCipher(s.keys.enc[:])
	if err != nil {
		panic(err)
	}
	cipher.NewCBCEncrypter(block, iv[:ivSize]).CryptBlocks(out[start:body], out[start:body])
	copy(out[body:], iv[:ivSize])
	newHash, err := newHashFunc(s.params.Hash)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(newHash, s.keys.mac[:])
	mac.Write(out[start : body+ivSize])
	mac.Write(binary.LittleEndian.AppendUint32(nil, pgno))
	copy(out[body+ivSize:], mac.Sum(nil))
	return out
}

// wal re-chains a WAL of plain pages as one of stored pages: every valid frame,
// committed or not, and nothing behind the last valid one.
func (s *sealer) wal(plain []byte, bigEndian bool) []byte {
	if len(plain) < walHeaderSize {
		return plain
	}
	out := append([]byte(nil), plain[:walHeaderSize]...)
	was, is := walHeader(plain[:walHeaderSize]), walHeader(plain[:walHeaderSize])
	binary.BigEndian.PutUint32(is[:], walMagic)
	if bigEndian {
		is[3] |= 1
	}
	putSum(is[24:], checksum(bigEndian, [2]uint32{}, is[:24]))
	copy(out, is[:])
	sumWas, sumIs := getSum(was[24:]), getSum(is[24:])
	size := frameHeaderSize + s.params.PageSize
	for b := plain[walHeaderSize:]; len(b) >= size; b = b[size:] {
		sumWas = checksum(was.bigEndian(), sumWas, b[:8])
		sumWas = checksum(was.bigEndian(), sumWas, b[frameHeaderSize:size])
		if [8]byte(b[8:16]) != was.salts() || getSum(b[16:]) != sumWas {
			break
		}
		f := append([]byte(nil), b[:frameHeaderSize]...)
		f = append(f, s.page(binary.BigEndian.Uint32(b), b[frameHeaderSize:size])...)
		sumIs = checksum(bigEndian, sumIs, f[:8])
		sumIs = checksum(bigEndian, sumIs, f[frameHeaderSize:])
		putSum(f[16:], sumIs)
		out = append(out, f...)
	}
	return out
}

func getSum(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

func putSum(b []byte, sum [2]uint32) {
	binary.BigEndian.PutUint32(b, sum[0])
	binary.BigEndian.PutUint32(b[4:], sum[1])
}

// source is a live database: a plain one that SQLite writes, and its encrypted mirror.
type source struct {
	t     testing.TB
	plain string // path of the database SQLite writes
	path  string // path of the mirror, which the reader gets
	conn  *sqlite3.Conn
	seal  *sealer
	big   bool // big-endian checksums in the mirror's WAL
	noSHM bool // the mirror has no -shm

	noMirror bool // the test has changed the mirror itself
}

func newSource(t testing.TB, p Params) *source {
	t.Helper()
	dir := t.TempDir()
	s := &source{
		t:     t,
		plain: filepath.Join(dir, "plain.db"),
		path:  filepath.Join(dir, "message_0.db"),
		seal:  newSealer(t, p, testKeyBytes[:], 0),
	}
	s.open(p)
	return s
}

func (s *source) open(p Params) {
	s.t.Helper()
	var err error
	if s.conn, err = sqlite3.Open(s.plain); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.conn.Close() })
	if _, err := s.conn.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, p.Reserve); err != nil {
		s.t.Fatal(err)
	}
	s.exec("PRAGMA page_size = " + itoa(p.PageSize))
	s.exec("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = off")
}

func (s *source) exec(sql string) {
	s.t.Helper()
	if err := s.conn.Exec(sql); err != nil {
		s.t.Fatalf("exec: %v", err)
	}
}

// mirror brings the encrypted files up to the plain ones, in the order a checkpoint
// or a commit would: whatever changed, and in place.
func (s *source) mirror() {
	s.t.Helper()
	main := s.main()
	s.write(s.path, main, len(main))
	s.mirrorSides()
}

// mirrorSides brings up the WAL and -shm.
func (s *source) mirrorSides() {
	s.t.Helper()
	if _, err := os.Stat(s.plain + "-wal"); err != nil {
		os.Remove(s.path + "-wal")
	} else {
		wal := s.read(s.plain + "-wal")
		valid := s.seal.wal(wal, s.big)
		s.write(s.path+"-wal", valid, len(wal))
		s.mirrorStale(wal, len(valid))
	}
	if s.noSHM {
		os.Remove(s.path + "-shm")
	} else if shm := s.read(s.plain + "-shm"); shm != nil {
		s.write(s.path+"-shm", shm, len(shm))
	}
}

// main is the main file as the mirror should have it.
func (s *source) main() []byte {
	s.t.Helper()
	p := s.seal.params.PageSize
	main := s.read(s.plain)
	for pg := 1; pg*p <= len(main); pg++ {
		plain := main[(pg-1)*p : pg*p]
		if !allZero(plain) {
			copy(plain, s.seal.page(uint32(pg), plain))
		}
	}
	return main
}

// mirrorStale gives the frames behind the valid ones, which came and went between two
// calls, their headers at least.
func (s *source) mirrorStale(wal []byte, valid int) {
	s.t.Helper()
	f, err := os.OpenFile(s.path+"-wal", os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	size := frameHeaderSize + s.seal.params.PageSize
	for off := max(valid, walHeaderSize); off+size <= len(wal); off += size {
		var now [16]byte // up to the checksum, which is another in the mirror
		if _, err := f.ReadAt(now[:], int64(off)); err != nil {
			s.t.Fatal(err)
		}
		if now != [16]byte(wal[off:]) {
			if _, err := f.WriteAt(wal[off:off+frameHeaderSize], int64(off)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// copied brings the mirror as far as a checkpoint that has copied pages up to one: the
// frames are there and -shm tells of the attempt. When the WAL was restarted since,
// the copying is over.
func (s *source) copied(upTo int) {
	s.t.Helper()
	wal, was := s.read(s.plain+"-wal"), s.read(s.path+"-wal")
	if len(wal) < walHeaderSize || len(was) < walHeaderSize || [8]byte(wal[16:24]) != [8]byte(was[16:24]) {
		s.mirror()
		return
	}
	s.mirrorSides()
	main := s.main()
	s.write(s.path, main[:min(len(main), upTo*s.seal.params.PageSize)], len(main))
}

func (s *source) read(path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return b
}

// write puts b at the start of a file and gives it a size, leaving what is between.
func (s *source) write(path string, b []byte, size int) {
	s.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	// Only what differs, as a writer would; bytes that stay must not look written.
	old := make([]byte, len(b))
	n, _ := f.ReadAt(old, 0)
	const piece = 512
	for off := 0; off < len(b); off += piece {
		end := min(off+piece, len(b))
		if end <= n && bytes.Equal(b[off:end], old[off:end]) {
			continue
		}
		if _, err := f.WriteAt(b[off:end], int64(off)); err != nil {
			s.t.Fatal(err)
		}
	}
	if info, err := f.Stat(); err != nil || info.Size() == int64(size) {
		return
	}
	if err := f.Truncate(int64(size)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *source) db(opts ...func(*Options)) *DB {
	s.t.Helper()
	o := Options{Params: []Params{s.seal.params}, Keys: give(testKey(s.t))}
	for _, f := range opts {
		f(&o)
	}
	return openDB(s.t, s.path, o)
}

func openDB(t testing.TB, path string, o Options) *DB {
	t.Helper()
	db, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// query returns the first column of all rows as text.
func query(v *View, sql string) (rows []string, err error) {
	stmt, err := v.Prepare(sql)
	if err != nil {
		return nil, err
	}
	for stmt.Step() {
		rows = append(rows, stmt.ColumnText(0))
	}
	return rows, stmt.Err()
}

// viewRows runs one query in a View of its own.
func viewRows(db *DB, sql string) (rows []string, err error) {
	err = db.View(context.Background(), func(v *View) error {
		rows, err = query(v, sql)
		return err
	})
	return rows, err
}

// mustRows is viewRows for a database that nobody disturbs.
func mustRows(t testing.TB, db *DB, sql string) []string {
	t.Helper()
	rows, err := viewRows(db, sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
