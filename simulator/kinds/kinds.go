// Package kinds composes a message of every kind that the storage reference names, in
// section 6, as the client of each generation stores it, together with what a decoder
// must make of it. The people, words and addresses are invented.
//
// The XML has the traits that trip readers: text and CDATA, entities, attributes in
// varying order, absent fields, <type> elements inside other parts, titles that say
// "not supported". What is said depends on the generator of random numbers alone.
package kinds

import (
	"math/rand/v2"
	"strings"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/media"
)

// Person is somebody in a conversation.
type Person struct {
	Username, Name string
}

// Env is the account and the conversations in which the messages stand.
type Env struct {
	Gen     media.Generation
	Rand    *rand.Rand
	Owner   Person
	Folder  string   // name of the account folder
	Peer    Person   // of the one-to-one conversation
	Room    string   // username of the room
	Members []Person // of the room, without the owner; at least three
	NextID  func() int64
	Time    time.Time // of the first message; each other is a second later. Its location gives months.

	Shard    int // number of the database for voices
	Hardlink int // version of the 4.x index tables, 3 or 4; 0 is 4
}

// Example is an account with one other person and one room.
func Example(g media.Generation, r *rand.Rand, at time.Time) Env {
	return Env{Gen: g, Rand: r, Owner: Person{"wxid_tide", "潮"}, Folder: "wxid_tide", Peer: Person{"wxid_peer", "王伟"}, Room: "21000123456@chatroom",
		Members: []Person{{"wxid_a", "陈雨桐"}, {"wxid_b", "Lily & <Co>"}, {"25984981@openim", "李娜"}},
		NextID:  func() int64 { return r.Int64N(1<<62) + 1<<62 }, Time: at}
}

// Item is one message row.
type Item struct {
	Name string `json:"name"` // of the variant, unique
	Type string `json:"type"` // Tidemark's type; "" when the reference leaves open what it is

	Conversation string    `json:"conversation"` // username of the peer or room
	Sender       string    `json:"sender"`       // username; the room itself for notices in a room
	ServerID     int64     `json:"server_id,string"`
	Time         time.Time `json:"time"`
	Base         int64     `json:"base"` // the client's type and sub type
	Sub          int64     `json:"sub"`  // 0 in M3, whose rows have none

	// Content is the text or XML as decoded from message_content, msgContent, StrContent
	// or, for type 49 of W3, CompressContent: without a room's prefix, not compressed.
	Content    string `json:"content"`
	Source     string `json:"source"`     // msgsource XML; "" for none
	Display    string `json:"display"`    // W3: DisplayContent
	Transcript string `json:"transcript"` // what a voice message says, where the client made it: msgVoiceText in M3; Packed has it in 4.x
	Packed     []byte `json:"packed"`     // 4.x: packed_info_data; nil for none

	Media []media.File  `json:"media"` // see Numbered
	Rows  []media.Row   `json:"-"`     // of index databases, see Numbered
	Extra []media.Extra `json:"-"`     // W3: BytesExtra beside kinds 1 and 7

	Text     string         `json:"text"`     // the text that the record must have; "" when not promised
	Mentions []string       `json:"mentions"` // usernames
	QuoteOf  string         `json:"quote_of"` // server id of the quoted message, decimal
	Recalls  string         `json:"recalls"`  // server id of the message that is withdrawn, decimal; "" also where the form does not say
	Expect   map[string]any `json:"expect"`   // what the record must have in its typed body, see Differences
}

// All gives one message of every kind and variant that occurs in the generation, in order.
// Room messages need Members; names are unique.
func All(env Env) []Item {
	c := &composer{Env: env, at: env.Time}
	c.texts()
	c.pictures()
	c.voices()
	c.videos()
	c.people()
	c.places()
	c.calls()
	c.links()
	c.programs()
	c.documents()
	c.money()
	c.forwards()
	c.quotes()
	c.pats()
	c.rooms()
	c.notices()
	c.recalls()
	c.strange()
	return c.items
}

// composer makes the items.
type composer struct {
	Env
	items []Item
	at    time.Time
}

// item begins a message from the peer.
func (c *composer) item(name, typ string, base, sub int64) *Item {
	it := &Item{Name: name, Type: typ, Conversation: c.Peer.Username, Sender: c.Peer.Username, ServerID: c.NextID(),
		Time: c.at, Base: base, Sub: sub}
	if c.Gen == media.M3 {
		it.Sub = 0
	}
	c.at = c.at.Add(time.Second)
	return it
}

// Numbered is the message with its row's local id in the names of its files and in its
// index rows. It must be called before either is written.
func (it Item) Numbered(local int64) Item {
	it.Media, it.Rows = media.Numbered(it.Media, it.Rows, local)
	return it
}

// in places a message in the room, from a member.
func (it *Item) in(room string, from Person) *Item {
	it.Conversation, it.Sender = room, from.Username
	return it
}

// add ends a message.
func (c *composer) add(it *Item) {
	if it.Source == "" && it.Base != 10000 && it.Base != 10002 && it.Base != 51 {
		it.Source = c.source(it, nil)
	}
	if it.Packed == nil && c.Gen == media.V4 {
		it.Packed = account.PackedInfo()
	}
	c.items = append(c.items, *it)
}

// maker makes attachments of a message.
func (c *composer) maker(it *Item) media.Maker {
	return media.Maker{Gen: c.Gen, Rand: c.Rand, Folder: c.Folder, Chat: it.Conversation, Sender: it.Sender, Server: it.ServerID,
		Type: it.Sub<<32 | it.Base, Time: it.Time, Shard: c.Shard, Hardlink: c.Hardlink}
}

// attach gives a message what it brings along.
func (it *Item) attach(a media.Attachment) {
	it.Media, it.Rows, it.Extra = a.Files, a.Rows, a.Extra
	if a.Packed != nil {
		it.Packed = a.Packed
	}
}

func (c *composer) v4() bool { return c.Gen == media.V4 }

// pick is one of several, such as a sentence in two languages.
func (c *composer) pick(from ...string) string { return from[c.Rand.IntN(len(from))] }

// hex is n random hex digits.
func (c *composer) hex(n int) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for range n {
		b.WriteByte(digits[c.Rand.IntN(16)])
	}
	return b.String()
}

// body is Expect for the typed body of a name; values come as name, value, name, value.
func body(name string, values ...any) map[string]any {
	return map[string]any{name: fields(values...)}
}

func fields(values ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(values); i += 2 {
		m[values[i].(string)] = values[i+1]
	}
	return m
}
