package media

import (
	"bytes"
	"encoding/binary"
	"image"
	_ "image/gif"  // for DecodeConfig
	_ "image/jpeg" // for DecodeConfig
	_ "image/png"  // for DecodeConfig
	"io"
)

// endings are how pictures end [A].
var endings = map[string][]byte{
	mimeJPEG: {0xff, 0xd9},
	mimePNG:  {0xae, 0x42, 0x60, 0x82},
	mimeGIF:  {0x00, 0x3b},
}

// Whole says whether a content ends where files of its kind do: a picture with its
// end mark, a film with the end of a box, RIFF and BMP at the length they name. Of
// kinds without an end it says true. A content that is not whole may still be good,
// for programs append things to pictures; but one that is being written is not whole.
func Whole(r io.ReaderAt, size int64, mime string) bool {
	switch mime {
	case mimeJPEG, mimePNG, mimeGIF:
		want := endings[mime]
		tail := make([]byte, len(want))
		return readAt(r, tail, size-int64(len(want))) && bytes.Equal(tail, want)
	case mimeWebP, mimeBMP:
		var head [8]byte
		if !readAt(r, head[:], 0) {
			return false
		}
		named := int64(binary.LittleEndian.Uint32(head[2:]))
		if mime == mimeWebP {
			named = int64(binary.LittleEndian.Uint32(head[4:])) + 8
		}
		return size >= named
	case mimeMP4, "video/quicktime":
		return boxes(r, size)
	}
	return size > 0
}

// maxBoxes is more boxes than any film has at its top level.
const maxBoxes = 1 << 16

// boxes walks the boxes of an ISO media file and says whether the last ends with the
// file.
func boxes(r io.ReaderAt, size int64) bool {
	at := int64(0)
	for range maxBoxes {
		if at == size {
			return at > 0
		}
		var head [16]byte
		if !readAt(r, head[:8], at) {
			return false
		}
		n, least := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		switch n {
		case 0: // to the end of the file, wherever that comes to be
			return true
		case 1:
			if !readAt(r, head[:], at) {
				return false
			}
			n, least = int64(binary.BigEndian.Uint64(head[8:])), 16
		}
		if n < least || n > size-at {
			return false
		}
		at += n
	}
	return false
}

// readAt fills b from the offset, and says whether it could.
func readAt(r io.ReaderAt, b []byte, off int64) bool {
	if off < 0 {
		return false
	}
	n, err := r.ReadAt(b, off)
	return n == len(b) && (err == nil || err == io.EOF)
}

// opens says whether the head of a picture can be read by a decoder of its kind. The
// kinds that none is at hand for pass.
func opens(r io.Reader, mime string) bool {
	switch mime {
	case mimeJPEG, mimePNG, mimeGIF:
		_, _, err := image.DecodeConfig(r)
		return err == nil
	}
	return true
}
