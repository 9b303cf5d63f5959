package sqlcipher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
)

// SQLite's WAL. Integers are big-endian. Nothing but the pages is encrypted, so
// structure and commits are followed without a key.
//
//	offset  size  header
//	0       4     magic: 0x377f0682, or …83 when checksum words are big-endian
//	4       4     format version, 3007000
//	8       4     page size
//	12      4     checkpoint sequence number
//	16      8     salts, new at each restart
//	24      8     checksum of bytes 0 to 23
//
//	offset  size  frame
//	0       4     page number
//	4       4     pages of the database after this commit; 0: not a commit
//	8       8     the header's salts
//	16      8     checksum of bytes 0 to 7 and the page, continued from the frame before
//	24      P     the page
const (
	walHeaderSize   = 32
	frameHeaderSize = 24
	walMagic        = 0x377f0682 // the lowest bit says big-endian checksum words
	walVersion      = 3007000

	firstChunk = 8         // frames of the first read when catching up: one message's worth
	chunkBytes = 256 << 10 // later reads double up to about this much
)

// walHeader is a WAL's first 32 bytes. Two equal headers are one generation: the
// salts are random at each restart.
type walHeader [walHeaderSize]byte

// readWALHeader returns the header as it stands, and how many of its bytes exist.
func readWALHeader(r io.ReaderAt) (h walHeader, n int, err error) {
	n, err = r.ReadAt(h[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, n, fmt.Errorf("read wal header: %w", err)
	}
	return h, n, nil
}

// valid reports whether SQLite would use a WAL that begins so: a known magic and a
// matching checksum. Anything else, it ignores, and so do we.
func (h *walHeader) valid() bool {
	if binary.BigEndian.Uint32(h[:])&^1 != walMagic {
		return false
	}
	sum := checksum(h.bigEndian(), [2]uint32{}, h[:24])
	return sum[0] == binary.BigEndian.Uint32(h[24:]) && sum[1] == binary.BigEndian.Uint32(h[28:])
}

// check says what is wrong with a valid header that this package cannot follow.
func (h *walHeader) check() error {
	if v := binary.BigEndian.Uint32(h[4:]); v != walVersion {
		return fmt.Errorf("%w: wal format %d is not %d", ErrCorrupt, v, walVersion)
	}
	if p := h.pageSize(); p < minPageSize || p > maxPageSize || bits.OnesCount(uint(p)) != 1 {
		return fmt.Errorf("%w: wal page size %d", ErrCorrupt, p)
	}
	return nil
}

func (h *walHeader) bigEndian() bool { return h[3]&1 == 1 }
func (h *walHeader) pageSize() int   { return int(binary.BigEndian.Uint32(h[8:])) }
func (h *walHeader) salts() [8]byte  { return [8]byte(h[16:24]) }

// checksum continues SQLite's WAL checksum over b, whose length is a multiple of 8.
func checksum(bigEndian bool, sum [2]uint32, b []byte) [2]uint32 {
	s0, s1 := sum[0], sum[1]
	if bigEndian {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			v := binary.LittleEndian.Uint64(b)
			s0 += uint32(v) + s1
			s1 += uint32(v>>32) + s0
		}
	}
	return [2]uint32{s0, s1}
}

// generation is the committed content of the WAL between two restarts. It only
// grows, so a view keeps its own last frame while newer views go further.
// Frames are numbered from 1, as SQLite does.
type generation struct {
	id        uint64 // unique within a DB
	header    walHeader
	big       bool
	pageSize  int
	frameSize int64

	mu     sync.RWMutex
	pages  []uint32          // page number of frame i+1
	prev   []uint32          // the frame before it that holds the same page, or 0
	latest map[uint32]uint32 // page number -> its last frame
	dbSize uint32            // pages of the database at the last commit
	sum    [2]uint32         // running checksum after the last commit
	tail   frameHeader       // of the last committed frame
	beyond frameHeader       // what stands behind the last committed frame
	former *former           // the generation before this one, if it is known to its end
}

// former is what remains known of a generation after the restart that ended it.
type former struct {
	id    uint64
	pages []uint32 // as in generation
}

