package content

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tidemark/collector/wechat/blob"
	"tidemark/record"
)

// sums keeps what may be MD5 sums, each once, as hints.
func (d *decoder) sums(texts ...string) {
	for _, s := range texts {
		if s = sum(s); s != "" && !slices.Contains(d.out.Hints.MD5, s) {
			d.out.Hints.MD5 = append(d.out.Hints.MD5, s)
		}
	}
}

var hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)

// sum is s in lower case when it is an MD5 sum, "" otherwise.
func sum(s string) string {
	if s = strings.ToLower(s); hex32.MatchString(s) {
		return s
	}
	return ""
}

func (d *decoder) packed() {
	if len(d.in.Packed) > 0 {
		d.out.Hints.Packed = blob.ReadPacked(d.in.Packed)
	}
}

func (d *decoder) image() {
	d.out.Type = record.TypeImage
	d.packed()
	root := d.root()
	img := root.find("img")
	if img == nil {
		d.lacking()
		return
	}
	d.sums(img.get("md5"))
	d.out.Body = &record.Body{Image: &record.Image{
		MD5: img.get("md5"), Bytes: img.number("hdlength", "length"),
		Width: img.number("cdnhdwidth", "cdnmidwidth"), Height: img.number("cdnhdheight", "cdnmidheight"),
		Group: root.find("groupinfo").get("id", "groupid"), // [C]
	}}
}

func (d *decoder) voice() {
	d.out.Type = record.TypeVoice
	d.packed()
	transcript := d.in.Voice
	if p := d.out.Hints.Packed; transcript == "" && p.TranscriptDone {
		transcript = p.Transcript
	}
	v := d.root().find("voicemsg")
	if v == nil {
		d.lacking()
		if transcript == "" {
			return
		}
	}
	d.out.Body = &record.Body{Voice: &record.Voice{
		Milliseconds: v.number("voicelength"), Bytes: v.number("length"), Transcript: transcript,
	}}
}

func (d *decoder) video() {
	d.out.Type = record.TypeVideo
	d.packed()
	v := d.root().find("videomsg")
	if v == nil {
		d.lacking()
		return
	}
	d.sums(v.get("md5"), v.get("rawmd5"), v.get("newmd5"))
	d.out.Body = &record.Body{Video: &record.Video{
		MD5: v.get("md5", "rawmd5", "newmd5"), Bytes: v.number("length"), Seconds: v.number("playlength"),
	}}
}

func (d *decoder) sticker() {
	d.out.Type = record.TypeSticker
	e := d.root().find("emoji")
	if e == nil {
		d.lacking()
		return
	}
	d.sums(e.get("md5"))
	d.out.Body = &record.Body{Sticker: &record.Sticker{MD5: e.get("md5"), URL: e.get("cdnurl", "encrypturl"), Bytes: e.number("len")}}
}

func (d *decoder) location() {
	d.out.Type = record.TypeLocation
	l := d.root().find("location")
	if l == nil {
		d.lacking()
		return
	}
	d.out.Body = &record.Body{Location: &record.Location{
		Latitude: l.get("x"), Longitude: l.get("y"), Scale: l.get("scale"), Label: l.get("label"), Name: l.get("poiname"),
	}}
}

func (d *decoder) card(weCom bool) {
	d.out.Type = record.TypeCard
	msg := d.root().find("msg")
	card := record.Card{ID: msg.get("username"), Name: msg.get("nickname"), Alias: msg.get("alias")}
	if card == (record.Card{}) {
		d.lacking()
		return
	}
	card.WeCom = weCom || strings.HasSuffix(card.ID, "@openim")
	d.out.Body = &record.Body{Card: &card}
}

func (d *decoder) friendRequest() {
	d.out.Type = record.TypeFriendRequest
	msg := d.root().find("msg")
	f := record.FriendRequest{From: msg.get("fromusername"), Name: msg.get("fromnickname"), Text: msg.get("content")}
	if f == (record.FriendRequest{}) {
		d.lacking()
		return
	}
	d.out.Body = &record.Body{FriendRequest: &f}
	d.out.show(f.Text)
}

// weCom tells the three WeCom types apart by what they hold, for no source says which
// number is which: a request names who it is from, a card whom it shows [I].
func (d *decoder) weCom() {
	msg := d.root().find("msg")
	switch {
	case msg.get("fromusername", "fromnickname") != "":
		d.friendRequest()
	case d.in.Base == baseWeComCard || msg.get("username") != "":
		d.card(true)
	default:
		d.out.Type = record.TypeUnknown
	}
}

// call takes the text shown from the XML or, in the third generation, from its column.
// Sources disagree on which number of room_type is a video call, so that stays open.
func (d *decoder) call() {
	d.out.Type = record.TypeCall
	var c record.Call
	body := string(d.in.Body)
	if strings.Contains(body, "<") {
		root := d.root()
		c.Text = root.find("VoIPBubbleMsg").get("msg")
		if c.Text == "" {
			c.Text = root.find("voipmsg").get("msg")
		}
		c.Seconds = root.find("duration").seconds()
	} else if utf8.ValidString(body) {
		c.Text = strings.TrimSpace(body)
	}
	if d.in.Display != "" {
		c.Text = d.in.Display
	}
	if c == (record.Call{}) {
		d.lacking()
		return
	}
	if c.Seconds == 0 {
		c.Seconds = clock(c.Text)
	}
	d.out.Body = &record.Body{Call: &c}
}

func (n *node) seconds() int64 {
	v, err := strconv.ParseInt(strings.TrimSpace(n.value()), 10, 64)
	if err != nil || v < 0 {
		return 0
	}
	return v
}

var clockForm = regexp.MustCompile(`(?:^|[^0-9:])(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{2})$`)

// clock is how long the call lasted when the text shown ends in that, as in
// "Duration 1:02:03" in whatever language [I].
func clock(text string) int64 {
	m := clockForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0
	}
	total := int64(0)
	for _, part := range m[1:] {
		n, _ := strconv.ParseInt(part, 10, 64) // digits, or nothing
		total = total*60 + n
	}
	return total
}
