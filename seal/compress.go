package seal

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionary1 is the zstd dictionary with which records are compressed, so that
// a batch of one short message is small too. It is part of the format: it never
// changes; another one gets another id, which each frame names.
//
//go:embed dictionary-1.zdict
var dictionary1 []byte

// Codecs are safe for concurrent EncodeAll and DecodeAll, and expensive to make.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderDict(dictionary1),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the dictionary is a constant of the program
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary1), zstd.WithDecoderMaxMemory(MaxPlain),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(0))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// Compress makes one zstd frame of records. Integrity is the AEAD's business, so
// the frame has no checksum of its own.
func Compress(ndjson []byte) []byte {
	return encoder().EncodeAll(ndjson, make([]byte, 0, len(ndjson)/4+64))
}

// Decompress reads what Compress made, up to [MaxPlain] bytes.
func Decompress(frame []byte) ([]byte, error) {
	b, err := decoder().DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w: %w", ErrMalformed, err)
	}
	if len(b) > MaxPlain {
		return nil, fmt.Errorf("decompress: more than %d bytes: %w", MaxPlain, ErrMalformed)
	}
	return b, nil
}
