package sqlcipher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// rereads is how often a page that does not verify is read again, each time after
// a pause twice as long, before it is taken to be more than torn. A writer needs
// microseconds for a page.
const (
	rereads    = 6
	firstPause = 50 * time.Microsecond
)

// snapshot is one state of the database with the files it is read from. It belongs
// to one goroutine and is closed before View returns.
type snapshot struct {
	db       *DB
	identity Identity
	codec    *codec
	pageSize int

	main     file
	mainInfo fs.FileInfo
	wal      file // nil: there was none
	walInfo  fs.FileInfo
	header   walHeader // as found, valid or not
	headerN  int
	gen      *generation // nil: no valid WAL, everything is in the main file
	last     uint32      // last committed frame of this snapshot
	dbSize   uint32      // pages after that commit; meaningless without one

	bare  bareStamp // only without gen
	page1 []byte    // page 1 as stored, only without gen
	reads pageSet   // pages taken from the main file
	fault *pageFault
}

// pageFault is a page that could not be had: damaged, or not readable at all.
type pageFault struct {
	page  uint32
	where string // "main file" or "wal"
	err   error  // ErrCorrupt and why, or the system's error
}

func (f *pageFault) Error() string {
	return fmt.Sprintf("page %d of the %s: %v", f.page, f.where, f.err)
}

func (f *pageFault) Unwrap() error { return f.err }

// snapshot opens the files, in the order main file, WAL, and settles what is to be
// read from which, with which key.
func (db *DB) snapshot(ctx context.Context) (_ *snapshot, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &snapshot{db: db}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.openMain(); err != nil {
		return nil, err
	}
	if err := s.openWAL(); err != nil {
		return nil, err
	}
	if err := s.resolve(); err != nil {
		return nil, err
	}
	if s.gen != nil && s.gen.pageSize != s.pageSize {
		return nil, s.unlessMoved(fmt.Errorf("%w: wal has pages of %d bytes, not %d", ErrCorrupt, s.gen.pageSize, s.pageSize))
	}
	return s, nil
}

func (s *snapshot) openMain() error {
	f, err := s.db.fs.open(s.db.path)
	if err != nil {
		// Windows refuses to open a folder; say what it is.
		if info, serr := s.db.fs.stat(s.db.path); serr == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %v", ErrNotDatabase, info.Mode().Type())
		}
		return err
	}
	s.main = f
	if s.mainInfo, err = f.Stat(); err != nil {
		return err
	}
	if !s.mainInfo.Mode().IsRegular() {
		return fmt.Errorf("%w: %v", ErrNotDatabase, s.mainInfo.Mode().Type())
	}
	var salt [saltSize]byte
	n, err := s.readMain(salt[:], 0)
	if err != nil {
		return err
	}
	switch {
	case n == 0:
		return ErrEmpty
	case n < saltSize:
		return fmt.Errorf("%w: %d bytes", ErrNotDatabase, n)
	}
	s.identity, err = s.db.identify(s.mainInfo, salt)
	return err
}

func (s *snapshot) openWAL() (err error) {
	if s.wal, err = s.db.openSide("-wal"); err != nil {
		return err
	}
	var r io.ReaderAt
	if s.wal != nil {
		if s.walInfo, err = s.wal.Stat(); err != nil {
			return err
		}
		if !s.walInfo.Mode().IsRegular() {
			return fmt.Errorf("%w: -wal is a %v", ErrNotDatabase, s.walInfo.Mode().Type())
		}
		r = counting{s.wal, &s.db.counters.walBytes}
	}
	s.gen, s.header, s.headerN, err = s.db.wal.sync(r)
	if err != nil {
		return err
	}
	if s.gen != nil {
		s.last, s.dbSize = s.gen.last()
		return nil
	}
	s.bare = s.db.bareStamp(s.mainInfo, s.header, s.headerN)
	return nil
}

// readMain reads from the main file; n is short only at its end.
func (s *snapshot) readMain(b []byte, off int64) (n int, err error) {
	n, err = s.main.ReadAt(b, off)
	s.db.counters.mainBytes.Add(uint64(n))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// readStored reads a page of the snapshot as it is stored, and says where from.
func (s *snapshot) readStored(page uint32, b []byte) (n int, where string, err error) {
	if s.last > 0 {
		if f := s.gen.lookup(page, s.last); f > 0 {
			n, err = s.wal.ReadAt(b, s.gen.frameOffset(f)+frameHeaderSize)
			s.db.counters.walBytes.Add(uint64(n))
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, "wal", err
		}
	}
	n, err = s.readMain(b, int64(page-1)*int64(len(b)))
	if n > 0 { // so that the set is bounded by the file, whatever the page number
		s.reads.add(page)
	}
	return n, "main file", err
}

// readPage reads, verifies and decrypts a page. A failure is kept in s.fault: what
// SQLite makes of it, or hides, does not matter then.
func (s *snapshot) readPage(dec *decryptor, page uint32, b []byte) error {
	if s.fault != nil {
		return s.fault
	}
	if page == uint32(lockByte/s.pageSize)+1 {
		clear(b)
		return nil
	}
	pause := firstPause
	for try := 0; ; try++ {
		n, where, err := s.readStored(page, b)
		if err != nil {
			s.fault = &pageFault{page, where, err}
			return s.fault
		}
		switch {
		case n < len(b):
			err = io.ErrUnexpectedEOF
		default:
			s.db.counters.pages.Add(1)
			if err = dec.open(page, b); err == nil || allZero(b) {
				return nil
			}
			s.db.counters.macFailures.Add(1)
		}
		if try == rereads {
			s.fault = &pageFault{page, where, fmt.Errorf("%w: %w", ErrCorrupt, err)}
			return s.fault
		}
		if try > 0 { // once at once: most torn pages are whole by then
			time.Sleep(pause)
			pause *= 2
		}
	}
}

// mark is the snapshot's place in history.
func (s *snapshot) mark() Mark {
	if s.gen == nil {
		return Mark{incarnation: s.identity.Incarnation, bare: s.bare}
	}
	return Mark{incarnation: s.identity.Incarnation, generation: s.gen.id, frame: s.last}
}

func (s *snapshot) close() {
	if s.main != nil {
		s.main.Close()
	}
	if s.wal != nil {
		s.wal.Close()
	}
}
