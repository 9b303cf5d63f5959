package media

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"tidemark/record"
)

// The layouts of client generations, as discover names them.
const (
	W3 = "w3" // Windows 3.x
	M3 = "m3" // macOS 3.x
	V4 = "v4" // 4.x of every system
)

// Want says whose file is looked for, and what the message's row says of it. The hints
// come from the client's database and from XML that anybody may have sent; none is
// trusted, and none is sure to lead to a file.
type Want struct {
	Layout string    `json:"y"`
	Type   string    `json:"t"`           // one of record's Type constants: image, voice, video, file
	Item   string    `json:"i,omitempty"` // id of the item in a merged forward
	Chat   string    `json:"c"`           // the conversation's hash
	Sent   time.Time `json:"s"`           // by the client's clock
	Server int64     `json:"v,omitempty"` // server id
	Local  int64     `json:"l,omitempty"` // local id

	Stems []string `json:"m,omitempty"` // stems of file names
	Path  string   `json:"p,omitempty"` // of the file, W3: begins with the account folder's name
	Thumb string   `json:"b,omitempty"` // of the thumbnail, the same
	MD5   []string `json:"5,omitempty"` // hex, in any case
	Name  string   `json:"n,omitempty"` // of a file
	Size  int64    `json:"z,omitempty"` // bytes, of a file; 0 when not known
}

// Candidate is a file that may be what a Want means. Of several of one role the one of
// the greatest rank is best.
type Candidate struct {
	Path string // below the account folder, with slashes
	Role string // record.RoleOriginal, RolePreview or RoleCover
	Rank int
	// Sure says that an index or the row itself names the file. One that is found by
	// the name alone must have the size that the message says.
	Sure bool
}

// The ranks of originals.
const (
	RankPlain = 1 // _W and _NW [C]
	RankUsual = 2 // what the client shows
	RankFull  = 3 // full resolution
)

// suffixes of 4.x picture files, after the stem [A; the last four C].
var suffixes = []struct {
	suffix, role string
	rank         int
}{
	{"_h.dat", record.RoleOriginal, RankFull},
	{".dat", record.RoleOriginal, RankUsual},
	{"_w.dat", record.RoleOriginal, RankPlain},
	{"_nw.dat", record.RoleOriginal, RankPlain},
	{"_t.dat", record.RolePreview, RankUsual},
	{"_t_w.dat", record.RolePreview, RankPlain},
	{"_t_nw.dat", record.RolePreview, RankPlain},
}

// Find lists the files that the want may mean and that are there: originals before
// previews, the best first. Links are what the index databases say of the want's MD5s.
func (f *Files) Find(w *Want, links []Link) []Candidate {
	var out found
	switch w.Layout {
	case V4:
		f.find4(w, links, &out)
	case W3:
		f.findW3(w, links, &out)
	case M3:
		f.findM3(w, links, &out)
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		order := func(c Candidate) int { return slices.Index(roles, c.Role) }
		return cmp.Or(order(a)-order(b), b.Rank-a.Rank)
	})
	return out
}

var roles = []string{record.RoleOriginal, record.RoleCover, record.RolePreview}

type found []Candidate

// add adds a file once; p is "" when there is none.
func (o *found) add(p, role string, rank int, sure bool) {
	if p == "" || slices.ContainsFunc(*o, func(c Candidate) bool { return c.Path == p }) {
		return
	}
	*o = append(*o, Candidate{p, role, rank, sure})
}

// months are the folders that a message's file may lie in: that of its local month, and
// the neighbours, for the folder can be one off [B].
func months(t time.Time) []string {
	t = t.Local()
	first := time.Date(t.Year(), t.Month(), 1, 12, 0, 0, 0, time.Local)
	var out []string
	for _, n := range []int{0, -1, 1} {
		out = append(out, first.AddDate(0, n, 0).Format("2006-01"))
	}
	return out
}

// stem4 takes the suffix off a 4.x picture's name.
func stem4(name string) string {
	low := strings.ToLower(name)
	best := ""
	for _, s := range suffixes {
		if stem, ok := strings.CutSuffix(low, s.suffix); ok && (best == "" || len(stem) < len(best)) {
			best = stem
		}
	}
	return name[:len(best)]
}

