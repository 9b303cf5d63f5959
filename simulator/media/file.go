package media

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// File is one file of a message, or one that should be there and is not.
type File struct {
	Role string `json:"role"` // Original, Preview, Cover, Inside, or "" for one that nothing is promised of
	// State is what must become of it in the end: Captured, ThumbnailOnly, NeverDownloaded.
	State string `json:"state"`
	// Path is where it lies, relative to the account folder, with slashes. It is ""
	// for what lies in a database (Rows hold it) and for what is not there at all.
	Path string `json:"path"`
	Name string `json:"name"` // the file name to show; "" when the client has none
	MIME string `json:"mime"` // "" when unknown
	Item string `json:"item"` // id of the item in a merged forward that the file belongs to

	Encoding Encoding      `json:"encoding"`
	Delay    time.Duration `json:"delay"` // how long after its message it appears

	SHA256 string `json:"sha256"` // of what must be captured, in hex: the bytes before encryption; "" when not known yet, see Store
	Size   int64  `json:"size"`   // of the same, in bytes

	Plain []byte `json:"-"` // the bytes before encryption; nil for a stream
	seed  uint64 // of a stream
}

// file completes a file that holds b.
func file(role, path, mime string, b []byte, e Encoding) File {
	sum := sha256.Sum256(b)
	return File{Role: role, State: Captured, Path: path, MIME: mime, Encoding: e,
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(b)), Plain: b}
}

// OnDisk says whether there is a file to write.
func (f *File) OnDisk() bool { return f.Path != "" }

// Open is the content before encryption. It holds no more in memory than f does.
func (f *File) Open() io.Reader {
	if f.Plain != nil {
		return bytes.NewReader(f.Plain)
	}
	return video(f.seed, f.Size)
}

// Store writes the file below an account folder, as a client does: under its final
// name from the beginning. It fills in SHA256 of a stream.
func (f *File) Store(account string, k Keys) (err error) {
	if !f.OnDisk() {
		return nil
	}
	p := filepath.Join(account, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	if f.Plain != nil {
		return os.WriteFile(p, Encode(f.Plain, f.Encoding, k), 0o644)
	}
	w, err := os.Create(p)
	if err != nil {
		return err
	}
	defer func() {
		if e := w.Close(); err == nil {
			err = e
		}
	}()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), f.Open())
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("media: %s: %d bytes written, not %d", f.Path, n, f.Size)
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

// smallestVideo is the length of the boxes around no content.
const smallestVideo = 32 + 16

// video is a stand-in for an mp4 of that size: a file type box, and one of media data,
// filled with noise.
func video(seed uint64, size int64) io.Reader {
	head := binary.BigEndian.AppendUint32(nil, 32)
	head = append(head, "ftypisom\x00\x00\x02\x00isomiso2avc1mp41"...)
	head = binary.BigEndian.AppendUint32(head, 1) // the size follows in 64 bits
	head = append(head, "mdat"...)
	head = binary.BigEndian.AppendUint64(head, uint64(size-32))
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(io.MultiReader(bytes.NewReader(head), rand.NewChaCha8(key)), min(size, math.MaxInt64))
}

func backslashes(p string) string { return strings.ReplaceAll(p, "/", `\`) }
