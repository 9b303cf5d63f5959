package wechat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"tidemark/collector/wechat/blob"
	"tidemark/collector/wechat/content"
	"tidemark/record"
)

// Base types of a row; see docs/coverage.md.
const (
	baseApp     = 49
	baseSystem  = 10000
	baseControl = 10002
)

// Rows decodes the rows of one table. It is used by one goroutine and reuses its
// memory, and aliases the row's: what Decode fills is good until the next call, or
// until the row's values are gone.
type Rows struct {
	Schema       *Schema
	Owner        string               // the account's username
	Conversation *record.Conversation // of the row to decode; see Talker
	Names        Names
	Name         func(username string) string // the name shown for a username, "" when not known

	at      [columnCount]int // where the decoded columns stand in rows of width columns
	width   int
	senders map[senderIn]*record.Sender
	native  record.Native
	extra   blob.Extra
	in      content.Input
	out     content.Result
	buf     []byte
	digits  []byte
}

// The columns that are decoded, and their places in Rows.at.
const (
	colLocalID = iota
	colServerID
	colType
	colSubtype
	colOrder
	colSender
	colCreated
	colContent
	colMarker // how the content is compressed
	colTalker // whose conversation it is
	required  // what follows may be absent

	colTalkerID     = iota - 1 // the same, by the database's names
	colCompressed              // content that stands apart, in a block
	colSource                  // where a message comes from and whom it mentions
	colSourceMarker            // how that is compressed
	colPacked                  // of 4.x: what the client knows of a row's media, and the transcript of a voice
	colExtra                   // of Windows 3.x: a room's sender, paths of media
	colDisplay                 // the text of what has none of its own
	colVoiceText               // the transcript of a voice
	columnCount
)

// find learns where the columns stand; the rows of one Rows are all of one table.
func (d *Rows) find(row record.Row) {
	if d.width == len(row) {
		return
	}
	d.width = len(row)
	for c, name := range d.Schema.columns {
		d.at[c] = slices.IndexFunc(row, func(col record.Column) bool { return col.Name == name })
	}
}

func (d *Rows) int(row record.Row, column int) int64 {
	if i := d.at[column]; i >= 0 {
		return row[i].Value.Int
	}
	return 0
}

func (d *Rows) value(row record.Row, column int) record.Value {
	if i := d.at[column]; i >= 0 {
		return row[i].Value
	}
	return record.Value{}
}

// LocalID is the row's id in its table.
func (d *Rows) LocalID(row record.Row) int64 {
	d.find(row)
	return d.int(row, colLocalID)
}

// Talker is the username of the conversation that a row of a table of many names, or
// what stands for it when that is not known.
func (d *Rows) Talker(row record.Row) string {
	d.find(row)
	return talkerOf(string(d.value(row, colTalker).Bytes), d.int(row, colTalkerID), d.Names)
}

// Message is what Decode found out beyond the record's own fields. Like them it is good
// until the next call.
type Message struct {
	LocalID  int64
	ServerID int64
	Created  int64  // seconds
	Talker   int64  // the conversation's id among the database's names, where rows have one each
	Content  []byte // the content, decompressed: with Shown, what the row means, apart from counters
	Shown    string // text that stands beside the content and is part of what the row means

	Hints *content.Hints // what finds the message's files
	Extra blob.Extra     // of Windows 3.x: paths of the message's files
}

// System says whether the row is one of the client's notices: what a recalled
// message becomes.
func System(n *record.Native) bool { return n.Type == baseSystem || n.Type == baseControl }

// Decode fills the message's fields of r from the row. It never fails: what cannot
// be decoded is named in Unreadable or Type, and the row is kept in any case.
func (d *Rows) Decode(row record.Row, r *record.Record) Message {
	var m Message
	d.find(row)
	d.digits = d.digits[:0]
	if i := d.at[colOrder]; i >= 0 {
		r.Order = d.format(row[i].Value.Int)
	}
	m.LocalID, m.ServerID, m.Created = d.int(row, colLocalID), d.int(row, colServerID), d.int(row, colCreated)
	m.Talker = d.int(row, colTalkerID)
	d.native = d.Schema.native(d, row)
	r.Native = &d.native
	r.Conversation = d.Conversation
	r.LocalID = d.format(m.LocalID)
	if m.ServerID != 0 {
		r.ServerID = d.format(m.ServerID)
	}
	if m.Created > 0 {
		r.SentAt = time.Unix(m.Created, 0).UTC()
	}
	r.Decoder = d.Schema.Decoder

	if i := d.at[colExtra]; i >= 0 {
		d.extra = blob.ReadExtra(row[i].Value.Bytes)
	}
	body, err := d.unpack(row)
	m.Content = body
	username, rest := d.Schema.sender(d, row, body)
	if username != "" {
		r.Sender = d.sender(username)
	}
	if d.in.Name == nil {
		d.in.Name, d.in.Owner = d.Name, d.Owner
		d.in.MessageID = func(serverID string) string { return record.MessageID(d.Owner, d.Conversation.ID, serverID) }
	}
	d.in.Base, d.in.Sub, d.in.Body = d.native.Type, d.native.Subtype, rest
	d.in.Source, d.in.Packed = d.source(row), d.value(row, colPacked).Bytes
	d.in.Display, d.in.Voice = string(d.value(row, colDisplay).Bytes), string(d.value(row, colVoiceText).Bytes)
	if err != nil {
		d.in.Body = nil
	}
	content.Decode(&d.in, &d.out)
	d.out.Fill(r)
	if err != nil {
		r.Unreadable, r.Text = err.Error(), nil
	}
	m.Hints, m.Extra = &d.out.Hints, d.extra
	if m.Shown = d.in.Display; d.out.Body != nil && d.out.Body.Voice != nil {
		m.Shown += d.out.Body.Voice.Transcript
	}
	return m
}

