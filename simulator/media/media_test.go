package media

import (
	"bytes"
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var keys = Keys{XOR: 0x5a, AES: [16]byte([]byte("k3yOfAnAccount16"))}

func maker(g Generation, seed uint64) Maker {
	return Maker{Gen: g, Rand: rand.New(rand.NewPCG(seed, 7)), Folder: "wxid_tide", Chat: "wxid_peer", Sender: "wxid_peer", Server: 7613000000000000001,
		Type: 3, Time: time.Date(2026, 11, 3, 9, 0, 0, 0, time.Local)}
}

// decode undoes Encode as section 8.2 of the reference says, and knows nothing of the
// code that encodes.
func decode(t *testing.T, stored []byte, e Encoding) []byte {
	t.Helper()
	switch e {
	case Plain:
		return stored
	case XOR:
		out := bytes.Clone(stored)
		for i := range out {
			out[i] ^= keys.XOR
		}
		return out
	}
	key, magic := keys.AES[:], []byte{7, 8, 'V', '2', 8, 7}
	if e == V1 {
		key, magic = []byte("cfcd208495d565ef"), []byte{7, 8, 'V', '1', 8, 7}
	}
	if !bytes.HasPrefix(stored, magic) || stored[14] != 1 {
		t.Fatalf("%s: header % x", e, stored[:15])
	}
	a, x := int(binary.LittleEndian.Uint32(stored[6:])), int(binary.LittleEndian.Uint32(stored[10:]))
	sealed := stored[15:][:a/16*16+16]
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for i := 0; i < len(sealed); i += 16 {
		var b [16]byte
		block.Decrypt(b[:], sealed[i:])
		out = append(out, b[:]...)
	}
	pad := int(out[len(out)-1])
	if len(out)-pad != a {
		t.Fatalf("%s: padding %d with %d bytes", e, pad, a)
	}
	rest := bytes.Clone(stored[15+len(sealed):])
	for i := len(rest) - x; i < len(rest); i++ {
		rest[i] ^= keys.XOR
	}
	return append(out[:a], rest...)
}

// Promise: what is encoded can be decoded by the reference's words, at every length
// near a border; a picture of usual size has all three parts.
func TestEncodings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, e := range []Encoding{Plain, XOR, V1, V2} {
		for _, n := range []int{0, 1, 15, 16, 17, 1023, 1024, 1025, 1026, 1040, 3072, 100_000} {
			plain := noise(r, n)
			if got := decode(t, Encode(plain, e, keys), e); !bytes.Equal(got, plain) {
				t.Errorf("%s of %d bytes does not come back", e, n)
			}
		}
	}
	s := Encode(noise(r, 3<<10), V2, keys)
	if a, x := binary.LittleEndian.Uint32(s[6:]), binary.LittleEndian.Uint32(s[10:]); a != 1024 || x == 0 || int(a+x) >= 3<<10 {
		t.Errorf("a thumbnail has %d sealed and %d masked bytes", a, x)
	}
}

// Promise: a picture has exactly the size asked for, the standard library decodes it,
// its ending is the one that tells the XOR byte, and no two are alike.
func TestPictures(t *testing.T) {
	endings := map[Format]string{JPEG: "\xff\xd9", PNG: "\xae\x42\x60\x82", GIF: "\x00\x3b"}
	r := rand.New(rand.NewPCG(1, 1))
	for f, ending := range endings {
		for size := 3 << 10; size < 3<<10+600; size++ {
			if b := Picture(r, f, size); len(b) != size || !decodes(b, string(f)) || !strings.HasSuffix(string(b), ending) {
				t.Fatalf("%s of %d bytes: %d bytes, decodes %v", f, size, len(b), decodes(b, string(f)))
			}
		}
		a, b := Picture(r, f, 200<<10), Picture(r, f, 200<<10)
		if len(a) != 200<<10 || bytes.Equal(a, b) || !decodes(a, string(f)) {
			t.Errorf("%s: two large ones: %d bytes", f, len(a))
		}
	}
	w := Picture(r, WXGF, 20<<10)
	if at := bytes.Index(w, []byte{0, 0, 0, 1}); len(w) != 20<<10 || string(w[:4]) != "wxgf" || at != int(w[4])+4 ||
		binary.BigEndian.Uint32(w[at-4:]) != uint32(len(w)-at) || bytes.Count(w[at:], []byte{0, 0, 0, 1}) != 4 {
		t.Error("wxgf: the stream does not stand behind the header and its length")
	}
}

func decodes(b []byte, format string) bool {
	_, got, err := image.Decode(bytes.NewReader(b))
	return err == nil && got == format
}