// frameHeader is a frame's header as it stands in the file, all zero when it was not
// read in full.
type frameHeader [frameHeaderSize]byte

func (h *frameHeader) salts() [8]byte { return [8]byte(h[8:16]) }

func newGeneration(id uint64, h walHeader) *generation {
	return &generation{
		id:        id,
		header:    h,
		big:       h.bigEndian(),
		pageSize:  h.pageSize(),
		frameSize: frameHeaderSize + int64(h.pageSize()),
		latest:    make(map[uint32]uint32),
		sum:       [2]uint32{binary.BigEndian.Uint32(h[24:]), binary.BigEndian.Uint32(h[28:])},
	}
}

// last returns the last committed frame and the database's size in pages there.
func (g *generation) last() (frame, dbSize uint32) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return uint32(len(g.pages)), g.dbSize
}

// lookup returns the last frame not after max that holds a page, or 0.
func (g *generation) lookup(page, max uint32) uint32 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	f := g.latest[page]
	for f > max {
		f = g.prev[f-1]
	}
	return f
}

// between calls yield with the page of each frame after from, up to and including to.
func (g *generation) between(from, to uint32, yield func(page uint32)) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, p := range g.pages[min(from, to):to] {
		yield(p)
	}
}

// frameOffset is where frame f begins in the file.
func (g *generation) frameOffset(f uint32) int64 {
	return walHeaderSize + int64(f-1)*g.frameSize
}

// since returns the pages of all frames after frame from of the generation with an id,
// this one or the one before, up to frame to of this one. ok is false when they are not
// known.
func (g *generation) since(id uint64, from, to uint32) (pages map[uint32]struct{}, ok bool) {
	pages = make(map[uint32]struct{})
	add := func(page uint32) { pages[page] = struct{}{} }
	switch f := g.former; {
	case id == g.id && from <= to:
	case f != nil && id == f.id && from <= uint32(len(f.pages)):
		for _, p := range f.pages[from:] {
			add(p)
		}
		from = 0
	default:
		return nil, false
	}
	g.between(from, to, add)
	return pages, true
}

// follows reports that the WAL, whose header is h now, was restarted once since g was
// last read, and that g had no frame then that was not seen: SQLite adds one to the
// first salt at each restart and writes frames one behind the other, and the place
// behind the last frame seen holds what it held then, left there by a generation older
// than g. A frame of g, or of the one that follows, would have replaced it.
//
// What was committed since a moment in g is therefore g's frames after it and the new
// generation's from the first.
func (g *generation) follows(h *walHeader, r io.ReaderAt) bool {
	salt := func(salts [8]byte) uint32 { return binary.BigEndian.Uint32(salts[:]) }
	mine := salt(g.header.salts())
	if salt(h.salts()) != mine+1 || h.pageSize() != g.pageSize || g.beyond == (frameHeader{}) {
		return false
	}
	if int32(mine-salt(g.beyond.salts())) <= 0 {
		return false
	}
	last, _ := g.last()
	var now frameHeader
	n, _ := r.ReadAt(now[:], g.frameOffset(last+1))
	return n == len(now) && now == g.beyond
}

// errRewritten: the same header, but not the frames that were there before. SQLite
// never does this to committed frames; a restored copy or a lost sync might.
var errRewritten = errors.New("wal rewritten in place")

// catchUp reads the frames committed since the last call. Its cost is that of the
// new frames: the WAL's length, which says nothing, is never asked for. Frames of
// an unfinished transaction are read again next time, because SQLite may rewrite
// them until they are committed. One caller at a time; readers go on meanwhile.
func (g *generation) catchUp(r io.ReaderAt) error {
	last, _ := g.last()
	var head frameHeader
	if last > 0 {
		if n, err := r.ReadAt(head[:], g.frameOffset(last)); n < len(head) {
			return shortOr(err, errRewritten)
		}
		if head != g.tail {
			return errRewritten
		}
	}
	// Most calls find nothing: look at one frame header before reading any page.
	if n, err := r.ReadAt(head[:], g.frameOffset(last+1)); n < len(head) {
		g.beyond = frameHeader{}
		return shortOr(err, nil)
	}
	g.beyond = head
	if head.salts() != g.header.salts() {
		return nil
	}
	if err := g.readFrames(r, last); err != nil {
		return err
	}
	if now, _ := g.last(); now != last {
		n, err := r.ReadAt(g.beyond[:], g.frameOffset(now+1))
		if n < len(g.beyond) {
			g.beyond = frameHeader{}
			return shortOr(err, nil)
		}
	}
	return nil
}