// unpack gives what the row says: its content or, where that is elsewhere, the block
// beside it that the third generation keeps app messages in.
func (d *Rows) unpack(row record.Row) ([]byte, error) {
	text := d.value(row, colContent)
	if block := d.value(row, colCompressed); block.Class == record.Blob && len(block.Bytes) > 0 && (len(text.Bytes) == 0 || d.native.Type == baseApp) {
		out, err := blob.LZ4(d.buf[:0], block.Bytes)
		if err != nil {
			return block.Bytes, err
		}
		d.buf = out
		return out, nil
	}
	out, err := decompress(d.buf, text, d.value(row, colMarker))
	if err == nil && text.Class == record.Blob && bytes.HasPrefix(text.Bytes, zstdMagic) {
		d.buf = out // it may have grown
	}
	return out, err
}

// source gives the XML beside the content: in a column, which may be compressed, or
// among what Windows 3.x keeps in BytesExtra.
func (d *Rows) source(row record.Row) []byte {
	i := d.at[colSource]
	if i < 0 {
		return []byte(d.extra.Source)
	}
	out, err := decompress(nil, row[i].Value, d.value(row, colSourceMarker))
	if err != nil {
		return nil // the row has it
	}
	return out
}

// senderIn is somebody in a conversation, where they may go by another name.
type senderIn struct {
	conversation *record.Conversation
	username     string
}

func (d *Rows) sender(username string) *record.Sender {
	key := senderIn{d.Conversation, username}
	s := d.senders[key]
	if s == nil {
		s = (&record.Sender{ID: username, Name: d.Name(username), Self: username == d.Owner}).Freeze()
		if d.senders == nil {
			d.senders = map[senderIn]*record.Sender{}
		}
		d.senders[key] = s
	}
	return s
}

// format writes a number into memory that is used again at the next row.
func (d *Rows) format(n int64) string {
	from := len(d.digits)
	d.digits = strconv.AppendInt(d.digits, n, 10)
	return view(d.digits[from:])
}

// view is b as a string, without a copy: good as long as b is, as Rows promises.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// content decoding, shared: DecodeAll is safe for concurrent use.
var unzstd = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(blob.MaxContent), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(4))
	if err != nil {
		panic(err) // options are constants
	}
	return d
})

var errDictionary = errors.New("content is compressed with the client's own dictionary")

// decompress gives a column as the client would show it, in buf where it unpacks
// anything. The marker is WCDB's: 2 and 3 need a dictionary that only the client has, 4
// and 5 are plain zstd. A blob that begins with zstd's magic is treated so whatever the
// marker says.
func decompress(buf []byte, value, marker record.Value) ([]byte, error) {
	if value.Class != record.Text && value.Class != record.Blob {
		if value.Class == record.Integer {
			return strconv.AppendInt(nil, value.Int, 10), nil
		}
		return nil, nil
	}
	if marker.Class == record.Integer && (marker.Int == 2 || marker.Int == 3) {
		return value.Bytes, errDictionary
	}
	compressed := value.Class == record.Blob && bytes.HasPrefix(value.Bytes, zstdMagic)
	if !compressed && marker.Class == record.Integer && (marker.Int == 4 || marker.Int == 5) {
		compressed = bytes.HasPrefix(value.Bytes, zstdMagic)
		if !compressed {
			return value.Bytes, fmt.Errorf("content is marked as compressed (%d) and is not", marker.Int)
		}
	}
	if !compressed {
		return value.Bytes, nil
	}
	out, err := unzstd().DecodeAll(value.Bytes, buf[:0])
	if err != nil {
		return value.Bytes, fmt.Errorf("content does not decompress: %w", sanitize(err))
	}
	return out, nil
}

// sanitize keeps the library's own words only, which name formats and sizes.
func sanitize(err error) error {
	return errors.New(strings.ToValidUTF8(err.Error(), "?"))
}
