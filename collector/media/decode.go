package media

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The ways in which a content is stored.
const (
	Plain = "plain"
	XOR   = "xor" // every byte with one byte
	V1    = "v1"  // 4.x with the published key
	V2    = "v2"  // 4.x with the account's key
)

// The reasons why a stored picture cannot be decoded.
var (
	ErrImageKey   = errors.New("no image key of the account opens it")
	ErrTail       = errors.New("the byte that its end is XORed with is not known")
	ErrUnreadable = errors.New("it is no picture of a known format")
)

// The outer form of V1 and V2 [A]: 6 bytes of magic, the length of the AES part, the
// length of the XOR part, both 32 bits little-endian, and a byte 01.
const (
	layeredHeader = 15
	magicV1       = "\x07\x08V1\x08\x07"
	magicV2       = "\x07\x08V2\x08\x07"
)

// keyV1 is a constant of the client's, published in several programs [A].
const keyV1 = "cfcd208495d565ef"

// Keys are what an account's pictures are decoded with. The zero value opens what
// needs no key.
type Keys struct {
	AES  [][]byte // candidates of 16 bytes for V2
	Tail *byte    // what the ends of V1 and V2 are XORed with, when the file itself does not tell
}

// Content is a file as it is to be captured.
type Content struct {
	Format string // one of Plain, XOR, V1, V2
	MIME   string // "" when not known
	Size   int64  // bytes, decoded
	Whole  bool   // see [Whole]
	Tail   *byte  // of V1 and V2, when the file itself told: worth remembering for others

	at io.ReaderAt
}

// Reader reads the decoded content from its beginning. It holds nothing but a
// position, so that any number may be made.
func (c *Content) Reader() *io.SectionReader { return io.NewSectionReader(c.at, 0, c.Size) }

// AsIs is a file whose content is stored plain; name is the one it was sent with.
func AsIs(r io.ReaderAt, size int64, name string) *Content {
	head := make([]byte, min(size, SniffLen))
	if !readAt(r, head, 0) {
		head = nil
	}
	c := &Content{Format: Plain, MIME: Sniff(head, name), Size: size, at: r}
	c.Whole = Whole(r, size, c.MIME)
	return c
}

// Decode finds out how a picture is stored and returns it decoded. Nothing but some
// first and last bytes is read before the content is. The error wraps ErrImageKey,
// ErrTail or ErrUnreadable, or is the file's own.
//
// There is no MAC and no length in these formats [A], so a result counts only when its
// first bytes are those of a picture and either its end is too or a decoder reads its
// head.
func Decode(r io.ReaderAt, size int64, keys Keys) (*Content, error) {
	head := make([]byte, min(size, SniffLen+layeredHeader))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	var c *Content
	var err error
	switch {
	case len(head) >= layeredHeader && string(head[:6]) == magicV1:
		c, err = layered(r, size, head, V1, [][]byte{[]byte(keyV1)}, keys.Tail)
	case len(head) >= layeredHeader && string(head[:6]) == magicV2:
		c, err = layered(r, size, head, V2, keys.AES, keys.Tail)
	default:
		c, err = masked(r, size, head)
	}
	if err != nil {
		return nil, err
	}
	c.Whole = Whole(c.at, c.Size, c.MIME)
	if !c.Whole && !opens(c.Reader(), c.MIME) {
		return nil, fmt.Errorf("%s, stored as %s: %w", c.MIME, c.Format, ErrUnreadable)
	}
	return c, nil
}

// masked reads a file with one byte XORed over all of it, or none. Each magic tells
// the byte by itself; all its bytes must agree on it, and there must be three or more,
// for two agree by accident [A].
func masked(r io.ReaderAt, size int64, head []byte) (*Content, error) {
	plain := make([]byte, len(head))
	for _, p := range pictures {
		if len(head) < len(p.magic) {
			continue
		}
		key := head[0] ^ p.magic[0]
		for i, b := range head {
			plain[i] = b ^ key
		}
		if picture(plain) != p.mime {
			continue
		}
		c := &Content{Format: XOR, MIME: p.mime, Size: size, at: &maskedReader{r, key}}
		if key == 0 {
			c.Format, c.at = Plain, r
		}
		return c, nil
	}
	return nil, ErrUnreadable
}

type maskedReader struct {
	r   io.ReaderAt
	key byte
}

func (m *maskedReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := m.r.ReadAt(b, off)
	mask(b[:n], m.key)
	return n, err
}

func mask(b []byte, key byte) {
	if key == 0 {
		return
	}
	wide := uint64(key) * 0x0101010101010101
	for len(b) >= 8 {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key
	}
}

// layeredReader reads V1 and V2 at any place: ECB has no memory between blocks.
type layeredReader struct {
	r     io.ReaderAt
	block cipher.Block
	first int64 // decoded bytes of the AES part
	coded int64 // its length as stored, a multiple of 16
	last  int64 // offset in the decoded content where the XOR part begins
	size  int64 // of the decoded content
	tail  byte
}

