package content

import (
	"html"
	"strings"
	"time"

	"tidemark/record"
)

// lastSecond is the end of the year 9999, beyond which a time has no JSON form.
const lastSecond = 253402300799

// quote reads a reply: the title is the new text, refermsg what it answers [A].
func (d *decoder) quote(app *node) {
	d.out.show(app.child("title").value())
	refer := app.child("refermsg")
	if refer == nil {
		d.lacking()
		return
	}
	q := &record.Quote{ServerID: serverID(refer.get("svrid"))}
	d.out.Body = &record.Body{Quote: q}
	q.Of = d.messageID(q.ServerID)
	sender := refer.get("chatusr") // the sender in a room
	if sender == "" || strings.HasSuffix(sender, "@chatroom") {
		sender = refer.get("fromusr") // the conversation or the sender
	}
	if !strings.HasSuffix(sender, "@chatroom") {
		q.Sender = d.party(sender, refer.get("displayname"))
	}
	if at := refer.number("createtime"); at > 0 && at <= lastSecond {
		q.SentAt = time.Unix(at, 0).UTC()
	}
	base := refer.number("type")
	if base == 0 || d.quoted {
		return
	}
	q.Type, q.Text = d.quotedContent(base, refer.child("content").value(), sender)
}

// quotedContent decodes what a quote holds of the quoted message, one level deep: its
// type, and its text or a title. What is wrong with it is no fault of the reply.
func (d *decoder) quotedContent(base int64, body, sender string) (string, string) {
	if sender != "" {
		body = strings.TrimPrefix(body, sender+":\n")
	}
	if base != baseText && strings.HasPrefix(strings.TrimSpace(body), "&lt;") {
		body = html.UnescapeString(body) // some are escaped twice
	}
	in := &Input{Base: base & 0xffffffff, Sub: base >> 32, Body: []byte(body), Name: d.in.Name}
	var out Result
	if in.Base == baseText {
		Decode(in, &out)
	} else {
		inner := decoder{in: in, out: &out, budget: d.budget, quoted: true}
		inner.decode()
	}
	return out.Type, out.title()
}

// title is the text of a message or, where it has none, a line that tells it from others.
func (out *Result) title() string {
	b := out.Body
	switch {
	case out.Text != nil:
		return *out.Text
	case b == nil:
		return ""
	case b.Link != nil:
		return b.Link.Title
	case b.File != nil:
		return b.File.Name
	case b.MiniProgram != nil:
		return b.MiniProgram.Title
	case b.Forward != nil:
		return b.Forward.Title
	case b.Location != nil:
		return first(b.Location.Name, b.Location.Label)
	case b.Card != nil:
		return b.Card.Name
	case b.Channel != nil:
		return first(b.Channel.Description, b.Channel.Name)
	case b.Voice != nil:
		return b.Voice.Transcript
	case b.Transfer != nil:
		return b.Transfer.Amount
	case b.RedPacket != nil:
		return b.RedPacket.Title
	case b.Call != nil:
		return b.Call.Text
	case b.App != nil:
		return b.App.Title
	}
	return ""
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
