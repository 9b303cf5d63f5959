package media_test

import (
	"bytes"
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"tidemark/collector/media"
)

var (
	keyV1 = []byte("cfcd208495d565ef")
	keyV2 = []byte("0123456789abcdef")
)

const tail = byte(0x5c)

// layered stores a picture as V1 and V2 do, written from the reference's words and not
// from the decoder: a bytes in AES-128-ECB with PKCS#7, a middle, x bytes XORed.
func layered(plain []byte, version byte, key []byte, a, x int) []byte {
	named := a
	a = min(a, len(plain))
	x = min(x, len(plain)-a)
	out := append([]byte{7, 8, 'V', version, 8, 7}, binary.LittleEndian.AppendUint32(nil, uint32(named))...)
	out = append(binary.LittleEndian.AppendUint32(out, uint32(x)), 1)
	pad := 16 - a%16
	head := append(slices.Clone(plain[:a]), bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(head); i += 16 {
		block.Encrypt(head[i:], head[i:])
	}
	out = append(append(out, head...), plain[a:len(plain)-x]...)
	return append(out, xored(plain[len(plain)-x:], tail)...)
}

func xored(b []byte, key byte) []byte {
	out := slices.Clone(b)
	for i := range out {
		out[i] ^= key
	}
	return out
}

func noisy(side int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	return m
}

func pictureOf(t testing.TB, kind string, side int) []byte {
	var b bytes.Buffer
	var err error
	switch kind {
	case "image/jpeg":
		err = jpeg.Encode(&b, noisy(side), nil)
	case "image/png":
		err = png.Encode(&b, noisy(side))
	case "image/gif":
		p := image.NewPaletted(image.Rect(0, 0, 4*side, 4*side), color.Palette{color.Black, color.White})
		err = gif.Encode(&b, p, nil)
	case "image/x-wxgf":
		b.WriteString("wxgf\x18\x01")
		b.Write(bytes.Repeat([]byte{7, 9, 11}, side*side))
	case "image/webp":
		body := bytes.Repeat([]byte{3, 1, 4}, side*side)
		b.WriteString("RIFF")
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(body)+4)))
		b.WriteString("WEBP")
		b.Write(body)
	case "image/bmp":
		body := bytes.Repeat([]byte{1, 2, 3, 4}, side*side)
		b.WriteString("BM")
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(54+len(body))))
		b.Write([]byte{0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0})
		b.Write(make([]byte, 36))
		b.Write(body)
	case "image/tiff":
		b.WriteString("II*\x00")
		b.Write(bytes.Repeat([]byte{8, 0, 1}, side*side))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var kinds = []string{"image/jpeg", "image/png", "image/gif", "image/x-wxgf", "image/webp", "image/bmp", "image/tiff"}