func (f *Files) find4(w *Want, links []Link, out *found) {
	if w.Item != "" {
		f.find4Item(w, links, out)
		return
	}
	switch w.Type {
	case record.TypeImage:
		for _, l := range links {
			// The index names one of a picture's files; the others lie beside it.
			dir := joined("msg/attach", l.Dir1, l.Dir2, "Img")
			f.picture4(dir, stem4(l.Name), out)
		}
		for _, stem := range append(slices.Clone(w.Stems), w.MD5...) { // the MD5 is the stem now and then
			for _, m := range months(w.Sent) {
				f.picture4(joined("msg/attach", w.Chat, m, "Img"), stem, out)
			}
		}
	case record.TypeVideo:
		for _, l := range links {
			f.film(joined("msg/video", l.Dir1), strings.TrimSuffix(l.Name, path.Ext(l.Name)), out)
		}
		for _, stem := range append(slices.Clone(w.Stems), w.MD5...) {
			for _, m := range months(w.Sent) {
				f.film(joined("msg/video", m), stem, out)
			}
		}
	case record.TypeFile:
		for _, l := range links {
			out.add(f.has(joined("msg/file", l.Dir1), cleanName(l.Name)), record.RoleOriginal, RankFull, true)
		}
		for _, m := range months(w.Sent) {
			f.named(joined("msg/file", m), w.Name, out)
		}
	}
}

// picture4 adds the files of one 4.x picture.
func (f *Files) picture4(dir, stem string, out *found) {
	stem = cleanStem(stem)
	if dir == "" || stem == "" {
		return
	}
	for _, s := range suffixes {
		out.add(f.has(dir, stem+s.suffix), s.role, s.rank, true)
	}
}

// film adds a video and its cover, which lie beside each other under one stem [B].
func (f *Files) film(dir, stem string, out *found) {
	stem = cleanName(stem)
	if dir == "" || stem == "" {
		return
	}
	for _, ext := range []string{".mp4", ".mov"} {
		out.add(f.has(dir, stem+ext), record.RoleOriginal, RankUsual, true)
	}
	for _, suffix := range []string{".jpg", "_thumb.jpg", ".video_thumb.jpg"} {
		out.add(f.has(dir, stem+suffix), record.RoleCover, RankUsual, true)
	}
}

// clashes is how many files of one name are looked for beside the first.
const clashes = 20

// named adds files by the name that they were sent with, and those that clashed with
// it and got a number [I].
func (f *Files) named(dir, name string, out *found) {
	if name = cleanName(name); dir == "" || name == "" {
		return
	}
	out.add(f.has(dir, name), record.RoleOriginal, RankUsual, false)
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := 1; i <= clashes; i++ {
		out.add(f.has(dir, fmt.Sprintf("%s(%d)%s", stem, i, ext)), record.RoleOriginal, RankUsual, false)
	}
}

// find4Item finds a file of a merged forward: the index has the id of its folder below
// Rec, and the kind of file says which folder in that [C].
func (f *Files) find4Item(w *Want, links []Link, out *found) {
	for _, l := range links {
		if cleanName(l.Record) == "" {
			continue
		}
		for _, kind := range []string{"Img", "V", "F"} {
			dir := joined("msg/attach", l.Dir1, l.Dir2, "Rec", l.Record, kind)
			name := cleanName(l.Name)
			if kind == "V" && w.Type == record.TypeVideo {
				f.film(dir, strings.TrimSuffix(name, path.Ext(name)), out)
				continue
			}
			if kind == "Img" && name != "" {
				f.itemPicture(dir, name, out)
				continue
			}
			out.add(f.has(dir, name), record.RoleOriginal, RankUsual, true)
		}
	}
}

// itemPicture adds a forwarded picture; its stem is a number [C], shorter than others.
func (f *Files) itemPicture(dir, name string, out *found) {
	stem := stem4(name)
	if stem == "" {
		out.add(f.has(dir, name), record.RoleOriginal, RankUsual, true)
		return
	}
	for _, s := range suffixes {
		out.add(f.has(dir, stem+s.suffix), s.role, s.rank, true)
	}
}

func (f *Files) findW3(w *Want, links []Link, out *found) {
	// Paths begin with the account folder's name [A].
	below := func(p string) string {
		_, rest, _ := strings.Cut(cleanPath(p), "/")
		return rest
	}
	exact := func(p, role string) {
		if p != "" {
			out.add(f.has(path.Dir(p), path.Base(p)), role, RankUsual, true)
		}
	}
	thumb := record.RolePreview
	if w.Type == record.TypeVideo {
		thumb = record.RoleCover
	}
	exact(below(w.Path), record.RoleOriginal)
	exact(below(w.Thumb), thumb)
	for _, l := range links {
		name := cleanName(l.Name)
		switch w.Type {
		case record.TypeImage:
			out.add(f.has(joined("FileStorage/MsgAttach", l.Dir1, "Image", l.Dir2), name), record.RoleOriginal, RankUsual, true)
			out.add(f.has(joined("FileStorage/MsgAttach", l.Dir1, "Thumb", l.Dir2), name), record.RolePreview, RankUsual, true)
			out.add(f.has(joined("FileStorage/Image", l.Dir2), name), record.RoleOriginal, RankUsual, true) // older
		case record.TypeVideo:
			f.film(joined("FileStorage/Video", l.Dir2), strings.TrimSuffix(name, path.Ext(name)), out)
		case record.TypeFile:
			out.add(f.has(joined("FileStorage/File", l.Dir2), name), record.RoleOriginal, RankFull, true)
		}
	}
	if w.Type == record.TypeFile {
		for _, m := range months(w.Sent) {
			f.named(joined("FileStorage/File", m), w.Name, out)
		}
	}
}