// readFrames reads on after frame last.
func (g *generation) readFrames(r io.ReaderAt, last uint32) error {
	var (
		pending []uint32
		sum     = g.sum
		next    = last + 1
		buf     = make([]byte, firstChunk*g.frameSize)
		largest = max(chunkBytes/g.frameSize, firstChunk) * g.frameSize
	)
	for {
		n, err := r.ReadAt(buf, g.frameOffset(next))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read wal frames: %w", err)
		}
		for b := buf[:n]; int64(len(b)) >= g.frameSize; b = b[g.frameSize:] {
			page, size := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			if page == 0 || [8]byte(b[8:16]) != g.header.salts() {
				return nil
			}
			sum = checksum(g.big, sum, b[:8])
			sum = checksum(g.big, sum, b[frameHeaderSize:g.frameSize])
			if sum[0] != binary.BigEndian.Uint32(b[16:]) || sum[1] != binary.BigEndian.Uint32(b[20:]) {
				return nil
			}
			pending = append(pending, page)
			next++
			if size != 0 {
				g.commit(pending, size, sum, frameHeader(b))
				pending = pending[:0]
			}
		}
		if n < len(buf) {
			return nil
		}
		if int64(len(buf)) < largest {
			buf = make([]byte, min(2*int64(len(buf)), largest))
		}
	}
}

// commit adds the frames of one transaction.
func (g *generation) commit(pages []uint32, dbSize uint32, sum [2]uint32, tail frameHeader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range pages {
		g.prev = append(g.prev, g.latest[p])
		g.pages = append(g.pages, p)
		g.latest[p] = uint32(len(g.pages))
	}
	g.dbSize, g.sum, g.tail = dbSize, sum, tail
}

// shortOr turns the end of the file into atEnd and keeps any other error.
func shortOr(err, atEnd error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return atEnd
	}
	return fmt.Errorf("read wal frame header: %w", err)
}

// follower keeps the current generation of one file's WAL between views.
type follower struct {
	mu      sync.Mutex // one catches up at a time
	current *generation
	lastID  uint64
}

// sync brings the follower up to the WAL as it is now and returns its generation,
// nil when there is no valid WAL, and the header it found (n of its bytes).
func (f *follower) sync(r io.ReaderAt) (g *generation, h walHeader, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r != nil {
		if h, n, err = readWALHeader(r); err != nil {
			return nil, h, n, err
		}
	}
	if n < walHeaderSize || !h.valid() {
		f.current = nil
		return nil, h, n, nil
	}
	if err := h.check(); err != nil {
		return nil, h, n, err
	}
	if was := f.current; was == nil || was.header != h {
		linked := was != nil && was.follows(&h, r)
		f.start(h)
		if linked {
			f.current.former = &former{was.id, was.pages}
		}
	}
	err = f.current.catchUp(r)
	if errors.Is(err, errRewritten) {
		f.start(h)
		err = f.current.catchUp(r)
	}
	if err != nil {
		return nil, h, n, err
	}
	return f.current, h, n, nil
}

// extend reads on in generation g. It reports false when the WAL has left g.
func (f *follower) extend(g *generation, r io.ReaderAt) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != g {
		return false, nil
	}
	err := g.catchUp(r)
	if errors.Is(err, errRewritten) {
		f.current = nil
		return false, nil
	}
	return err == nil, err
}

func (f *follower) start(h walHeader) {
	f.lastID++
	f.current = newGeneration(f.lastID, h)
}

func (f *follower) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = nil
}
