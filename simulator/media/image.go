package media

import (
	"fmt"
	"path"
	"time"

	"tidemark/simulator/account"
)

// Have says how much of an item is on the device.
type Have int

// What is there.
const (
	All       Have = iota
	Late           // all, the original some time after the message
	Thumbnail      // the small one only
	Nothing
)

// Found says what leads to the file of a picture or video.
type Found int

// The ways. In 3.x BytesExtra is ByPacked, and the index database ByHardlink.
const (
	Everywhere Found = iota // all of them, as is usual
	ByPacked                // the row's own packed_info_data, field 3.4 or 4.8
	ByName                  // the same, with the file's name in the open
	ByResource              // message_resource.db
	ByHardlink              // the hash in the XML, and hardlink.db
)

func (f Found) by(way Found) bool { return f == Everywhere || f == way }

// Image describes a picture to make.
type Image struct {
	Format Format // "" is JPEG
	Size   int    // of the original in bytes; 0 is any from 20 to 200 KB
	HD     bool   // 4.x and M3: there is a copy of full resolution beside the normal one
	Suffix string // 4.x: "_W" or "_NW", the newer names; "" is the usual
	Have   Have
	Delay  time.Duration // of Late
	Found  Found
}

// Image makes the files of a picture.
func (m Maker) Image(o Image) Attachment {
	if o.Format == "" {
		o.Format = JPEG
	}
	if o.Size == 0 {
		o.Size = 20<<10 + m.Rand.IntN(180<<10)
	}
	normal, thumb := Picture(m.Rand, o.Format, o.Size), Picture(m.Rand, JPEG, 3<<10+m.Rand.IntN(7<<10))
	a := Attachment{MD5: m.stem(), Size: int64(o.Size)}
	var original, small, hd File
	switch m.Gen {
	case W3:
		name := m.stem() + ".dat"
		dir := "FileStorage/MsgAttach/" + account.Hash(m.Chat)
		original = file(Original, path.Join(dir, "Image", m.month(), name), o.Format.MIME(), normal, XOR)
		small = file(Preview, path.Join(dir, "Thumb", m.month(), name), JPEG.MIME(), thumb, XOR)
		if o.Found.by(ByPacked) {
			m.extra(&a, 3, small.Path)
			m.extra(&a, 4, original.Path)
		}
		if o.Found.by(ByHardlink) {
			a.Rows = m.link(images, a.MD5, account.Hash(m.Chat), m.month(), name, a.Size)
		}
	case M3:
		dir := "Message/MessageTemp/" + account.Hash(m.Chat) + "/Image"
		at := func(suffix string) string { return fmt.Sprintf("%s/%s_.%s.jpg", dir, localID, suffix) }
		original = file(Original, at("pic"), o.Format.MIME(), normal, Plain)
		small = file(Preview, at("pic_thumb"), JPEG.MIME(), thumb, Plain)
		if o.HD {
			hd = m.fullSize(o, at("pic_hd"), Plain)
		}
		best := original
		if o.HD {
			best = hd
		}
		a.Rows = m.link(images, a.MD5, account.Hash(m.Chat), "Image", path.Base(best.Path), best.Size)
	default:
		original, small, hd = m.image4(o, &a, normal, thumb)
	}
	if hd.Path != "" {
		a.Size = hd.Size
		original.Role = ""
		a.Files = append(a.Files, hd)
	}
	a.Files = append(a.Files, original, small)
	a.keep(o.Have, o.Delay)
	return a
}

func (m Maker) fullSize(o Image, p string, e Encoding) File {
	return file(Original, p, o.Format.MIME(), Picture(m.Rand, o.Format, o.Size+o.Size/2), e)
}

// image4 is the part of Image that 4.x does in its own way.
func (m Maker) image4(o Image, a *Attachment, normal, thumb []byte) (original, small, hd File) {
	e := m.Images
	if e == "" {
		e = V2
	}
	small4, big := e, e
	tail := "_t"
	switch o.Suffix {
	case "_W":
		small4, big, tail = XOR, XOR, "_t_W"
	case "_NW":
		big = Plain
	}
	stem, dir := m.stem(), path.Join("msg/attach", account.Hash(m.Chat), m.month(), "Img")
	at := func(suffix string) string { return path.Join(dir, stem+suffix+".dat") }
	original = file(Original, at(o.Suffix), o.Format.MIME(), normal, big)
	small = file(Preview, at(tail), JPEG.MIME(), thumb, small4)
	if o.HD {
		hd = m.fullSize(o, at("_h"), e)
	}
	switch o.Found {
	case Everywhere, ByPacked:
		a.Packed = Packed{Image: stem}.Bytes()
	case ByName:
		a.Packed = Packed{Name: stem + "_t.dat"}.Bytes()
	}
	if o.Found.by(ByResource) {
		a.Rows = append(a.Rows, m.resource(stem, 3, a.Size)...)
	}
	if o.Found.by(ByHardlink) {
		a.Rows = append(a.Rows, m.link(images, a.MD5, account.Hash(m.Chat), m.month(), path.Base(original.Path), a.Size)...)
	}
	return original, small, hd
}

// keep removes what is not on the device, and says what must be said of it. What is
// never there leaves no file, and an original without bytes.
func (a *Attachment) keep(have Have, delay time.Duration) {
	var kept []File
	for _, f := range a.Files {
		switch {
		case f.Role == Original && have == Late:
			f.Delay = delay
		case f.Role == Original && have == Thumbnail:
			f = File{Role: Original, State: ThumbnailOnly, Name: f.Name}
		case f.Role == Original && have == Nothing:
			f = File{Role: Original, State: NeverDownloaded, Name: f.Name}
		case f.Role == "" && have == Late:
			f.Delay = delay
		case f.Role == "" && have >= Thumbnail, have == Nothing:
			continue
		}
		kept = append(kept, f)
	}
	a.Files = kept
}
