package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"syscall"
)

// A careful reader of a bbolt file. bbolt itself trusts every page: on a damaged one
// it panics, partly in goroutines of its own, reads outside its map or recurses for
// ever. So every file is walked here first, and opened only when it is sound; what
// is not sound is read here only.
//
// A page begins with its number (8), a flag for its kind (2), a count of elements
// (2) and the number of further pages that it runs over (4). A branch's elements
// are: offset of the key from the element (4), its length (4), page (8). A leaf's
// are: flags (4), offset (4), length of the key (4), of the value (4). All are in
// the machine's order, which is little-endian on every system that we build for.
// Pages 0 and 1 hold the roots, of which the one with the greater transaction
// counts. [go.etcd.io/bbolt v1.5.0, internal/common]
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHeader   = 16
	elementLen   = 16
	rootLen      = 64 // of a root, with its checksum
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01
	noFreelist   = ^uint64(0)
	maxDepth     = 64
	maxKeyLen    = 32768
)

// damaged is a finding that a file is not as it was written.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// pages reads the pages of one file.
type pages struct {
	r        io.ReaderAt
	size     int64
	pageSize int64
	root     uint64 // page of the root bucket
	freelist uint64
	pgid     uint64 // one more than the last page in use
	txid     uint64
	torn     bool     // one of the two roots is not valid
	seen     []uint64 // a bit for each page that has been walked
	spare    [][]byte // page buffers to use again
	read     int64    // bytes read, for tests
}

// openPages finds the roots. The error wraps ErrNewer, ErrDamaged, or is the disk's.
func openPages(r io.ReaderAt, size int64) (*pages, error) {
	p := &pages{r: r, size: size}
	if size == 0 {
		return nil, damaged("the file is empty")
	}
	first, err := p.meta(0)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	var second *pages
	for page := int64(1024); page <= 1<<24 && second == nil; page *= 2 {
		if first != nil {
			page = first.pageSize
		}
		m, e := p.meta(page)
		if e != nil && !errors.Is(e, ErrDamaged) {
			return nil, e
		}
		if m != nil && m.pageSize == page {
			second = m
		}
		if first != nil {
			break
		}
	}
	switch {
	case first == nil && second == nil:
		return nil, err
	case first == nil || second == nil:
		if first == nil {
			first = second
		}
		first.torn = true
	case second.txid > first.txid:
		first = second
	}
	first.r, first.size = r, size
	first.seen = make([]uint64, (min(first.pgid, uint64(size/first.pageSize))+63)/64)
	return first, nil
}

// meta reads the root at the offset.
func (p *pages) meta(offset int64) (*pages, error) {
	var b [pageHeader + rootLen]byte
	if err := p.at(b[:], offset); err != nil {
		return nil, err
	}
	m := b[pageHeader:]
	if binary.LittleEndian.Uint32(m) != boltMagic {
		return nil, damaged("not a spool, or its beginning is overwritten")
	}
	h := fnv.New64a()
	h.Write(m[:rootLen-8])
	if h.Sum64() != binary.LittleEndian.Uint64(m[rootLen-8:]) {
		return nil, damaged("the root at %d does not match its checksum", offset)
	}
	if v := binary.LittleEndian.Uint32(m[4:]); v != boltVersion {
		return nil, fmt.Errorf("pages of version %d: %w", v, ErrNewer)
	}
	out := &pages{
		pageSize: int64(binary.LittleEndian.Uint32(m[8:])), root: binary.LittleEndian.Uint64(m[16:]),
		freelist: binary.LittleEndian.Uint64(m[32:]), pgid: binary.LittleEndian.Uint64(m[40:]), txid: binary.LittleEndian.Uint64(m[48:]),
	}
	if s := out.pageSize; s < 1024 || s > 1<<24 || s&(s-1) != 0 {
		return nil, damaged("pages of %d bytes", s)
	}
	return out, nil
}

// at reads exactly len(b) bytes. A sector that cannot be read is damage; any other
// failure is the disk's and may pass.
func (p *pages) at(b []byte, offset int64) error {
	n, err := p.r.ReadAt(b, offset)
	p.read += int64(n)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return damaged("the file ends before byte %d", offset+int64(len(b)))
	case errors.Is(err, syscall.EIO):
		return damaged("bytes at %d cannot be read: %v", offset, err)
	}
	return fmt.Errorf("read spool: %w", err)
}

