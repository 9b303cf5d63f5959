package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"sync"
)

// Format is what a picture is.
type Format string

// The formats. WXGF is the client's own.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WXGF Format = "wxgf"
)

// MIME is the media type of the format. That of wxgf is not registered.
func (f Format) MIME() string {
	if f == WXGF {
		return "image/x-wxgf"
	}
	return "image/" + string(f)
}

// Picture is a picture of exactly size bytes, which no other seed gives. size must
// be at least 3 KiB. All but WXGF decode with the standard library. The picture itself
// is the same for each format; what fills it up and makes it unique is a comment of random bytes.
func Picture(r *rand.Rand, f Format, size int) []byte {
	if f == WXGF {
		return stillPicture(r, size)
	}
	base, ok := bases()[f]
	if !ok || size < len(base)+32 {
		panic(fmt.Sprintf("media: no %s of %d bytes", f, size))
	}
	switch f {
	case JPEG: // COM segments behind the start of image
		return fill(base, 2, size, 60000, func(n int) []byte {
			seg := binary.BigEndian.AppendUint16([]byte{0xff, 0xfe}, uint16(n-2))
			return append(seg, noise(r, n-4)...)
		})
	case PNG: // a text chunk behind the header
		return fill(base, 8+25, size, size, func(n int) []byte {
			chunk := binary.BigEndian.AppendUint32(nil, uint32(n-12))
			chunk = append(append(chunk, "teXt"...), noise(r, n-12)...)
			return binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
		})
	default: // comment extensions in front of the trailer
		return fill(base, len(base)-1, size, 4+255, func(n int) []byte {
			return append(append([]byte{0x21, 0xfe, byte(n - 4)}, noise(r, n-4)...), 0)
		})
	}
}

// fill inserts pieces of at most limit bytes into base at a place, until there are size
// bytes. No piece is shorter than the shortest that fits somewhere.
func fill(base []byte, at, size, limit int, piece func(n int) []byte) []byte {
	const shortest = 32
	out := append(make([]byte, 0, size), base[:at]...)
	for missing := size - len(base); missing > 0; {
		n := min(missing, limit)
		if left := missing - n; left > 0 && left < shortest {
			n -= shortest
		}
		out = append(out, piece(n)...)
		missing -= n
	}
	return append(out, base[at:]...)
}

// bases is a small picture in each format: a slope of colours under some noise.
var bases = sync.OnceValue(func() map[Format][]byte {
	const w, h = 48, 36
	r := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{uint8(x * 5), uint8(y * 7), uint8(r.IntN(8) * 20), 255})
		}
	}
	pal := image.NewPaletted(img.Rect, palette.Plan9)
	for y := range h {
		for x := range w {
			pal.Set(x, y, img.At(x, y))
		}
	}
	var j, p, g bytes.Buffer
	for _, err := range []error{
		jpeg.Encode(&j, img, &jpeg.Options{Quality: 60}),
		png.Encode(&p, pal),
		gif.Encode(&g, pal, nil),
	} {
		if err != nil {
			panic(err) // into memory, from a valid picture
		}
	}
	return map[Format][]byte{JPEG: j.Bytes(), PNG: p.Bytes(), GIF: g.Bytes()}
})