// Promise: a large video is never in memory, is as long as asked for, says so in its
// boxes, and Store tells the hash of what it wrote.
func TestLargeVideo(t *testing.T) {
	a := maker(V4, 3).Video(Video{Size: 3 << 20})
	f := &a.Files[0]
	if f.Plain != nil || f.SHA256 != "" {
		t.Fatal("a stream is in memory")
	}
	dir := t.TempDir()
	if err := f.Store(dir, keys); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, f.Path))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if len(b) != 3<<20 || hex.EncodeToString(sum[:]) != f.SHA256 || string(b[4:8]) != "ftyp" || binary.BigEndian.Uint64(b[40:]) != 3<<20-32 {
		t.Error("what was stored is not what was promised")
	}
	huge := maker(V4, 4).Video(Video{Size: 5 << 30}).Files[0]
	head := make([]byte, 1<<20)
	if _, err := io.ReadFull(huge.Open(), head); err != nil || huge.Size != 5<<30 || binary.BigEndian.Uint64(head[40:]) != 5<<30-32 {
		t.Error("5 GiB:", huge.Size, err)
	}
}

// Promise: the same seed makes the same attachments, another makes others.
func TestSeed(t *testing.T) {
	for _, g := range []Generation{W3, M3, V4} {
		one, two, three := everything(maker(g, 1)), everything(maker(g, 1)), everything(maker(g, 2))
		if !reflect.DeepEqual(one, two) || reflect.DeepEqual(one, three) {
			t.Errorf("%s: attachments do not follow the seed", g)
		}
	}
}

// everything is one attachment of each kind.
func everything(m Maker) map[string]Attachment {
	all := map[string]Attachment{
		"picture": m.Image(Image{}), "hd": m.Image(Image{HD: true}), "png": m.Image(Image{Format: PNG}), "gif": m.Image(Image{Format: GIF}),
		"wxgf": m.Image(Image{Format: WXGF}), "_W": m.Image(Image{Suffix: "_W"}), "_NW": m.Image(Image{Suffix: "_NW"}),
		"by packed": m.Image(Image{Found: ByPacked}), "by name": m.Image(Image{Found: ByName}), "by resource": m.Image(Image{Found: ByResource}),
		"by hardlink": m.Image(Image{Found: ByHardlink}),
		"late":        m.Image(Image{Have: Late, Delay: time.Second}), "thumbnail": m.Image(Image{Have: Thumbnail}), "nothing": m.Image(Image{Have: Nothing}),
		"voice": m.Voice(2400, 1, All), "voice in pieces": m.Voice(9000, 3, All), "no voice": m.Voice(2400, 1, Nothing),
		"video": m.Video(Video{}), "cover only": m.Video(Video{Have: Thumbnail}),
		"pdf": m.Document(Document{Name: "合同 v2.pdf"}), "docx": m.Document(Document{Name: "Draft.docx"}), "clash": m.Document(Document{Name: "a.bin", Clash: true}),
	}
	if m.Gen == V4 {
		all["forwarded"], _ = m.Forwarded("报价.pdf", [3]string{"a", "b", "c"})
	}
	return all
}

// Promise: every file that is on disk decodes from there to the bytes whose hash
// stands in it; what is not there has no path and a state that says so.
func TestStored(t *testing.T) {
	for _, g := range []Generation{W3, M3, V4} {
		for _, e := range []Encoding{XOR, V1, V2} {
			m := maker(g, 5)
			m.Images = e
			for name, a := range everything(m) {
				originals := 0
				dir := t.TempDir()
				for _, f := range a.Files {
					if f.Role == Original || f.Role == Inside {
						originals++
					}
					if err := f.Store(dir, keys); err != nil {
						t.Fatal(err)
					}
					if f.State != Captured {
						if f.Path != "" || f.SHA256 != "" || f.Role != Original {
							t.Errorf("%s %s: %s is there", g, name, f.State)
						}
						continue
					}
					b := f.Plain
					if f.OnDisk() {
						stored, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Path)))
						if err != nil {
							t.Fatal(err)
						}
						b = decode(t, stored, f.Encoding)
					} else if g == M3 || !strings.Contains(name, "voice") {
						t.Errorf("%s %s: a file without a place", g, name)
					}
					if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(b)) != f.Size {
						t.Errorf("%s %s %s: not the bytes it promises", g, name, f.Role)
					}
				}
				if want := map[bool]int{true: 3, false: 1}[name == "forwarded"]; originals != want {
					t.Errorf("%s %s: %d originals", g, name, originals)
				}
			}
		}
	}
}
