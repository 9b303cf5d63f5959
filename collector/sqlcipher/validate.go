package sqlcipher

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// unlessMoved returns ErrMoved when the snapshot did not hold, for then err may be
// no more than a sign of that; otherwise err.
func (s *snapshot) unlessMoved(err error) error {
	if verr := s.validate(); verr != nil {
		return verr
	}
	return err
}

// validate shows that everything read so far belonged to one state, or returns
// ErrMoved. The rule is told in the package's documentation. All it looks at is
// looked at after the last page was read; that alone makes it sound.
func (s *snapshot) validate() error {
	switch ok, err := s.holds(); {
	case err != nil:
		return err
	case !ok:
		s.db.log.Debug("snapshot moved")
		return ErrMoved
	}
	return nil
}

func (s *snapshot) holds() (bool, error) {
	// Frames first, header second: an unchanged header then says that the frames
	// were read in this generation.
	crossed := false
	if s.gen != nil {
		same, err := s.db.wal.extend(s.gen, counting{s.wal, &s.db.counters.walBytes})
		if err != nil || !same {
			return false, err
		}
		newest, _ := s.gen.last()
		// A page beyond the main file's end: a newer commit may have made it shorter.
		crossed = newest > s.last && s.fault != nil && errors.Is(s.fault, io.ErrUnexpectedEOF)
		s.gen.between(s.last, newest, func(page uint32) {
			crossed = crossed || s.reads.has(page)
		})
		if crossed && !s.unbackfilled() {
			return false, nil
		}
	}
	if s.wal != nil {
		h, n, err := readWALHeader(s.wal)
		if err != nil || h != s.header || n != s.headerN {
			return false, err
		}
	}
	if !s.sameFile("", s.mainInfo) || !s.sameFile("-wal", s.walInfo) {
		return false, nil
	}
	var salt [saltSize]byte
	if _, err := s.readMain(salt[:], 0); err != nil || salt != s.identity.Salt {
		return false, err
	}
	if s.gen != nil {
		return true, nil
	}
	return s.bareHolds()
}

// bareHolds is the rest of the rule for a database without a valid WAL.
func (s *snapshot) bareHolds() (bool, error) {
	if hot, err := s.journalInUse(); err != nil || hot {
		return false, err
	}
	if s.page1 != nil {
		now := make([]byte, len(s.page1))
		if _, err := s.readMain(now, 0); err != nil || !bytes.Equal(now, s.page1) {
			return false, err
		}
	}
	info, err := s.main.Stat()
	if err != nil {
		return false, err
	}
	return s.db.bareStamp(info, s.header, s.headerN) == s.bare, nil
}

// unbackfilled reports that no checkpoint has begun on frames after the snapshot,
// so that the main file cannot have changed even where newer frames exist.
func (s *snapshot) unbackfilled() bool {
	if s.codec != nil && s.codec.params.OldSHM {
		return false
	}
	shm, err := s.db.openSide("-shm")
	if err != nil || shm == nil {
		return false
	}
	defer shm.Close()
	frames, ok := attempted(shm, s.gen.header.salts())
	return ok && frames <= s.last
}

// sameFile reports whether the name still leads to the file that was opened, or
// still to none. A name that cannot be looked at is another's business by now, such
// as one whose deletion is pending on Windows; the next View will say what it is.
func (s *snapshot) sameFile(suffix string, was fs.FileInfo) bool {
	now, err := s.db.fs.stat(s.db.path + suffix)
	if err != nil {
		return was == nil && errors.Is(err, fs.ErrNotExist)
	}
	return was != nil && os.SameFile(was, now)
}

// bareStamp describes a database that has no valid WAL.
func (db *DB) bareStamp(info fs.FileInfo, h walHeader, n int) bareStamp {
	b := bareStamp{size: info.Size(), modTime: info.ModTime().UnixNano(), wal: h, walSize: n}
	// Without a readable -shm the stamp is weaker, no more.
	if shm, err := db.openSide("-shm"); err == nil && shm != nil {
		b.shm, _ = readSHMHeader(shm)
		shm.Close()
	}
	return b
}

// journalInUse reports a rollback journal in use: somebody writes in the old way,
// straight into the main file.
func (s *snapshot) journalInUse() (bool, error) {
	j, err := s.db.openSide("-journal")
	if err != nil || j == nil {
		return false, err
	}
	defer j.Close()
	return hotJournal(j)
}

// pageSet is a set of page numbers.
type pageSet []uint64

func (p *pageSet) add(page uint32) {
	word := int(page / 64)
	if word >= len(*p) {
		*p = append(*p, make([]uint64, word+1-len(*p))...)
	}
	(*p)[word] |= 1 << (page % 64)
}

func (p pageSet) has(page uint32) bool {
	word := int(page / 64)
	return word < len(p) && p[word]&(1<<(page%64)) != 0
}