// element is an entry of a leaf: its key, and where its value lies.
type element struct {
	key    []byte
	bucket bool
	offset int64
	size   int64
}

// value reads an element's value.
func (p *pages) value(e element) ([]byte, error) {
	b := make([]byte, e.size)
	if err := p.at(b, e.offset); err != nil {
		return nil, err
	}
	return b, nil
}

// walk calls visit for each entry of the bucket at the page, in their order, and
// fails at the first thing that is not as bbolt writes it. Values are not read.
func (p *pages) walk(page uint64, visit func(element) error) error {
	return p.descend(page, 0, nil, nil, ordered(visit))
}

// ordered is visit that fails on keys that do not grow.
func ordered(visit func(element) error) func(element) error {
	var last []byte
	return func(e element) error {
		if last != nil && bytes.Compare(last, e.key) >= 0 {
			return damaged("byte %d: keys are out of order", e.offset)
		}
		last = e.key
		return visit(e)
	}
}

// descend walks the tree under a page, whose keys are from low up to high, nil for
// no bound.
func (p *pages) descend(page uint64, depth int, low, high []byte, visit func(element) error) error {
	head, run, err := p.page(page)
	if err != nil {
		return err
	}
	defer func() { p.spare = append(p.spare, head[:p.pageSize]) }()
	if depth > maxDepth {
		return damaged("page %d: too deep", page)
	}
	count := int64(binary.LittleEndian.Uint16(head[10:]))
	start := int64(page) * p.pageSize
	switch kind := binary.LittleEndian.Uint16(head[8:]); kind {
	case leafPage:
		return p.leaf(start, run, count, head, func(e element) error {
			if low != nil && bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
				return damaged("page %d: a key that belongs on another page", page)
			}
			return visit(e)
		})
	case branchPage:
		if count == 0 {
			return damaged("page %d: a branch without children", page)
		}
		keys, total := make([][]byte, count), pageHeader+count*elementLen
		for i := range count {
			at := pageHeader + i*elementLen
			key, size := at+int64(binary.LittleEndian.Uint32(head[at:])), int64(binary.LittleEndian.Uint32(head[at+4:]))
			if key < pageHeader+count*elementLen || size == 0 || size > maxKeyLen || key+size > run {
				return damaged("page %d: a branch points outside itself", page)
			}
			if total += size; total > run {
				return damaged("page %d: keys overlap", page)
			}
			keys[i] = make([]byte, size)
			if err := p.at(keys[i], start+key); err != nil {
				return err
			}
		}
		for i := range count {
			child, end := binary.LittleEndian.Uint64(head[pageHeader+i*elementLen+8:]), high
			if i+1 < count {
				end = keys[i+1]
			}
			if err := p.descend(child, depth+1, keys[i], end, visit); err != nil {
				return err
			}
		}
		return nil
	default:
		return damaged("page %d: of kind %#x", page, kind)
	}
}

// page reads a page's header with all its elements, but not what they point to. It
// returns the length of the whole run of pages.
func (p *pages) page(page uint64) (head []byte, run int64, err error) {
	if page < 2 || page >= p.pgid || int64(page) >= p.size/p.pageSize {
		return nil, 0, damaged("page %d is outside the file", page)
	}
	if p.seen[page/64]&(1<<(page%64)) != 0 {
		return nil, 0, damaged("page %d is used twice", page)
	}
	if n := len(p.spare); n > 0 {
		head, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		head = make([]byte, p.pageSize)
	}
	start := int64(page) * p.pageSize
	if err := p.at(head, start); err != nil {
		return nil, 0, err
	}
	if binary.LittleEndian.Uint64(head) != page {
		return nil, 0, damaged("page %d says it is page %d", page, binary.LittleEndian.Uint64(head))
	}
	over := uint64(binary.LittleEndian.Uint32(head[12:]))
	if page+over >= p.pgid || int64(page+over) >= p.size/p.pageSize {
		return nil, 0, damaged("page %d runs over the end of the file", page)
	}
	for i := page; i <= page+over; i++ {
		if p.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, 0, damaged("page %d is used twice", i)
		}
		p.seen[i/64] |= 1 << (i % 64)
	}
	run = int64(over+1) * p.pageSize
	need := int64(pageHeader) + int64(binary.LittleEndian.Uint16(head[10:]))*elementLen
	if binary.LittleEndian.Uint16(head[8:]) == freelistPage { // has numbers, not elements
		need = 0
	}
	if need > run {
		return nil, 0, damaged("page %d has more elements than bytes", page)
	}
	if need > p.pageSize {
		head = append(head, make([]byte, need-p.pageSize)...)
		if err := p.at(head[p.pageSize:], start+p.pageSize); err != nil {
			return nil, 0, err
		}
	}
	return head, run, nil
}

