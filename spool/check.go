package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tidemark/seal"
)

// survey is what a file holds, as the careful reader found it: everything but the
// batches.
type survey struct {
	version uint32
	pages   *pages
	values  map[string]map[string][]byte // by bucket, without sums
	lanes   map[seal.Lane]*laneSurvey
}

// laneSurvey is what a lane's bucket holds.
type laneSurvey struct {
	first, last uint64
	counts      counts // records as the file counts them, 0 in format 1
	oldest      time.Time
}

// check walks the file and returns what it holds. It reads the structure and every
// small value, but of the batches only where they lie and the first one's header:
// that a batch is whole shows when it is read to be sent. The error wraps
// ErrDamaged, ErrNewer, or is the disk's; the survey then holds what was found
// before it, nil for nothing.
func check(path string) (*survey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("not a file")}
	}
	return surveyed(f, info.Size())
}

// surveyed is check of an open file.
func surveyed(r io.ReaderAt, size int64) (*survey, error) {
	p, err := openPages(r, size)
	if err != nil {
		return nil, err
	}
	s := &survey{pages: p, values: map[string]map[string][]byte{}, lanes: map[seal.Lane]*laneSurvey{}}
	return s, s.read()
}

func (s *survey) read() error {
	found := map[string]element{}
	err := s.pages.walk(s.pages.root, func(e element) error {
		found[string(e.key)] = e
		return nil
	})
	if err != nil {
		return err
	}
	// The version comes first: a newer file is not judged by the rules of this one.
	if err := s.bucket(found, metaBucket); err != nil {
		return err
	}
	v := s.values[string(metaBucket)]["version"]
	sum, hasSum := s.values[string(metaBucket)]["sum"]
	if len(v) != 4 {
		return damaged("no version")
	}
	if _, ok := withoutSum([]byte("version"), append(bytes.Clone(v), sum...)); hasSum && !ok {
		return damaged("the version does not match its checksum")
	}
	s.version = binary.BigEndian.Uint32(v)
	names := buckets2
	switch {
	case s.version > formatVersion:
		return newer(s.version)
	case s.version == 1 && !hasSum:
		names = buckets1
	case s.version == 0 || !hasSum:
		return damaged("version %d without a checksum", s.version)
	}
	// What can be read is read even when another bucket is damaged.
	var errs []error
	for _, name := range names[2:] {
		errs = append(errs, s.bucket(found, name))
	}
	for _, name := range summed {
		if s.version > 1 {
			errs = append(errs, s.unsum(string(name)))
		}
	}
	errs = append(errs, s.readLanes(found))
	if s.pages.torn {
		errs = append(errs, damaged("one of the two roots is not valid"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.pages.checkFreelist()
}

// bucket reads all values of a bucket; it keeps none of them when one cannot be read.
func (s *survey) bucket(found map[string]element, name []byte) error {
	e, ok := found[string(name)]
	if !ok {
		return damaged("not a spool: bucket %s is missing", name)
	}
	values := map[string][]byte{}
	err := s.pages.enter(e, func(e element) error {
		if e.bucket || e.size > maxValue {
			return damaged("bucket %s holds something else", name)
		}
		v, err := s.pages.value(e)
		values[string(e.key)] = v
		return err
	})
	if err == nil {
		s.values[string(name)] = values
	}
	return err
}

// maxValue is above every value that is not a batch.
const maxValue = 1 << 20

func (s *survey) unsum(name string) error {
	values := s.values[name]
	for k, v := range values {
		plain, ok := withoutSum([]byte(k), v)
		if !ok {
			delete(s.values, name)
			return damaged("a value in bucket %s does not match its checksum", name)
		}
		values[k] = plain
	}
	return nil
}

func (s *survey) readLanes(found map[string]element) error {
	e, ok := found[string(lanesBucket)]
	if !ok {
		return damaged("not a spool: bucket lanes is missing")
	}
	below := map[string]element{}
	if err := s.pages.enter(e, func(e element) error { below[string(e.key)] = e; return nil }); err != nil {
		return err
	}
	var errs []error
	for _, id := range laneIDs {
		e, ok := below[id.String()]
		if !ok {
			errs = append(errs, damaged("not a spool: lane %s is missing", id))
			continue
		}
		l, err := s.readLane(id, e)
		if err == nil {
			s.lanes[id] = l
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *survey) readLane(id seal.Lane, e element) (*laneSurvey, error) {
	l := &laneSurvey{}
	err := s.pages.enter(e, func(e element) error {
		if e.bucket || len(e.key) != 8 || e.size > seal.MaxBatch {
			return damaged("lane %s holds something else than batches", id)
		}
		l.last = binary.BigEndian.Uint64(e.key)
		l.counts.batches++
		l.counts.bytes += e.size
		if l.counts.batches > 1 {
			return nil
		}
		l.first = l.last
		e.size = min(e.size, headerBytes)
		head, err := s.pages.value(e)
		if err != nil {
			return err
		}
		h, err := seal.ParseHeader(head)
		if err != nil || h.Seq != l.first || h.Lane != id {
			return damaged("batch %s/%d has another's header", id, l.first)
		}
		l.oldest = h.Sealed
		return nil
	})
	if err != nil || s.version == 1 {
		return l, err
	}
	head, err := s.head(id)
	if err != nil {
		return nil, err
	}
	var c counts
	if stored := s.values[string(countsBucket)][id.String()]; stored != nil {
		if c, err = decodeCounts(stored); err != nil {
			return nil, err
		}
	}
	if c.batches != l.counts.batches || c.bytes != l.counts.bytes || l.last > head.seq {
		return nil, damaged("lane %s holds %d batches up to %d, its counts say %d up to %d", id, l.counts.batches, l.last, c.batches, head.seq)
	}
	l.counts = c
	return l, nil
}

// headerBytes is as much of a batch as seal.ParseHeader wants.
const headerBytes = 164

// head is the lane's chain head; zero when it has none.
func (s *survey) head(id seal.Lane) (head, error) {
	values, ok := s.values[string(headsBucket)]
	if !ok {
		return head{}, damaged("the chain heads cannot be read")
	}
	if b := values[id.String()]; b != nil {
		return decodeHead(b)
	}
	return head{}, nil
}

func newer(version uint32) error { return fmt.Errorf("version %d: %w", version, ErrNewer) }
