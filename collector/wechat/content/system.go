package content

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"tidemark/record"
)

// noticeTypes are the third generation's sub types of its notices that say more than
// "notice" [B]: a pat, an invitation into a room, and what kind of message was recalled.
var noticeTypes = map[int64]string{
	4: record.TypePat, 8000: record.TypeJoin,
	1: record.TypeRecall, 5: record.TypeRecall, 6: record.TypeRecall, 33: record.TypeRecall, 36: record.TypeRecall, 57: record.TypeRecall,
}

// system reads a notice of the client's own: a sentence in the user's language, or XML
// that names itself. A recall whose notice is a mere sentence shows by the row's change,
// which is for the collector to see.
func (d *decoder) system() {
	d.out.Type = record.TypeSystem
	if bytes.Contains(d.in.Body, []byte("<sysmsg")) || bytes.Contains(d.in.Body, []byte("<revokemsg")) {
		root := d.parse(d.in.Body)
		if sys := root.find("sysmsg"); sys != nil {
			d.sysmsg(sys)
		} else if revoke := root.find("revokemsg"); revoke != nil {
			d.recall(revoke)
		}
	} else if utf8.Valid(d.in.Body) {
		d.out.show(string(d.in.Body))
	} else {
		d.fault(faultUTF8)
	}
	if name := noticeTypes[d.in.Sub]; name != "" && d.out.Type == record.TypeSystem && d.in.Base == baseSystem {
		d.out.Type = name
		if name == record.TypePat && d.out.Text != nil && d.out.Body == nil {
			d.out.Body = &record.Body{Pat: &record.Pat{Text: *d.out.Text}}
		}
	}
}

// sysmsg reads what the attribute type names [A for revokemsg, B for the others].
func (d *decoder) sysmsg(sys *node) {
	kind := sys.get("type")
	inner := sys.child(kind)
	switch kind {
	case "revokemsg":
		d.recall(inner)
	case "pat":
		d.out.Type = record.TypePat
		d.pat(inner)
	case "sysmsgtemplate":
		d.template(sys)
	case "delchatroommember":
		d.removable(inner)
	case "mmchatroombarannouncememt": // spelt so
		d.out.Type = record.TypeAnnouncement
		text := first(inner.child("content").value(), inner.child("text").value(), inner.value())
		d.out.Body = &record.Body{Announcement: &record.Announcement{Text: text}}
		d.out.show(text)
	default:
		d.notice(kind)
		for _, name := range []string{"plain", "text", "content", "replacemsg", "title"} {
			if s := sys.find(name).value(); s != "" {
				d.out.show(s)
				break
			}
		}
	}
}

func (d *decoder) notice(kind string) {
	if kind != "" {
		d.out.Body = &record.Body{Notice: &record.Notice{Kind: kind}}
	}
}

// recall reads revokemsg. newmsgid is the server's id; msgid is where it is longer than
// the 32 bits of older ids [A; C]. The reduced form has neither [B].
func (d *decoder) recall(n *node) {
	d.out.Type = record.TypeRecall
	notice := &record.Notice{Kind: "revokemsg", ServerID: serverID(n.get("newmsgid"))}
	if notice.ServerID == "" {
		if id, err := strconv.ParseUint(n.get("msgid"), 10, 64); err == nil && id > math.MaxUint32 {
			notice.ServerID = serverID(n.get("msgid"))
		}
	}
	notice.Of = d.messageID(notice.ServerID)
	d.out.Body = &record.Body{Notice: notice}
	d.out.show(first(n.child("replacemsg").value(), n.child("content").value()))
}

// pat reads who nudged whom. The template has ${username} where names are shown.
func (d *decoder) pat(n *node) {
	if one := n.find("record"); one != nil { // in patMsg
		n = one
	}
	if n == nil {
		d.lacking()
		return
	}
	p := &record.Pat{From: n.get("fromusername", "fromuser"), To: n.get("pattedusername", "patteduser")}
	p.Text = d.names(first(n.child("template").value(), n.child("templete").value())) // both spellings occur
	d.out.Body = &record.Body{Pat: p}
	d.out.show(p.Text)
}

// appPat is a pat as an app message: patMsg or patinfo.
func (d *decoder) appPat(app *node) {
	n := app.child("patMsg")
	if n == nil {
		n = app.child("patinfo")
	}
	if n == nil {
		d.lacking()
		d.out.show(app.child("title").value())
		return
	}
	d.pat(n)
	if p := d.out.Body.Pat; p.Text == "" {
		p.Text = app.child("title").value()
		d.out.show(p.Text)
	}
}

var placeholder = regexp.MustCompile(`\$\{[^${}]*\}`)

// names puts names for the usernames in a template, where they are known.
func (d *decoder) names(template string) string {
	return placeholder.ReplaceAllStringFunc(template, func(s string) string {
		username := s[2 : len(s)-1]
		return first(d.name(username), username)
	})
}