// Every kind of picture comes back byte for byte from every way of storing it, whole
// or in small pieces.
func TestDecode(t *testing.T) {
	given := tail
	keys := media.Keys{AES: [][]byte{[]byte("ffffffffffffffff"), []byte("short"), keyV2}, Tail: &given}
	for _, kind := range kinds {
		plain := pictureOf(t, kind, 48)
		for _, s := range []struct {
			name, format string
			stored       []byte
		}{
			{"plain", media.Plain, plain},
			{"xor", media.XOR, xored(plain, 0xa7)},
			{"v1", media.V1, layered(plain, '1', keyV1, 1024, 1024)},
			{"v2", media.V2, layered(plain, '2', keyV2, 1024, 1024)},
			{"v2 no tail", media.V2, layered(plain, '2', keyV2, 1024, 0)},
			{"v2 one byte of tail", media.V2, layered(plain, '2', keyV2, 1000, 1)},
			{"v2 no middle", media.V2, layered(plain, '2', keyV2, 100, len(plain)-100)},
			{"v2 all AES", media.V2, layered(plain, '2', keyV2, len(plain), 0)},
			{"v2 shorter than it names", media.V2, layered(plain, '2', keyV2, len(plain)+5000, 0)},
			{"v2 not a multiple of a block", media.V2, layered(plain, '2', keyV2, 1027, 333)},
		} {
			t.Run(kind+"/"+s.name, func(t *testing.T) {
				c, err := media.Decode(bytes.NewReader(s.stored), int64(len(s.stored)), keys)
				if err != nil {
					t.Fatal(err)
				}
				if c.Format != s.format || c.MIME != kind || c.Size != int64(len(plain)) || !c.Whole {
					t.Fatalf("got %s %s of %d bytes, whole %v; want %s of %d", c.Format, c.MIME, c.Size, c.Whole, s.format, len(plain))
				}
				got, err := io.ReadAll(c.Reader())
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("other bytes: %v", err)
				}
				if err := iotest.TestReader(c.Reader(), plain); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// A file of a kind with an end decides about its tail alone: no vote, no setting, and
// against a wrong one. An earlier design that needed votes lost originals.
func TestOwnTailDecides(t *testing.T) {
	wrong := tail ^ 0xff
	for _, kind := range []string{"image/jpeg", "image/png", "image/gif"} {
		plain := pictureOf(t, kind, 64)
		stored := layered(plain, '2', keyV2, 64, 200)
		for _, given := range []*byte{nil, &wrong} {
			c, err := media.Decode(bytes.NewReader(stored), int64(len(stored)), media.Keys{AES: [][]byte{keyV2}, Tail: given})
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			got, _ := io.ReadAll(c.Reader())
			if !bytes.Equal(got, plain) || c.Tail == nil || *c.Tail != tail {
				t.Errorf("%s: other bytes, or the byte of the tail was not told", kind)
			}
		}
	}
	// A kind without an end cannot tell, and says so instead of guessing.
	plain := pictureOf(t, "image/x-wxgf", 64)
	stored := layered(plain, '2', keyV2, 64, 200)
	if _, err := media.Decode(bytes.NewReader(stored), int64(len(stored)), media.Keys{AES: [][]byte{keyV2}}); !errors.Is(err, media.ErrTail) {
		t.Errorf("got %v, want ErrTail", err)
	}
}

// What cannot be decoded is told apart: no key, and no picture.
func TestDecodeRefuses(t *testing.T) {
	plain := pictureOf(t, "image/jpeg", 64)
	v2 := layered(plain, '2', keyV2, 1024, 100)
	corrupt := slices.Clone(plain)
	clear(corrupt[2:])
	for _, c := range []struct {
		name   string
		stored []byte
		keys   media.Keys
		want   error
	}{
		{"no key", v2, media.Keys{}, media.ErrImageKey},
		{"wrong key", v2, media.Keys{AES: [][]byte{[]byte("fedcba9876543210")}}, media.ErrImageKey},
		{"empty", nil, media.Keys{}, media.ErrUnreadable},
		{"two letters", []byte("BM"), media.Keys{}, media.ErrUnreadable},
		{"noise", bytes.Repeat([]byte("noise"), 100), media.Keys{}, media.ErrUnreadable},
		{"a header and nothing", []byte(v2[:15]), media.Keys{AES: [][]byte{keyV2}}, media.ErrUnreadable},
		{"a picture's magic and nothing", append([]byte{0xff, 0xd8, 0xff}, make([]byte, 400)...), media.Keys{}, media.ErrUnreadable},
	} {
		if _, err := media.Decode(bytes.NewReader(c.stored), int64(len(c.stored)), c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// A picture that was cut off is readable and not whole, so that its reader waits.
func TestNotWhole(t *testing.T) {
	for _, kind := range []string{"image/jpeg", "image/png", "image/webp", "image/bmp"} {
		plain := pictureOf(t, kind, 48)
		cut := xored(plain[:len(plain)/2], 0x11)
		c, err := media.Decode(bytes.NewReader(cut), int64(len(cut)), media.Keys{})
		if err != nil || c.Whole {
			t.Errorf("%s: %v, whole %v", kind, err, c != nil && c.Whole)
		}
	}
	box := func(kind string, n int) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+n)), kind...), make([]byte, n)...)
	}
	film := append(box("ftyp", 16), box("mdat", 1000)...)
	long := append(binary.BigEndian.AppendUint32(nil, 1), "mdat"...)
	long = append(binary.BigEndian.AppendUint64(long, 16+500), make([]byte, 500)...)
	for _, c := range []struct {
		name  string
		film  []byte
		whole bool
	}{
		{"whole", film, true}, {"cut", film[:len(film)-1], false}, {"appended", append(slices.Clone(film), 1), false},
		{"64 bits", append(slices.Clone(film), long...), true}, {"empty", nil, false},
		{"endless", bytes.Repeat([]byte{0, 0, 0, 2, 'f', 't', 'y', 'p'}, 9), false},
	} {
		if got := media.Whole(bytes.NewReader(c.film), int64(len(c.film)), "video/mp4"); got != c.whole {
			t.Errorf("film %s: whole is %v", c.name, got)
		}
	}
}

// One stored file is pinned: made by openssl and by hand from the reference's layout of
// V1, 32 bytes in AES and 16 of tail, and not by this package or its tests.
func TestDecodeGolden(t *testing.T) {
	stored, err := hex.DecodeString("070856310807200000001000000001" +
		"e81f11ab4b84cf0dd059e4fba8d48f005043814566f9955f391946b07c2c626ea4bd516ab4a5f4dae57b06e5e2ab7700" +
		"b6bdc4cbd2d9e0e7eef5fc030a11181f262d343b424950575e656c737a81888f969da4abb2b99c9b928980bfb6ada4a35a5148477e75")
	if err != nil {
		t.Fatal(err)
	}
	given := tail
	c, err := media.Decode(bytes.NewReader(stored), int64(len(stored)), media.Keys{Tail: &given})
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	io.Copy(h, c.Reader())
	if got := hex.EncodeToString(h.Sum(nil)); got != "af5e7055db8b82972d19e17b8ac65b8381318b2d2f8d20100cfd64b21917dc99" {
		t.Errorf("decoded to %s", got)
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct{ head, name, want string }{
		{"\x02#!SILK_V3\x0c", "", "audio/x-silk"}, {"#!SILK_V3", "", "audio/x-silk"},
		{"%PDF-1.4", "x", "application/pdf"}, {"PK\x03\x04", "a.DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"PK\x03\x04", "a.pdf", "application/zip"}, {"\x00\x00\x00\x20ftypisom", "", "video/mp4"},
		{"hello", "a.pdf", ""}, {"", "", ""}, {"RIFF\x00\x00\x00\x00WAVE", "", ""},
	} {
		if got := media.Sniff([]byte(c.head), c.name); got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.head, c.name, got, c.want)
		}
	}
}

// Whatever a stored file holds, decoding ends, with bounded memory, and what it gives
// can be read to the length it names.
func FuzzDecode(f *testing.F) {
	for _, kind := range kinds {
		plain := pictureOf(f, kind, 16)
		f.Add(plain)
		f.Add(xored(plain, 3))
		f.Add(layered(plain, '1', keyV1, 64, 32))
		f.Add(layered(plain, '2', keyV2, 64, 32))
		f.Add(layered(plain, '2', keyV2, 1<<30, 1<<30))
	}
	f.Add([]byte("\x07\x08V2\x08\x07\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	given := tail
	keys := media.Keys{AES: [][]byte{keyV2}, Tail: &given}
	f.Fuzz(func(t *testing.T, stored []byte) {
		c, err := media.Decode(bytes.NewReader(stored), int64(len(stored)), keys)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, c.Reader())
		if err != nil || n != c.Size || n > int64(len(stored)) {
			t.Fatalf("%d bytes of %d: %v", n, c.Size, err)
		}
	})
}

// Whatever a file holds, saying whether it is whole ends.
func FuzzWhole(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x10ftypisomisom\x00\x00\x00\x08mdat"))
	f.Add([]byte("\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("RIFF\xff\xff\xff\xffWEBP"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, mime := range append([]string{"video/mp4", "application/pdf"}, kinds...) {
			media.Whole(bytes.NewReader(b), int64(len(b)), mime)
		}
	})
}

// BenchmarkDecode decodes a picture and hashes it, as capture does. "plain" is hashing
// alone, the same way, to hold the others against.
func BenchmarkDecode(b *testing.B) {
	plain := pictureOf(b, "image/jpeg", 1200)
	for _, s := range []struct {
		name   string
		stored []byte
	}{
		{"plain", nil},
		{"xor", xored(plain, 0xa7)},
		{"v1", layered(plain, '1', keyV1, 1024, 1<<20)},
		{"v2", layered(plain, '2', keyV2, 1024, 1<<20)},
		{"v2 all AES", layered(plain, '2', keyV2, len(plain), 0)},
	} {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			h := sha256.New()
			for b.Loop() {
				var in io.Reader = bytes.NewReader(plain)
				if s.stored != nil {
					c, err := media.Decode(bytes.NewReader(s.stored), int64(len(s.stored)), media.Keys{AES: [][]byte{keyV2}})
					if err != nil {
						b.Fatal(err)
					}
					in = c.Reader()
				}
				h.Reset()
				if n, err := io.Copy(h, in); err != nil || n != int64(len(plain)) {
					b.Fatalf("%d bytes: %v", n, err)
				}
			}
		})
	}
}
