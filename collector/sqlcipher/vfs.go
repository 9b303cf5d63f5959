package sqlcipher

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is the name SQLite knows the VFS by.
const vfsName = "tidemark-sqlcipher"

// theVFS is registered with the engine, whose registry is global, once. It is the
// one thing in this package that outlives a DB; it holds page files only while a
// connection to them is being opened.
var theVFS = sync.OnceValue(func() *snapshotVFS {
	v := &snapshotVFS{files: make(map[string]*pageFile)}
	vfs.Register(vfsName, v)
	return v
})

// snapshotVFS lets SQLite open page files by an invented name and nothing else: no
// journal, no temporary file, no file of the system.
type snapshotVFS struct {
	mu    sync.Mutex
	files map[string]*pageFile
	next  uint64
}

// register names a file until release is called.
func (v *snapshotVFS) register(f *pageFile) (name string, release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next++
	name = strconv.FormatUint(v.next, 10)
	v.files[name] = f
	return name, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.files, name)
	}
}

func (v *snapshotVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.files[name]
	if f == nil || flags&vfs.OPEN_MAIN_DB == 0 {
		return nil, flags, sqlite3.CANTOPEN
	}
	return f, flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY, nil
}

func (v *snapshotVFS) Delete(string, bool) error { return sqlite3.IOERR_DELETE }

// Access finds no journal and no WAL: SQLite sees an ordinary, finished database.
func (v *snapshotVFS) Access(string, vfs.AccessFlag) (bool, error) { return false, nil }

func (v *snapshotVFS) FullPathname(name string) (string, error) { return name, nil }

// pageFile is the database as one SQLite connection sees it: whichever snapshot is
// bound to it. It belongs to the connection's goroutine.
type pageFile struct {
	snap    *snapshot // nil between views
	dec     *decryptor
	pages   uint32 // size of the database
	page1   []byte // as shown to SQLite
	scratch []byte // for reads of less than a page
	change  uint32 // change counter shown to SQLite

	unseen  func(table, sql string) bool // see Options; nil hides nothing
	parsing bool                         // SQLite looks at the schema and at nothing else

	tracing bool
	trace   []uint32
	leaf    uint32   // the last table leaf read while tracing
	inner   []uint32 // pages above leaves read while tracing
}

// Offsets in page 1.
const (
	hdrPageSize   = 16
	hdrWrite      = 18 // 1: rollback journal, 2: WAL
	hdrRead       = 19
	hdrChange     = 24
	hdrPages      = 28
	hdrValidFor   = 92 // the change counter for which hdrPages is right
	sqliteMinHead = 100
)

// bind shows SQLite another snapshot. changed says that its pages may differ from
// what SQLite has in its cache.
func (f *pageFile) bind(s *snapshot, changed bool) error {
	if f.dec == nil || f.dec.codec != s.codec {
		dec, err := newDecryptor(s.codec)
		if err != nil {
			return err
		}
		f.dec = dec
		f.page1 = make([]byte, s.pageSize)
		f.scratch = make([]byte, s.pageSize)
	}
	if changed {
		f.change++
	}
	if err := s.readPage(f.dec, 1, f.page1); err != nil {
		return err
	}
	h := f.page1
	// Authentic and still not a database: only when the whole page is zero, or plain.
	if size := int(binary.BigEndian.Uint16(h[hdrPageSize:])); string(h[:len(magic)]) != magic || size != s.pageSize&0xffff|s.pageSize>>16 {
		s.fault = &pageFault{1, "database", fmt.Errorf("%w: header says pages of %d bytes", ErrCorrupt, size)}
		return s.fault
	}
	f.pages = s.dbSize
	if s.last == 0 {
		// SQLite's own rule: the header's count where it is kept up, else the file's length.
		f.pages = uint32(min(s.mainInfo.Size()/int64(s.pageSize), 1<<32-2))
		n := binary.BigEndian.Uint32(h[hdrPages:])
		if n > 0 && string(h[hdrChange:hdrChange+4]) == string(h[hdrValidFor:hdrValidFor+4]) {
			f.pages = n
		}
	}
	h[hdrWrite], h[hdrRead] = 1, 1
	binary.BigEndian.PutUint32(h[hdrChange:], f.change)
	binary.BigEndian.PutUint32(h[hdrValidFor:], f.change)
	binary.BigEndian.PutUint32(h[hdrPages:], f.pages)
	f.snap = s
	return nil
}

func (f *pageFile) unbind() {
	f.snap = nil
	f.tracing, f.trace, f.inner = false, nil, nil
}

// The first byte of a page that holds rows of a table, and of one above such pages
// (SQLite file format). An overflow page begins with the number of the next one, so its
// first byte is as large only in a database of hundreds of gigabytes.
const (
	tableLeaf  = 0x0d
	tableInner = 0x05
)

// ReadAt serves whole pages, and pieces of one page, of the bound snapshot.
func (f *pageFile) ReadAt(p []byte, off int64) (int, error) {
	if f.snap == nil {
		return 0, sqlite3.IOERR_READ
	}
	size := int64(f.snap.pageSize)
	page, within := off/size+1, int(off%size)
	if page > int64(f.pages) {
		return 0, io.EOF
	}
	if within+len(p) > int(size) {
		return 0, sqlite3.IOERR_READ // SQLite never does
	}
	if f.tracing {
		f.trace = append(f.trace, uint32(page))
	}
	if page == 1 {
		return copy(p, f.page1[within:]), nil
	}
	buf := p
	if len(p) < int(size) {
		buf = f.scratch
	}
	if err := f.snap.readPage(f.dec, uint32(page), buf); err != nil {
		clear(buf) // ciphertext, or another state's text
		return 0, sqlite3.IOERR_DATA
	}
	if f.parsing && f.unseen != nil {
		dropIndexes(buf, f.unseen)
	}
	if f.tracing {
		switch buf[0] {
		case tableLeaf:
			f.leaf = uint32(page)
		case tableInner:
			f.inner = append(f.inner, uint32(page))
		}
	}
	if len(p) < int(size) {
		copy(p, buf[within:])
	}
	return len(p), nil
}

func (f *pageFile) Size() (int64, error) {
	if f.snap == nil {
		return 0, sqlite3.IOERR_FSTAT
	}
	return int64(f.pages) * int64(f.snap.pageSize), nil
}

// The snapshot is nobody else's, so there is nothing to lock, and it is never written.

func (f *pageFile) Close() error                       { return nil }
func (f *pageFile) Lock(vfs.LockLevel) error           { return nil }
func (f *pageFile) Unlock(vfs.LockLevel) error         { return nil }
func (f *pageFile) CheckReservedLock() (bool, error)   { return false, nil }
func (f *pageFile) WriteAt([]byte, int64) (int, error) { return 0, sqlite3.READONLY }
func (f *pageFile) Truncate(int64) error               { return sqlite3.READONLY }
func (f *pageFile) Sync(vfs.SyncFlag) error            { return nil }
func (f *pageFile) SectorSize() int                    { return 0 }

// DeviceCharacteristics does not include IOCAP_IMMUTABLE, with which SQLite would
// never look whether the file changed, nor subpage reads, which would decrypt a
// page for each piece of it.
func (f *pageFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_UNDELETABLE_WHEN_OPEN
}