// pictures3 are the names of one M3 picture's files, after its number [B].
var pictures3 = []struct {
	suffix, role string
	rank         int
}{
	{"_.pic_hd.jpg", record.RoleOriginal, RankFull},
	{"_.pic.jpg", record.RoleOriginal, RankUsual},
	{"_.pic_thumb.jpg", record.RolePreview, RankUsual},
}

func (f *Files) findM3(w *Want, links []Link, out *found) {
	chat := joined("Message/MessageTemp", w.Chat)
	for _, l := range links {
		dir := joined("Message/MessageTemp", strings.Split(cleanPath(l.Dir1), "/")...) // relativePath
		name := cleanName(l.Name)
		if dir == "" || name == "" {
			continue
		}
		stem := strings.TrimSuffix(name, path.Ext(name))
		switch w.Type {
		case record.TypeImage:
			number, _, ok := strings.Cut(name, "_.pic")
			if !ok {
				out.add(f.has(dir, name), record.RoleOriginal, RankUsual, true)
				continue
			}
			for _, s := range pictures3 {
				out.add(f.has(dir, number+s.suffix), s.role, s.rank, true)
			}
		case record.TypeVideo:
			f.film(dir, stem, out)
			f.film(dir, strings.TrimSuffix(stem, "_"), out)
			out.add(f.has(dir, stem+".video_thumb.jpg"), record.RoleCover, RankUsual, true)
		default:
			out.add(f.has(dir, name), record.RoleOriginal, RankFull, true)
		}
	}
	switch w.Type {
	case record.TypeFile:
		f.named(joined(chat, "File"), w.Name, out)
	case record.TypeVoice: // that the number is the local id is a guess [I]
		if w.Local > 0 {
			out.add(f.has(joined(chat, "Audio"), fmt.Sprintf("%d.aud.silk", w.Local)), record.RoleOriginal, RankUsual, true)
		}
	}
}

// joined joins folders that come from a database onto a fixed one, "" when any of them
// is no name.
func joined(base string, parts ...string) string {
	if base == "" {
		return ""
	}
	for _, p := range parts {
		if cleanName(p) == "" {
			return ""
		}
		base = path.Join(base, p)
	}
	return base
}

// How many thumbnails vote, and how many must for their vote to count.
const (
	voters  = 24
	votesOf = 3
)

// Vote finds the byte of tails by the thumbnails beside a picture that cannot tell its
// own: they are JPEG always, and tell theirs [A]. More than half must agree.
func (f *Files) Vote(picture string, keys Keys) (byte, bool) {
	dir := path.Dir(picture)
	votes, cast := map[byte]int{}, 0
	for low, name := range f.list(dir) {
		if !strings.HasSuffix(low, "_t.dat") || cast >= voters {
			continue
		}
		file, err := f.Open(path.Join(dir, name))
		if err != nil {
			continue
		}
		if c, err := Decode(file, file.Info.Size(), keys); err == nil && c.Tail != nil {
			votes[*c.Tail]++
			cast++
		}
		file.Close()
	}
	for b, n := range votes {
		if n >= votesOf && 2*n > cast {
			return b, true
		}
	}
	return 0, false
}

// Places are the folders in which the want's file most likely appears, for watching;
// they may not be there yet.
func Places(w *Want) []string {
	month := months(w.Sent)[0]
	var out []string
	switch {
	case w.Layout == V4 && w.Item != "":
		out = []string{joined("msg/attach", w.Chat, month, "Rec")}
	case w.Layout == V4 && w.Type == record.TypeImage:
		out = []string{joined("msg/attach", w.Chat, month, "Img")}
	case w.Layout == V4 && w.Type == record.TypeVideo:
		out = []string{joined("msg/video", month)}
	case w.Layout == V4 && w.Type == record.TypeFile:
		out = []string{joined("msg/file", month)}
	case w.Layout == W3 && w.Type == record.TypeImage:
		out = []string{joined("FileStorage/MsgAttach", w.Chat, "Image", month), joined("FileStorage/MsgAttach", w.Chat, "Thumb", month)}
	case w.Layout == W3 && w.Type == record.TypeVideo:
		out = []string{joined("FileStorage/Video", month)}
	case w.Layout == W3 && w.Type == record.TypeFile:
		out = []string{joined("FileStorage/File", month)}
	case w.Layout == M3:
		kind := map[string]string{record.TypeImage: "Image", record.TypeVideo: "Video", record.TypeFile: "File", record.TypeVoice: "Audio"}[w.Type]
		out = []string{joined("Message/MessageTemp", w.Chat, kind)}
	}
	return slices.DeleteFunc(out, func(p string) bool { return p == "" })
}
