package content

import (
	"strings"

	"tidemark/record"
)

// appTypes are the numbers of app messages: the direct child type of appmsg. How sure
// each is stands in docs/coverage.md.
var appTypes = map[int64]string{
	1: record.TypeLink, 4: record.TypeLink, 5: record.TypeLink, 68: record.TypeLink,
	15: record.TypeLink, // a sticker set
	16: record.TypeLink, // a coupon
	3:  record.TypeMusic, 76: record.TypeMusic, 92: record.TypeMusic,
	6: record.TypeFile, 74: record.TypeFile,
	7:  record.TypeGame,
	8:  record.TypeSticker,
	17: record.TypeLocation, // of somebody on the way
	19: record.TypeForward, 40: record.TypeForward,
	24: record.TypeNote,
	33: record.TypeMiniProgram, 36: record.TypeMiniProgram,
	44: record.TypeChannel, 50: record.TypeChannel, 51: record.TypeChannel, 63: record.TypeChannel, 88: record.TypeChannel,
	53:   record.TypeGroupChain,
	57:   record.TypeQuote,
	62:   record.TypePat,
	87:   record.TypeAnnouncement,
	2000: record.TypeTransfer,
	2001: record.TypeRedPacket,
	2003: record.TypeRedPacket, // its cover
}

// app decodes an app message by the number in its XML, and by the row's where the XML
// says none. Only the direct child counts: what is quoted or merged has its own.
func (d *decoder) app() {
	d.packed()
	app := d.root().find("appmsg")
	number := app.number("type")
	if number == 0 {
		number = d.in.Sub
	}
	d.out.Type = first(appTypes[number], record.TypeUnknown)
	if app == nil {
		d.lacking()
		return
	}
	switch d.out.Type {
	case record.TypeLink, record.TypeMusic, record.TypeGame:
		d.link(app, number)
	case record.TypeFile:
		d.file(app, number)
	case record.TypeSticker:
		d.appSticker(app)
	case record.TypeLocation:
		d.out.Body = &record.Body{Location: &record.Location{Live: true}}
		d.out.show(app.child("title").value())
	case record.TypeForward, record.TypeNote:
		d.forward(app)
	case record.TypeMiniProgram:
		d.miniProgram(app)
	case record.TypeChannel:
		d.channel(app, number)
	case record.TypeGroupChain:
		d.groupChain(app)
	case record.TypeQuote:
		d.quote(app)
	case record.TypePat:
		d.appPat(app)
	case record.TypeAnnouncement:
		d.announcement(app)
	case record.TypeTransfer:
		d.transfer(app)
	case record.TypeRedPacket:
		d.redPacket(app)
	default:
		d.out.Body = &record.Body{App: &record.App{
			Number: number, Title: app.get("title"), Description: app.get("des"), URL: app.get("url"),
		}}
	}
}

// link reads a link. Number 1 is a text that a program sent: its title is what it says.
func (d *decoder) link(app *node, number int64) {
	d.out.Body = &record.Body{Link: &record.Link{
		Title: app.get("title"), Description: app.get("des"), URL: app.get("url"), DataURL: app.get("dataurl"),
		Source: app.get("sourcedisplayname"), SourceID: app.get("sourceusername"),
	}}
	if number == 1 {
		d.out.show(app.child("title").value())
	}
}

func (d *decoder) file(app *node, number int64) {
	attach := app.child("appattach")
	f := record.File{
		Name: app.get("title"), Extension: attach.get("fileext"), Bytes: attach.number("totallen"), MD5: app.get("md5"),
		Transferring: number == 74,
	}
	if f.MD5 == "" {
		f.MD5 = attach.get("md5")
	}
	d.sums(f.MD5)
	d.out.Hints.Name = f.Name
	d.out.Body = &record.Body{File: &f}
}

func (d *decoder) appSticker(app *node) {
	attach := app.child("appattach")
	s := record.Sticker{MD5: attach.get("emoticonmd5"), URL: attach.get("cdnattachurl"), Bytes: attach.number("totallen")}
	d.sums(s.MD5)
	d.out.Body = &record.Body{Sticker: &s}
}

func (d *decoder) miniProgram(app *node) {
	info := app.child("weappinfo")
	d.out.Body = &record.Body{MiniProgram: &record.MiniProgram{
		Title: app.get("title"), Name: app.get("sourcedisplayname"), Username: info.get("username"),
		AppID: info.get("appid"), Path: info.get("pagepath"), URL: app.get("url"),
	}}
}

// channel reads what stands in an element of the vendor's "finder": finderFeed [A],
// finderLive [A], others for cards [C].
func (d *decoder) channel(app *node, number int64) {
	c := record.Channel{Kind: "card"}
	var finder *node
	switch number {
	case 51:
		c.Kind, finder = "video", app.child("finderFeed")
	case 63, 88:
		c.Kind, finder = "live", app.child("finderLive")
	default:
		for _, n := range app.children {
			if strings.HasPrefix(strings.ToLower(n.name), "finder") && (finder == nil || len(n.children) > len(finder.children)) {
				finder = n
			}
		}
	}
	c.ID = finder.get("objectId", "finderObjectID", "finderLiveID", "liveId")
	c.Name, c.Username, c.Description = finder.get("nickname"), finder.get("username", "finderUsername"), finder.get("desc")
	c.URL = finder.child("mediaList").child("media").get("url")
	if c.Name == "" && c.Description == "" {
		c.Description = app.get("title")
	}
	if c.URL == "" {
		c.URL = app.get("url")
	}
	d.out.Body = &record.Body{Channel: &c}
}

func (d *decoder) groupChain(app *node) {
	d.out.Body = &record.Body{GroupChain: &record.GroupChain{Title: app.get("title"), Text: flat(app.child("extinfo"))}}
	d.out.show(app.child("title").value())
}

func (d *decoder) announcement(app *node) {
	text := app.child("textannouncement").value()
	if text == "" {
		text = app.child("des").value()
	}
	if text == "" {
		text = app.child("title").value()
	}
	d.out.Body = &record.Body{Announcement: &record.Announcement{Text: text}}
	d.out.show(text)
}

// transferStates are those of paysubtype [B; sources split them differently].
var transferStates = map[int64]string{
	1: "initiated", 7: "initiated", 8: "initiated", 3: "received", 5: "received", 4: "returned", 9: "returned", 10: "expired",
}

func (d *decoder) transfer(app *node) {
	pay := app.child("wcpayinfo")
	if pay == nil {
		d.lacking()
		return
	}
	t := record.Transfer{
		ID: pay.get("transferid", "transcationid"), Amount: pay.get("feedesc"), Memo: pay.get("pay_memo"), Code: pay.number("paysubtype"),
	}
	if t.State = transferStates[t.Code]; t.State == "" {
		t.State = "unknown"
	}
	d.out.Body = &record.Body{Transfer: &t}
}

func (d *decoder) redPacket(app *node) {
	pay := app.child("wcpayinfo")
	r := record.RedPacket{Title: pay.get("sendertitle"), ReceiverTitle: pay.get("receivertitle"), URL: pay.get("nativeurl")}
	if r.Title == "" {
		r.Title = app.get("title")
	}
	d.out.Body = &record.Body{RedPacket: &r}
}

// flat is all text of an element and what is in it, a line for each piece.
func flat(n *node) string {
	if n == nil {
		return ""
	}
	var lines []string
	if s := strings.TrimSpace(n.value()); s != "" {
		lines = append(lines, s)
	}
	for _, c := range n.children {
		if s := flat(c); s != "" {
			lines = append(lines, s)
		}
	}
	return strings.Join(lines, "\n")
}
