package media

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"tidemark/simulator/account"
)

// Voice makes a voice message. It lies in a database, in 4.x in as many pieces as
// asked for; in M3 it is a file.
func (m Maker) Voice(ms, pieces int, have Have) Attachment {
	b := silk(m.Rand, ms)
	f := file(Original, "", "audio/x-silk", b, Plain)
	a := Attachment{Size: f.Size, MD5: m.stem()}
	switch m.Gen {
	case W3:
		a.Rows = []Row{{fmt.Sprintf("Multi/MediaMSG%d.db", m.Shard), "Media", map[string]any{
			"Key": fmt.Sprint(m.Server), "Reserved0": m.Server, "Buf": b}}}
	case M3:
		f.Path = fmt.Sprintf("Message/MessageTemp/%s/Audio/%s.aud.silk", account.Hash(m.Chat), localID)
	default:
		pieces = max(1, pieces)
		for i := range pieces {
			a.Rows = append(a.Rows, Row{fmt.Sprintf("message/media_%d.db", m.Shard), "VoiceInfo", map[string]any{
				"chat_name_id": NameID{"Name2Id", "user_name", m.Chat}, "create_time": m.Time.Unix(), "local_id": LocalID{},
				"svr_id": m.Server, "voice_data": b[i*len(b)/pieces : (i+1)*len(b)/pieces], "data_index": fmt.Sprint(i)}})
		}
	}
	a.Files = []File{f}
	if a.keep(have, 0); have == Nothing {
		a.Rows = nil
	}
	return a
}

// Video describes a video to make.
type Video struct {
	Size  int64 // in bytes; 0 is any from 100 to 300 KB; beyond 1 MiB it is never held in memory
	Have  Have
	Delay time.Duration // of Late
	Found Found
}

// Video makes a video and its cover.
func (m Maker) Video(o Video) Attachment {
	if o.Size == 0 {
		o.Size = 100<<10 + m.Rand.Int64N(200<<10)
	}
	stem, cover := m.stem(), Picture(m.Rand, JPEG, 5<<10+m.Rand.IntN(5<<10))
	f := m.movie(o.Size)
	a := Attachment{MD5: m.stem(), Size: o.Size}
	coverPath := ""
	switch m.Gen {
	case W3:
		f.Path = path.Join("FileStorage/Video", m.month(), stem+".mp4")
		coverPath = path.Join("FileStorage/Video", m.month(), stem+".jpg")
		if o.Found.by(ByPacked) {
			m.extra(&a, 3, coverPath)
			m.extra(&a, 4, f.Path)
		}
		if o.Found.by(ByHardlink) {
			a.Rows = m.link(videos, a.MD5, account.Hash(m.Chat), m.month(), stem+".mp4", o.Size)
		}
	case M3:
		dir := path.Join("Message/MessageTemp", account.Hash(m.Chat), "Video")
		f.Path, coverPath = fmt.Sprintf("%s/%s_.mp4", dir, localID), fmt.Sprintf("%s/%s_.video_thumb.jpg", dir, localID)
		a.Rows = m.link(videos, a.MD5, account.Hash(m.Chat), "Video", path.Base(f.Path), o.Size)
	default:
		f.Path = path.Join("msg/video", m.month(), stem+".mp4")
		coverPath = path.Join("msg/video", m.month(), stem+[]string{".jpg", "_thumb.jpg"}[m.Rand.IntN(2)])
		if o.Found.by(ByPacked) {
			a.Packed = Packed{Video: stem}.Bytes()
		}
		if o.Found.by(ByResource) {
			a.Rows = append(a.Rows, m.resource(stem, 4, o.Size)...)
		}
		if o.Found.by(ByHardlink) {
			a.Rows = append(a.Rows, m.link(videos, a.MD5, m.month(), "", stem+".mp4", o.Size)...)
		}
	}
	a.Files = []File{f, file(Cover, coverPath, JPEG.MIME(), cover, Plain)}
	a.keep(o.Have, o.Delay)
	return a
}

