package media

import (
	"bytes"
	"crypto/aes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/record"
)

const (
	chat = "9e20f478899dc29eb19741386f9343c8"
	stem = "0123456789abcdef0123456789abcdef"
	sum  = "00112233445566778899aabbccddeeff"
)

var sent = time.Date(2026, 3, 14, 15, 0, 0, 0, time.Local)

// tree writes files, each holding its own path.
func tree(t testing.TB, paths ...string) *Files {
	t.Helper()
	account := filepath.Join(t.TempDir(), "wxid_me_1a2b")
	for _, p := range paths {
		name := filepath.Join(account, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(account, 0o755); err != nil {
		t.Fatal(err)
	}
	return NewFiles(account)
}

// Each generation's files are found by each of its ways, the best first, and no
// other's are.
func TestFind(t *testing.T) {
	img := "msg/attach/" + chat + "/2026-03/Img/"
	for _, c := range []struct {
		name  string
		files []string
		want  Want
		links []Link
		found []string // paths, best first; a preview or cover has its role behind a space
	}{
		{"4 by stem", []string{img + stem + ".dat", img + stem + "_h.dat", img + stem + "_t.dat", img + "other.dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, Stems: []string{stem}}, nil,
			[]string{img + stem + "_h.dat", img + stem + ".dat", img + stem + "_t.dat preview"}},
		{"4 newer names, other case", []string{img + strings.ToUpper(stem) + "_W.dat", img + stem + "_NW.DAT", img + stem + "_t_W.dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, Stems: []string{stem}}, nil,
			[]string{img + strings.ToUpper(stem) + "_W.dat", img + stem + "_NW.DAT", img + stem + "_t_W.dat preview"}},
		{"4 the month before", []string{"msg/attach/" + chat + "/2026-02/Img/" + stem + ".dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, Stems: []string{stem}}, nil,
			[]string{"msg/attach/" + chat + "/2026-02/Img/" + stem + ".dat"}},
		{"4 not two months before", []string{"msg/attach/" + chat + "/2026-01/Img/" + stem + ".dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, Stems: []string{stem}}, nil, nil},
		{"4 another chat's", []string{"msg/attach/" + sum + "/2026-03/Img/" + stem + ".dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, Stems: []string{stem}}, nil, nil},
		{"4 by index", []string{img + stem + "_h.dat", img + stem + "_t.dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, MD5: []string{sum}},
			[]Link{{Kind: record.TypeImage, MD5: sum, Dir1: chat, Dir2: "2026-03", Name: stem + ".dat"}},
			[]string{img + stem + "_h.dat", img + stem + "_t.dat preview"}},
		{"4 by MD5 for a stem", []string{img + sum + ".dat"},
			Want{Layout: V4, Type: record.TypeImage, Chat: chat, MD5: []string{strings.ToUpper(sum)}}, nil, []string{img + sum + ".dat"}},
		{"4 video", []string{"msg/video/2026-03/" + stem + ".mp4", "msg/video/2026-03/" + stem + "_thumb.jpg"},
			Want{Layout: V4, Type: record.TypeVideo, Chat: chat, Stems: []string{stem}}, nil,
			[]string{"msg/video/2026-03/" + stem + ".mp4", "msg/video/2026-03/" + stem + "_thumb.jpg cover"}},
		{"4 video by index", []string{"msg/video/2025-01/" + stem + ".mp4", "msg/video/2025-01/" + stem + ".jpg"},
			Want{Layout: V4, Type: record.TypeVideo, Chat: chat},
			[]Link{{Kind: record.TypeVideo, Dir1: "2025-01", Name: stem + ".mp4"}},
			[]string{"msg/video/2025-01/" + stem + ".mp4", "msg/video/2025-01/" + stem + ".jpg cover"}},
		{"4 file", []string{"msg/file/2026-03/合同.pdf", "msg/file/2026-03/合同(1).pdf", "msg/file/2026-04/合同.pdf"},
			Want{Layout: V4, Type: record.TypeFile, Chat: chat, Name: "合同.pdf"},
			[]Link{{Kind: record.TypeFile, Dir1: "2026-03", Name: "合同(1).pdf"}},
			[]string{"msg/file/2026-03/合同(1).pdf", "msg/file/2026-03/合同.pdf", "msg/file/2026-04/合同.pdf"}},
		{"4 in a forward", []string{"msg/attach/" + chat + "/2026-03/Rec/abcd1234/Img/0.dat", "msg/attach/" + chat + "/2026-03/Rec/abcd1234/Img/0_t.dat"},
			Want{Layout: V4, Type: record.TypeImage, Item: "1", Chat: chat},
			[]Link{{Kind: record.TypeImage, Dir1: chat, Dir2: "2026-03", Name: "0.dat", Record: "abcd1234"}},
			[]string{"msg/attach/" + chat + "/2026-03/Rec/abcd1234/Img/0.dat", "msg/attach/" + chat + "/2026-03/Rec/abcd1234/Img/0_t.dat preview"}},
		{"3 by path", []string{"FileStorage/MsgAttach/" + chat + "/Image/2026-03/a.dat", "FileStorage/MsgAttach/" + chat + "/Thumb/2026-03/b.dat"},
			Want{Layout: W3, Type: record.TypeImage, Path: `wxid_me\FileStorage\MsgAttach\` + chat + `\Image\2026-03\a.dat`,
				Thumb: `wxid_me\FileStorage\MsgAttach\` + chat + `\Thumb\2026-03\b.dat`}, nil,
			[]string{"FileStorage/MsgAttach/" + chat + "/Image/2026-03/a.dat", "FileStorage/MsgAttach/" + chat + "/Thumb/2026-03/b.dat preview"}},
		{"3 by index", []string{"FileStorage/MsgAttach/" + chat + "/Image/2026-03/a.dat"},
			Want{Layout: W3, Type: record.TypeImage}, []Link{{Kind: record.TypeImage, Dir1: chat, Dir2: "2026-03", Name: "a.dat"}},
			[]string{"FileStorage/MsgAttach/" + chat + "/Image/2026-03/a.dat"}},
		{"3 video", []string{"FileStorage/Video/2026-03/a.mp4", "FileStorage/Video/2026-03/a.jpg"},
			Want{Layout: W3, Type: record.TypeVideo, Path: `wxid_me\FileStorage\Video\2026-03\a.mp4`, Thumb: `wxid_me\FileStorage\Video\2026-03\a.jpg`}, nil,
			[]string{"FileStorage/Video/2026-03/a.mp4", "FileStorage/Video/2026-03/a.jpg cover"}},
		{"mac 3 by index", []string{"Message/MessageTemp/" + chat + "/Image/7_.pic_hd.jpg", "Message/MessageTemp/" + chat + "/Image/7_.pic.jpg", "Message/MessageTemp/" + chat + "/Image/7_.pic_thumb.jpg"},
			Want{Layout: M3, Type: record.TypeImage, Chat: chat}, []Link{{Dir1: chat + "/Image", Name: "7_.pic.jpg"}},
			[]string{"Message/MessageTemp/" + chat + "/Image/7_.pic_hd.jpg", "Message/MessageTemp/" + chat + "/Image/7_.pic.jpg", "Message/MessageTemp/" + chat + "/Image/7_.pic_thumb.jpg preview"}},
		{"mac 3 file", []string{"Message/MessageTemp/" + chat + "/File/a.txt"},
			Want{Layout: M3, Type: record.TypeFile, Chat: chat, Name: "a.txt"}, nil, []string{"Message/MessageTemp/" + chat + "/File/a.txt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Sent = sent
			f := tree(t, c.files...)
			var got []string
			for _, x := range f.Find(&c.want, c.links) {
				if x.Role != record.RoleOriginal {
					x.Path += " " + x.Role
				}
				got = append(got, x.Path)
			}
			if !slices.Equal(got, c.found) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.found, "\n"))
			}
		})
	}
}

// hostile are names and paths that want out of the account folder.
var hostile = []string{
	"..", "../secret", `..\secret`, "../../secret", "/etc/passwd", `C:\Windows\win.ini`, `\\host\share\x`, ".", "", "a/../../secret",
	`wxid_me\..\..\secret`, "wxid_me/../secret", "wxid_me/FileStorage/../../secret", "\x00", "a\x00b", strings.Repeat("x", 300),
}

// Nothing outside the account folder is ever opened: not by dots or absolute paths in
// any hint, not by a symbolic link; and what is no file is not waited for.
func TestNeverOutside(t *testing.T) {
	f := tree(t, "FileStorage/File/2026-03/a.txt")
	secret := filepath.Join(filepath.Dir(f.account), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, h := range hostile {
		if file, err := f.Open(h); err == nil {
			file.Close()
			t.Errorf("%q was opened", h)
		}
		for _, layout := range []string{V4, W3, M3} {
			for _, kind := range []string{record.TypeImage, record.TypeVideo, record.TypeFile, record.TypeVoice} {
				for _, item := range []string{"", h} {
					w := Want{Layout: layout, Type: kind, Item: item, Chat: h, Sent: sent, Stems: []string{h}, Path: h, Thumb: h, MD5: []string{h}, Name: h}
					links := []Link{{Kind: kind, MD5: h, Dir1: h, Dir2: h, Name: h, Record: h}, {Kind: kind, MD5: h, Dir1: chat, Dir2: "2026-03", Name: h, Record: h}}
					for _, c := range f.Find(&w, links) {
						t.Errorf("%s %s %q leads to %q", layout, kind, h, c.Path)
					}
				}
			}
		}
	}
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	inside := filepath.Join(f.account, "FileStorage", "File", "2026-03")
	if err := errors.Join(os.Symlink(secret, filepath.Join(inside, "link.txt")), os.Symlink(filepath.Dir(f.account), filepath.Join(f.account, "out"))); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"FileStorage/File/2026-03/link.txt", "out/secret", "FileStorage/File"} {
		if file, err := f.Open(p); err == nil {
			file.Close()
			t.Errorf("%s was opened", p)
		}
	}
	file, err := f.Open("FileStorage/File/2026-03/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if b, err := io.ReadAll(file); err != nil || string(b) != "FileStorage/File/2026-03/a.txt" {
		t.Errorf("read %q: %v", b, err)
	}
}

// Two thousand pictures in a folder cost one reading of it in a pass, and none in the
// next when nothing changed; what comes later is seen in the next pass.
func TestListingsAreShared(t *testing.T) {
	dir := "msg/attach/" + chat + "/2026-03/Img/"
	var paths []string
	for i := range 2_000 {
		paths = append(paths, fmt.Sprintf("%s%032x.dat", dir, i))
	}
	f := tree(t, paths...)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(f.account, filepath.FromSlash(dir)), old, old); err != nil {
		t.Fatal(err)
	}
	read := map[string]int{}
	f.look = func(dir string) { read[dir]++ }
	all := func() (n int) {
		f.Next()
		for i := range 2_000 {
			n += len(f.Find(&Want{Layout: V4, Type: record.TypeImage, Chat: chat, Sent: sent, Stems: []string{fmt.Sprintf("%032x", i)}}, nil))
		}
		return n
	}
	if n := all(); n != 2_000 {
		t.Fatalf("%d found", n)
	}
	all()
	for dir, n := range read {
		if n != 1 {
			t.Errorf("%s was read %d times", dir, n)
		}
	}
	if err := os.WriteFile(filepath.Join(f.account, filepath.FromSlash(dir), fmt.Sprintf("%032x_t.dat", 7)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if n := all(); n != 2_001 {
		t.Errorf("%d found after one more came", n)
	}
}

// Whatever hints say, what they lead to lies below the account folder.
func FuzzFind(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, h, h)
	}
	files := tree(f, "msg/file/2026-03/a.txt", "a", "FileStorage/File/2026-03/a")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, layout := range []string{V4, W3, M3} {
			for _, kind := range []string{record.TypeImage, record.TypeVideo, record.TypeFile} {
				w := Want{Layout: layout, Type: kind, Item: c, Chat: a, Sent: sent, Stems: []string{b}, Path: a, Thumb: b, Name: c, MD5: []string{c}}
				for _, x := range files.Find(&w, []Link{{Dir1: a, Dir2: b, Name: c, Record: b}, {Dir1: c, Dir2: a, Name: b}}) {
					if !filepath.IsLocal(filepath.FromSlash(x.Path)) {
						t.Fatalf("%q", x.Path)
					}
					file, err := files.Open(x.Path)
					if err == nil {
						file.Close()
					}
				}
			}
		}
	})
}

// Thumbnails vote for the byte of a tail, and a few, or a split vote, decide nothing.
func TestVote(t *testing.T) {
	thumb := func(tail byte) []byte {
		plain := []byte("\xff\xd8\xff\xe0 a thumbnail of more than sixteen bytes \xff\xd9")
		for i := len(plain) - 8; i < len(plain); i++ {
			plain[i] ^= tail
		}
		block, err := aes.NewCipher([]byte(keyV1))
		if err != nil {
			t.Fatal(err)
		}
		coded := append(plain[:16:16], bytes.Repeat([]byte{16}, 16)...)
		for i := 0; i < len(coded); i += 16 {
			block.Encrypt(coded[i:], coded[i:])
		}
		return append([]byte(magicV1+"\x10\x00\x00\x00\x08\x00\x00\x00\x01"+string(coded)), plain[16:]...)
	}
	for _, c := range []struct {
		tails []byte
		want  byte
		ok    bool
	}{
		{[]byte{7, 7, 7}, 7, true}, {[]byte{7, 7, 7, 9}, 7, true}, {[]byte{7, 7}, 0, false}, {[]byte{7, 7, 7, 9, 9, 9}, 0, false}, {nil, 0, false},
	} {
		f := tree(t, "d/x.dat")
		for i, tail := range c.tails {
			if err := os.WriteFile(filepath.Join(f.account, "d", fmt.Sprintf("%d_t.dat", i)), thumb(tail), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok := f.Vote("d/x.dat", Keys{}); got != c.want || ok != c.ok {
			t.Errorf("%v: %d %v", c.tails, got, ok)
		}
	}
}
