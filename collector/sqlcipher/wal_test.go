package sqlcipher

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
)

// memory is a file's content as an io.ReaderAt that counts what is read.
type memory struct {
	b    []byte
	read int
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(m.b).ReadAt(p, off)
	m.read += n
	return n, err
}

// makeWAL writes n commits of one row each and returns the WAL, with the pages of
// each commit's frames.
func makeWAL(t testing.TB, commits int, big bool) []byte {
	t.Helper()
	src := newSource(t, V4)
	src.big = big
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
	for i := range commits {
		src.exec("INSERT INTO t(body) VALUES(hex(zeroblob(" + itoa(500+i) + ")))")
	}
	src.mirror()
	return src.read(src.path + "-wal")
}

// A WAL read in one go and one that grows commit by commit give the same frames,
// in both byte orders of its checksums.
func TestFollowIncrementally(t *testing.T) {
	for _, big := range []bool{false, true} {
		wal := makeWAL(t, 60, big)
		var whole, steps follower
		g, _, _, err := whole.sync(&memory{b: wal})
		if err != nil || g == nil {
			t.Fatalf("big=%t: no generation: %v", big, err)
		}
		frameSize := frameHeaderSize + V4.PageSize
		if got, want := len(g.pages), (len(wal)-walHeaderSize)/frameSize; got != want {
			t.Fatalf("big=%t: %d frames, want %d", big, got, want)
		}
		var h *generation
		for end := walHeaderSize; end <= len(wal); end += frameSize {
			if h, _, _, err = steps.sync(&memory{b: wal[:end]}); err != nil {
				t.Fatal(err)
			}
			// Only whole transactions count.
			n := (end - walHeaderSize) / frameSize
			if last, size := h.last(); last > 0 && (int(last) > n || size == 0 ||
				binary.BigEndian.Uint32(wal[h.frameOffset(last)+4:]) != size) {
				t.Fatalf("after %d frames: last %d, %d pages", n, last, size)
			}
		}
		if !slices.Equal(g.pages, h.pages) || !slices.Equal(g.prev, h.prev) || g.sum != h.sum || steps.lastID != 1 {
			t.Errorf("big=%t: step by step is not the same as at once", big)
		}
	}
}

// An old snapshot keeps finding its own frames while the map goes on to newer ones.
func TestLookupIsBoundedByTheSnapshot(t *testing.T) {
	wal := makeWAL(t, 40, false)
	var f follower
	g, _, _, err := f.sync(&memory{b: wal})
	if err != nil {
		t.Fatal(err)
	}
	for max := uint32(0); int(max) <= len(g.pages); max++ {
		want := map[uint32]uint32{}
		for i, p := range g.pages[:max] {
			want[p] = uint32(i + 1)
		}
		for p := uint32(1); p < 40; p++ {
			if got := g.lookup(p, max); got != want[p] {
				t.Fatalf("page %d up to frame %d: frame %d, want %d", p, max, got, want[p])
			}
		}
	}
}

// Following costs the new frames, whatever the length of the WAL: idle, three
// headers; one more commit, its frames and no more than one small read behind them.
func TestFollowCostsOnlyWhatIsNew(t *testing.T) {
	wal := makeWAL(t, 3000, false)
	var f follower
	frameSize := frameHeaderSize + V4.PageSize
	end := len(wal) - 4*frameSize
	m := &memory{b: wal[:end]}
	g, _, _, err := f.sync(m)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := g.last()
	m.read = 0
	if _, _, _, err := f.sync(m); err != nil {
		t.Fatal(err)
	}
	if limit := walHeaderSize + 2*frameHeaderSize; m.read > limit {
		t.Errorf("idle: read %d bytes, want at most %d", m.read, limit)
	}
	m.b, m.read = wal, 0
	if _, _, _, err := f.sync(m); err != nil {
		t.Fatal(err)
	}
	after, _ := g.last()
	if after <= before {
		t.Fatal("nothing new was found")
	}
	if limit := walHeaderSize + 2*frameHeaderSize + firstChunk*frameSize; m.read > limit {
		t.Errorf("%d frames: read %d bytes, want at most %d", after-before, m.read, limit)
	}
}