// movie is the file of a video, without a path: a stream when it is large.
func (m Maker) movie(size int64) File {
	size = max(size, smallestVideo)
	f := File{Role: Original, State: Captured, MIME: "video/mp4", Encoding: Plain, Size: size, seed: m.Rand.Uint64()}
	if size <= 1<<20 {
		b, _ := io.ReadAll(f.Open()) // out of memory, which cannot fail
		f = file(Original, "", f.MIME, b, Plain)
	}
	return f
}

// Document describes a file to make.
type Document struct {
	Name  string // with its extension
	Size  int    // about, in bytes; 0 is any from 10 to 60 KB
	Have  Have
	Delay time.Duration // of Late
	// Clash says that a file of that name is there already: this one gets "(1)".
	Clash bool
}

// Document makes a file that somebody sent.
func (m Maker) Document(o Document) Attachment {
	if o.Size == 0 {
		o.Size = 10<<10 + m.Rand.IntN(50<<10)
	}
	ext := strings.TrimPrefix(path.Ext(o.Name), ".")
	b := document(m.Rand, ext, o.Size)
	sum := md5.Sum(b)
	a := Attachment{MD5: hex.EncodeToString(sum[:]), Size: int64(len(b))}
	stored := o.Name
	if o.Clash {
		stored = strings.TrimSuffix(o.Name, "."+ext) + "(1)." + ext
	}
	p := ""
	switch m.Gen {
	case W3:
		p = path.Join("FileStorage/File", m.month(), stored)
		m.extra(&a, 4, p)
		a.Rows = m.link(files, a.MD5, account.Hash(m.Chat), m.month(), stored, a.Size)
	case M3:
		p = path.Join("Message/MessageTemp", account.Hash(m.Chat), "File", stored)
		a.Rows = m.link(files, a.MD5, account.Hash(m.Chat), "File", stored, a.Size)
	default:
		p = path.Join("msg/file", m.month(), stored)
		a.Rows = m.link(files, a.MD5, m.month(), "", stored, a.Size)
	}
	f := file(Original, p, mimes[ext], b, Plain)
	f.Name = o.Name
	a.Files = []File{f}
	a.keep(o.Have, o.Delay)
	return a
}

var mimes = map[string]string{
	"pdf":  "application/pdf",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}

// Forwarded makes what came inside a merged forward, of 4.x: a picture, a video and a
// file in the folder of the forward, for the items of these ids. Their hashes are in
// the order of the files.
func (m Maker) Forwarded(name string, items [3]string) (a Attachment, hashes [3]string) {
	id := m.stem()[:16]
	dir := path.Join("msg/attach", account.Hash(m.Chat), m.month(), "Rec", id)
	e := m.Images
	if e == "" {
		e = V2
	}
	pic := file(Inside, path.Join(dir, "Img", "0.dat"), JPEG.MIME(), Picture(m.Rand, JPEG, 20<<10+m.Rand.IntN(20<<10)), e)
	mov := m.movie(60 << 10)
	mov.Role, mov.Path = Inside, path.Join(dir, "V", m.stem()+".mp4")
	ext := strings.TrimPrefix(path.Ext(name), ".")
	doc := file(Inside, path.Join(dir, "F", name), mimes[ext], document(m.Rand, ext, 20<<10), Plain)
	doc.Name = name
	a.Files = []File{pic, mov, doc}
	for i := range a.Files {
		a.Files[i].Item = items[i]
		sum := md5.Sum(a.Files[i].Plain)
		hashes[i] = hex.EncodeToString(sum[:])
	}
	chat, month := account.Hash(m.Chat), m.month()
	a.Rows = []Row{
		m.link4(images, hashes[0], chat, month, "0.dat", pic.Size, 4, []byte(id)),
		m.link4(videos, hashes[1], chat, month, path.Base(mov.Path), mov.Size, 5, []byte(id)),
		m.link4(files, hashes[2], chat, month, name, doc.Size, 6, []byte(id)),
	}
	return a, hashes
}
