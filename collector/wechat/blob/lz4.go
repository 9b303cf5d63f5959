package blob

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/pierrec/lz4/v4"
)

// MaxContent is the most that one row's content may unpack to, in bytes.
const MaxContent = 32 << 20

// Faults of a block.
var (
	ErrBlock = errors.New("content is not an LZ4 block")
	ErrLarge = errors.New("content unpacks to more than 32 MiB")
)

// LZ4 unpacks CompressContent of the third generation: one raw block without its size,
// with NUL bytes behind the text [A]. It writes to buf, which it may outgrow, and
// returns the text; the memory is that of the text, for the block is measured first.
func LZ4(buf, block []byte) ([]byte, error) {
	size, err := measure(block)
	if err != nil {
		return nil, err
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	n, err := lz4.UncompressBlock(block, buf)
	if err != nil || n != size {
		return nil, ErrBlock // the library's error has nothing more to say
	}
	return bytes.TrimRight(buf, "\x00"), nil
}

// measure walks over a block's sequences (a token, literals, a distance and a length to
// repeat; the last has literals alone) and adds up what they unpack to.
func measure(b []byte) (int, error) {
	total := 0
	length := func(nibble byte) (n int, ok bool) {
		n = int(nibble)
		if nibble < 15 {
			return n, true
		}
		for {
			if len(b) == 0 || n > MaxContent {
				return n, n > MaxContent
			}
			c := b[0]
			b = b[1:]
			n += int(c)
			if c < 255 {
				return n, true
			}
		}
	}
	for len(b) > 0 {
		token := b[0]
		b = b[1:]
		literals, ok := length(token >> 4)
		if !ok || literals > len(b) {
			return 0, ErrBlock
		}
		b = b[literals:]
		if total += literals; total > MaxContent {
			return 0, ErrLarge
		}
		if len(b) == 0 {
			return total, nil
		}
		if len(b) < 2 {
			return 0, ErrBlock
		}
		distance := int(binary.LittleEndian.Uint16(b))
		b = b[2:]
		match, ok := length(token & 15)
		if !ok || distance == 0 || distance > total {
			return 0, ErrBlock
		}
		if total += match + 4; total > MaxContent {
			return 0, ErrLarge
		}
	}
	return 0, ErrBlock // empty, or ends behind a repetition
}