// leaf visits the entries of a leaf that begins at start and is run bytes long. An
// inline bucket's page is one inside a value.
func (p *pages) leaf(start, run, count int64, head []byte, visit func(element) error) error {
	total := pageHeader + count*elementLen
	for i := range count {
		at := pageHeader + i*elementLen
		e := head[at:]
		key := at + int64(binary.LittleEndian.Uint32(e[4:]))
		ksize, vsize := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		if key < pageHeader+count*elementLen || ksize == 0 || ksize > maxKeyLen || key+ksize+vsize > run {
			return damaged("byte %d: an entry points outside its page", start+at)
		}
		if total += ksize + vsize; total > run { // also bounds what is read of a forged file
			return damaged("byte %d: entries overlap", start+at)
		}
		out := element{bucket: binary.LittleEndian.Uint32(e)&bucketFlag != 0, offset: start + key + ksize, size: vsize}
		if key+ksize <= int64(len(head)) {
			out.key = bytes.Clone(head[key : key+ksize])
		} else {
			out.key = make([]byte, ksize)
			if err := p.at(out.key, start+key); err != nil {
				return err
			}
		}
		if err := visit(out); err != nil {
			return err
		}
	}
	return nil
}

// enter walks the bucket that is an entry of another one.
func (p *pages) enter(e element, visit func(element) error) error {
	if !e.bucket || e.size < 16 {
		return damaged("bucket %q is none", e.key)
	}
	var b [16]byte
	if err := p.at(b[:], e.offset); err != nil {
		return err
	}
	if root := binary.LittleEndian.Uint64(b[:]); root != 0 {
		return p.walk(root, visit)
	}
	if e.size > p.pageSize {
		return damaged("bucket %q lies in its entry and is too large for that", e.key)
	}
	inline, err := p.value(e)
	if err != nil {
		return err
	}
	head := inline[16:]
	if len(head) < pageHeader || binary.LittleEndian.Uint16(head[8:]) != leafPage {
		return damaged("bucket %q has no page", e.key)
	}
	count := int64(binary.LittleEndian.Uint16(head[10:]))
	if pageHeader+count*elementLen > int64(len(head)) {
		return damaged("bucket %q has more elements than bytes", e.key)
	}
	return p.leaf(e.offset+16, int64(len(head)), count, head, ordered(visit))
}

// checkFreelist verifies, after everything has been walked, that no page that is in
// use is listed as free: bbolt would write over it.
func (p *pages) checkFreelist() error {
	if p.freelist == noFreelist {
		return nil
	}
	head, run, err := p.page(p.freelist)
	if err != nil {
		return err
	}
	if kind := binary.LittleEndian.Uint16(head[8:]); kind != freelistPage {
		return damaged("the list of free pages is of kind %#x", kind)
	}
	all := make([]byte, run)
	if err := p.at(all, int64(p.freelist)*p.pageSize); err != nil {
		return err
	}
	ids, count := all[pageHeader:], uint64(binary.LittleEndian.Uint16(all[10:]))
	if count == 0xFFFF { // too many for the header: the first entry says how many
		count, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("the list of free pages is longer than its pages")
	}
	for i := range count {
		id := binary.LittleEndian.Uint64(ids[i*8:])
		if id < 2 || id >= p.pgid {
			return damaged("a free page is outside the file")
		}
		if id/64 < uint64(len(p.seen)) && p.seen[id/64]&(1<<(id%64)) != 0 {
			return damaged("page %d is in use and listed as free", id)
		}
	}
	return nil
}