// However much of the last frame reached the disk, the snapshot is the commit
// before it until the frame is whole; a changed byte anywhere in it is the same as
// a missing one.
func TestTornTailAtEveryByte(t *testing.T) {
	wal := makeWAL(t, 3, false)
	frameSize := frameHeaderSize + V4.PageSize
	cut := len(wal) - frameSize
	var f follower
	g, _, _, err := f.sync(&memory{b: wal})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := g.last()
	for n := range frameSize {
		for name, b := range map[string][]byte{
			"torn":    wal[:cut+n],
			"zeroed":  append(bytes.Clone(wal[:cut+n]), make([]byte, frameSize-n)...),
			"flipped": flip(wal, cut+n),
		} {
			if bytes.Equal(b, wal) {
				continue
			}
			g, _, _, err := new(follower).sync(&memory{b: b})
			if err != nil {
				t.Fatal(err)
			}
			if last, _ := g.last(); last >= all {
				t.Fatalf("%s at byte %d: %d frames of %d", name, n, last, all)
			}
		}
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0x40
	return b
}

// SQLite rewrites frames that were not committed. What was seen of them before must
// not shift what comes after.
func TestUncommittedFramesMayBeRewritten(t *testing.T) {
	wal := makeWAL(t, 30, false)
	var f follower
	frameSize := frameHeaderSize + V4.PageSize
	// Find a transaction of several frames and show all but its last.
	g, _, _, err := f.sync(&memory{b: wal})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := g.last()
	f.reset()
	end := len(wal) - frameSize
	other := bytes.Clone(wal[:end])
	other[end-1] ^= 1 // a frame of the unfinished transaction as it was before it was rewritten
	for _, b := range [][]byte{other, wal[:end], wal} {
		if g, _, _, err = f.sync(&memory{b: b}); err != nil {
			t.Fatal(err)
		}
	}
	if last, _ := g.last(); last != all {
		t.Errorf("%d frames, want %d", last, all)
	}
}

// The same header over other frames, or over fewer, starts over instead of mixing.
func TestSameHeaderOtherContentStartsOver(t *testing.T) {
	wal := makeWAL(t, 30, false)
	frameSize := frameHeaderSize + V4.PageSize
	var f follower
	first, _, _, err := f.sync(&memory{b: wal})
	if err != nil {
		t.Fatal(err)
	}
	last, _ := first.last()
	for name, b := range map[string][]byte{
		"shorter":  wal[:len(wal)-frameSize],
		"rewitten": flip(wal, len(wal)-frameSize+20), // the last commit's checksum
	} {
		f = follower{current: first}
		g, _, _, err := f.sync(&memory{b: b})
		if err != nil {
			t.Fatal(err)
		}
		if now, _ := g.last(); g == first || now >= last {
			t.Errorf("%s: still at frame %d of %d", name, now, last)
		}
	}
}

// What SQLite would not use as a WAL is none, and what it would refuse is an error.
func TestWALHeader(t *testing.T) {
	wal := makeWAL(t, 2, false)
	edit := func(f func(h []byte)) []byte {
		b := bytes.Clone(wal)
		f(b)
		return b
	}
	reSum := func(b []byte) {
		putSum(b[24:], checksum(false, [2]uint32{}, b[:24]))
	}
	for _, tt := range []struct {
		name   string
		b      []byte
		frames bool
		err    error
	}{
		{"as written", wal, true, nil},
		{"empty", nil, false, nil},
		{"shorter than a header", wal[:31], false, nil},
		{"header alone", wal[:32], false, nil},
		{"another magic", edit(func(b []byte) { b[0] = 0 }), false, nil},
		{"wrong checksum", edit(func(b []byte) { b[16] ^= 1 }), false, nil},
		{"byte order of the other kind", edit(func(b []byte) { b[3] ^= 1 }), false, nil},
		{"newer format", edit(func(b []byte) { b[7]++; reSum(b) }), false, ErrCorrupt},
		{"absurd page size", edit(func(b []byte) { b[8] = 0x7f; reSum(b) }), false, ErrCorrupt},
		{"other salts: all frames are stale", edit(func(b []byte) { b[17]++; reSum(b) }), false, nil},
		{"page number 0", edit(func(b []byte) { clear(b[32:36]) }), false, nil},
	} {
		g, _, _, err := new(follower).sync(&memory{b: tt.b})
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
			continue
		}
		var last uint32
		if g != nil {
			last, _ = g.last()
		}
		if (last > 0) != tt.frames {
			t.Errorf("%s: %d frames", tt.name, last)
		}
	}
}

// Test 2 of the list: a restarted WAL has a new header in front of thousands of
// stale frames and no valid one; everything is in the main file, and the next
// commit overwrites the first of them.
func TestHeaderBeforeStaleFrames(t *testing.T) {
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
	for range 1000 {
		src.exec("INSERT INTO t(body) VALUES('x')")
	}
	src.mirror()
	db := src.db()
	if got := mustRows(t, db, "SELECT count(*) FROM t"); got[0] != "1000" {
		t.Fatalf("count %s, want 1000", got[0])
	}
	old := src.read(src.path + "-wal")

	// Everything copied and the WAL restarted, as the client does: at once.
	src.exec("PRAGMA wal_checkpoint(RESTART)")
	src.mirror()
	restarted := bytes.Clone(old)
	h := restarted[:walHeaderSize]
	binary.BigEndian.PutUint32(h[12:], binary.BigEndian.Uint32(h[12:])+1)
	binary.BigEndian.PutUint32(h[16:], binary.BigEndian.Uint32(h[16:])+1)
	binary.BigEndian.PutUint32(h[20:], 0xdecade)
	putSum(h[24:], checksum(false, [2]uint32{}, h[:24]))
	if err := os.WriteFile(src.path+"-wal", restarted, 0o600); err != nil {
		t.Fatal(err)
	}
	err := db.View(t.Context(), func(v *View) error {
		if v.snap.gen == nil || v.snap.last != 0 {
			t.Errorf("%d valid frames, want 0", v.snap.last)
		}
		got, err := query(v, "SELECT count(*) FROM t")
		if err == nil && got[0] != "1000" {
			t.Errorf("count %s, want 1000", got[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The next commits, by SQLite, over the stale frames.
	src.exec("INSERT INTO t(body) VALUES('y')")
	src.mirror()
	if got := mustRows(t, db, "SELECT count(*) FROM t"); got[0] != "1001" {
		t.Fatalf("count %s, want 1001", got[0])
	}
}