// layered reads the header of V1 or V2 and finds the key and the byte of the tail.
func layered(r io.ReaderAt, size int64, head []byte, format string, keys [][]byte, tail *byte) (*Content, error) {
	body := size - layeredHeader
	a, x := int64(binary.LittleEndian.Uint32(head[6:])), int64(binary.LittleEndian.Uint32(head[10:]))
	coded := a/aes.BlockSize*aes.BlockSize + aes.BlockSize // PKCS#7 pads by a whole block when nothing is missing [A]
	clamped := coded > body
	if clamped {
		coded = body / aes.BlockSize * aes.BlockSize
	}
	if coded < aes.BlockSize {
		return nil, fmt.Errorf("stored as %s, without a whole block: %w", format, ErrUnreadable)
	}
	l := &layeredReader{r: r, first: a, coded: coded}
	start := make([]byte, min(coded, 2*aes.BlockSize))
	if !readAt(r, start, layeredHeader) {
		return nil, io.ErrUnexpectedEOF
	}
	var mime string
	plain := make([]byte, len(start))
	for _, k := range keys {
		block, err := aes.NewCipher(k)
		if err != nil || len(k) != aes.BlockSize {
			continue
		}
		for i := 0; i < len(start); i += aes.BlockSize {
			block.Decrypt(plain[i:], start[i:])
		}
		if mime = picture(plain); mime != "" {
			l.block = block
			break
		}
	}
	if l.block == nil {
		if format == V2 {
			return nil, ErrImageKey
		}
		return nil, fmt.Errorf("stored as %s: %w", format, ErrUnreadable)
	}
	if clamped {
		if err := l.unpad(); err != nil {
			return nil, err
		}
	}
	rest := body - coded
	x = min(x, rest)
	l.size = l.first + rest
	l.last = l.size - x
	c := &Content{Format: format, MIME: mime, Size: l.size, at: l}
	if x == 0 {
		return c, nil
	}
	if own, ok := l.ownTail(mime, x); ok {
		l.tail, c.Tail = own, &own
		return c, nil
	}
	if tail == nil {
		return nil, ErrTail
	}
	l.tail = *tail
	return c, nil
}

// unpad finds how much of the last block is padding, when the header's length is of
// more than the file holds.
func (l *layeredReader) unpad() error {
	var b [aes.BlockSize]byte
	if !readAt(l.r, b[:], layeredHeader+l.coded-aes.BlockSize) {
		return io.ErrUnexpectedEOF
	}
	l.block.Decrypt(b[:], b[:])
	l.first = l.coded
	pad := int(b[len(b)-1])
	if pad == 0 || pad > len(b) {
		return nil
	}
	for _, p := range b[len(b)-pad:] {
		if int(p) != pad {
			return nil
		}
	}
	l.first -= int64(pad)
	return nil
}

// ownTail learns the byte of the tail from this file alone: the kind is known by its
// first bytes, and with it how it ends. The last byte tells the byte; those before it,
// as far as they are in the tail, must agree, and one before the tail must be as it
// ought to be.
//
// A file that tells needs no vote of others. Only one that does not, for something is
// appended to it or its kind has no end, goes by what others told.
func (l *layeredReader) ownTail(mime string, x int64) (byte, bool) {
	want := endings[mime]
	if len(want) == 0 || l.size < int64(len(want)) {
		return 0, false
	}
	got := make([]byte, len(want))
	l.tail = 0
	if !readAt(l, got, l.size-int64(len(want))) {
		return 0, false
	}
	key := got[len(got)-1] ^ want[len(want)-1]
	for i := range got {
		if int64(len(got)-i) <= x {
			got[i] ^= key
		}
		if got[i] != want[i] {
			return 0, false
		}
	}
	return key, true
}

// ReadAt reads the decoded content.
func (l *layeredReader) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= l.size {
		return 0, io.EOF
	}
	short := int64(len(b)) > l.size-off
	if short {
		b = b[:l.size-off]
	}
	for n < len(b) && off+int64(n) < l.first {
		m, err := l.readBlocks(b[n:], off+int64(n))
		if n += m; err != nil {
			return n, err
		}
	}
	if n < len(b) {
		at := off + int64(n)
		m, err := l.r.ReadAt(b[n:], layeredHeader+l.coded+at-l.first)
		if from := max(l.last-at, 0); from < int64(m) {
			mask(b[n+int(from):n+m], l.tail)
		}
		if n += m; err != nil && (err != io.EOF || n < len(b)) {
			return n, err
		}
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// readBlocks reads a run of the AES part.
func (l *layeredReader) readBlocks(b []byte, off int64) (int, error) {
	var buf [4096]byte
	from := off / aes.BlockSize * aes.BlockSize
	end := min(off+int64(len(b)), l.first)
	blocks := buf[:min(int64(len(buf)), (end+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize-from)]
	if !readAt(l.r, blocks, layeredHeader+from) {
		return 0, io.ErrUnexpectedEOF
	}
	for i := 0; i < len(blocks); i += aes.BlockSize {
		l.block.Decrypt(blocks[i:], blocks[i:])
	}
	return copy(b[:end-off], blocks[off-from:]), nil
}
