// Package content decodes what a message says: the text, XML and packed columns of a
// row, which are the same in every generation of the client. Where they stand in a row,
// and how they are compressed, is the caller's to know.
//
// [Decode] never fails. A type that is not known becomes [record.TypeUnknown]; content
// that is not as its type has it is named in Unreadable, beside what could be had. In
// both cases the row, which the caller keeps, has everything. The numbers of types and
// where their substance stands come from public sources and not from a real client;
// docs/coverage.md says for each how sure it is.
//
// Memory is bounded: XML beyond 8 MiB, 50,000 parts or 100 levels is decoded up to
// there. Functions are pure, and safe for concurrent use on different results.
package content

import (
	"bytes"
	"strings"
	"unicode/utf8"
	"unsafe"

	"tidemark/collector/wechat/blob"
	"tidemark/record"
)

// The base types of rows [A unless said].
const (
	baseText          = 1
	baseImage         = 3
	baseVoice         = 34
	baseFriendRequest = 37 // [B]
	baseCard          = 42
	baseVideo         = 43
	baseSticker       = 47
	baseLocation      = 48
	baseApp           = 49
	baseCall          = 50
	baseSync          = 51 // [B]
	baseShortVideo    = 62 // [B]
	baseWeComFriend   = 65 // [B]
	baseWeComCard     = 66 // [B]
	baseWeComHello    = 67 // [B]
	baseSystem        = 10000
	baseControl       = 10002
)

// Input is one message as its row has it. Decode changes nothing of it.
type Input struct {
	Base, Sub int64  // the client's numbers; Sub is 0 where the row has none
	Body      []byte // unpacked text or XML, without a room's prefix of the sender
	Display   string // the text shown, which the third generation keeps for some types
	Source    []byte // msgsource XML
	Packed    []byte // packed_info_data
	Voice     string // a transcript that stands in a column of its own
	Owner     string // the account's username, for notices that say "you"; may be ""

	// MessageID is the id of the record of another message of the same conversation; nil
	// leaves such references without.
	MessageID func(serverID string) string
	// Name is the name shown for a username, "" when not known; nil knows none.
	Name func(username string) string
}

// Result is what a message says. One Result may be used again and again; what it holds
// is good until then.
type Result struct {
	Type       string
	Text       *string // nil for none. Of a text message it is a view of Input.Body
	Mentions   []string
	Body       *record.Body
	Unreadable string
	Hints      Hints

	text string
}

// Hints are what finds a message's files. None of them is sure to.
type Hints struct {
	Packed blob.Packed
	MD5    []string // sums as the client states them, best first, lower-case hex
	Name   string   // of a file
	Items  []Item   // of a merged forward, nested ones too
}

// Item is a part of a merged forward that may have a file.
type Item struct {
	ID     string // names a folder below Rec
	Type   string // one of record's Type constants
	MD5    string // lower-case hex
	Name   string
	Format string
	Bytes  int64
}

// Fill copies what is part of a record into r. Text still points into the result.
func (out *Result) Fill(r *record.Record) {
	r.Type, r.Text, r.Mentions, r.Body, r.Unreadable = out.Type, out.Text, out.Mentions, out.Body, out.Unreadable
}

func (out *Result) show(text string) {
	if text != "" {
		out.text = text
		out.Text = &out.text
	}
}

// Decode finds out what a message says. A text message costs no memory.
func Decode(in *Input, out *Result) {
	*out = Result{}
	if len(in.Source) > 0 {
		out.Mentions = mentions(in.Source)
	}
	if in.Base == baseText {
		out.Type = record.TypeText
		if !utf8.Valid(in.Body) {
			out.Unreadable = faultUTF8
			return
		}
		out.text = unsafe.String(unsafe.SliceData(in.Body), len(in.Body))
		out.Text = &out.text
		return
	}
	d := decoder{in: in, out: out, budget: &budget{nodes: maxNodes}}
	d.decode()
}

// mentions takes the list of usernames that a text addresses out of msgsource. It looks
// for the one element instead of parsing, because most messages have none.
func mentions(source []byte) []string {
	_, rest, ok := bytes.Cut(source, []byte("<atuserlist>"))
	if !ok {
		return nil
	}
	list, _, ok := bytes.Cut(rest, []byte("</atuserlist>"))
	if !ok || !utf8.Valid(list) {
		return nil
	}
	text := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(list)), "<![CDATA["), "]]>")
	var users []string
	for user := range strings.SplitSeq(text, ",") {
		if user = strings.TrimSpace(user); user != "" {
			users = append(users, user)
		}
	}
	return users
}

// What may be wrong with content. The words reach records only.
const (
	faultUTF8    = "content is not valid UTF-8"
	faultEmpty   = "content is empty"
	faultXML     = "content is not well-formed XML"
	faultCut     = "content ends within its XML"
	faultLarge   = "content has more parts than are decoded"
	faultLacking = "content lacks what its type has"
	faultNested  = "a merged forward is nested deeper than is decoded"
)

// decoder is the decoding of one message, or of one that another quotes.
type decoder struct {
	in     *Input
	out    *Result
	budget *budget
	quoted bool
}

// fault names what is wrong; the first counts.
func (d *decoder) fault(what string) {
	if d.out.Unreadable == "" {
		d.out.Unreadable = what
	}
}

// lacking names that what the type has was not found.
func (d *decoder) lacking() {
	if len(d.in.Body) == 0 {
		d.fault(faultEmpty)
	}
	d.fault(faultLacking)
}

// parse reads XML of the message and names its faults.
func (d *decoder) parse(b []byte) *node {
	root, fault := parse(b, d.budget)
	if fault != "" {
		d.fault(fault)
	}
	return root
}

// root is the parsed content, nil when there is none.
func (d *decoder) root() *node {
	if len(d.in.Body) == 0 {
		return nil
	}
	return d.parse(d.in.Body)
}

func (d *decoder) name(username string) string {
	if d.in.Name == nil || username == "" {
		return ""
	}
	return d.in.Name(username)
}

func (d *decoder) party(username, name string) *record.Party {
	if username == "" {
		return nil
	}
	if name == "" {
		name = d.name(username)
	}
	return &record.Party{ID: username, Name: name}
}

func (d *decoder) messageID(serverID string) string {
	if d.in.MessageID == nil || serverID == "" {
		return ""
	}
	return d.in.MessageID(serverID)
}

func (d *decoder) decode() {
	switch d.in.Base {
	case baseImage:
		d.image()
	case baseVoice:
		d.voice()
	case baseVideo, baseShortVideo:
		d.video()
	case baseSticker:
		d.sticker()
	case baseLocation:
		d.location()
	case baseCard:
		d.card(false)
	case baseFriendRequest:
		d.friendRequest()
	case baseWeComFriend, baseWeComCard, baseWeComHello:
		d.weCom()
	case baseApp:
		d.app()
	case baseCall:
		d.call()
	case baseSync:
		d.out.Type = record.TypeSync // nobody wrote it; the row has it
	case baseSystem, baseControl:
		d.system()
	default:
		d.out.Type = record.TypeUnknown
	}
}
