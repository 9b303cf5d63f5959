package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tidemark/record"
)

// Row is what the index holds of one record. JSON is the record as it was
// delivered; everything else is derived from it, so that an altered column shows.
type Row struct {
	Line         int // in the batch, from 0
	ID           string
	Digest       [sha256.Size]byte
	Kind         string
	Account      string
	Conversation string
	Sender       string
	SentAt       *int64 // Unix milliseconds
	CapturedAt   int64
	Order        *int64
	LocalID      *int64
	Type         string
	Of           string
	Text         *string
	JSON         []byte // aliases what Derive was given; see TypePiece
}

// TypePiece is the Type of the rows of pieces of contents. The Of of such a row is the
// content's SHA-256, and its JSON names the piece's length in place of its data, which
// would make the index as large as the batches.
const TypePiece = "piece"

// Key is what the index finds a record's id by: the first 8 bytes of its SHA-256.
// An index of ids themselves would be three times as large, and is what adding a
// history spends its time on. Two ids may share a key; the id decides.
func (r *Row) Key() int64 {
	sum := sha256.Sum256([]byte(r.ID))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// Derive reads one line of a batch. It holds a record to the rules of
// [record.Validate] and reads no deeper than the index needs: a history of
// millions passes here, and `verify` parses each record whole. An error wraps
// record.ErrInvalid and never quotes content.
//
// The digest says whether two records of one id mean the same. It is the SHA-256
// of the line without what tells of the capture and not of the message, and so
// differs between two laptops of one account although nothing was changed: device,
// captured_at, client and decoder; source, local_id and order, for each client
// numbers its rows by itself; the names of account, conversation and sender; and
// media, which says what one laptop had of a message's files (what identifies a media
// record is in its id).
// Who, where, when, type, native numbers, text, change and an event's detail count.
// The row of a record that only repeats another is in its batch, as delivered.
func Derive(line []byte) (Row, error) {
	row := Row{JSON: line}
	bad := func(what string) (Row, error) {
		return row, fmt.Errorf("%w: %s", record.ErrInvalid, what)
	}
	if !json.Valid(line) {
		return bad("not JSON")
	}
	var r record.Record
	var failed string // the first member whose form is wrong
	str := func(name string, raw []byte) string {
		s, ok := unquote(raw)
		if !ok && failed == "" {
			failed = name
		}
		return s
	}
	number := func(name string, raw []byte) *int64 {
		n, err := strconv.ParseInt(str(name, raw), 10, 64)
		if err != nil {
			if failed == "" {
				failed = name
			}
			return nil
		}
		return &n
	}
	instant := func(name string, raw []byte) time.Time {
		t, err := time.Parse(time.RFC3339Nano, str(name, raw))
		if err != nil && failed == "" {
			failed = name
		}
		return t
	}
	d := digester{rest: make([]byte, 0, len(line))}
	party := func(name string, value []byte) []byte {
		id, ok := d.party(name, value)
		if !ok && failed == "" {
			failed = name
		}
		return id
	}
	ok := members(line, func(name string, value []byte) {
		switch name {
		case "v":
			v, err := strconv.Atoi(string(value))
			if err != nil {
				failed = name
			}
			r.V = v
		case "kind":
			row.Kind = str(name, value)
			r.Kind = record.Kind(row.Kind)
		case "id":
			row.ID = str(name, value)
			r.ID = row.ID
		case "of":
			r.Of = str(name, value)
		case "change":
			r.Change = str(name, value)
		case "event":
			r.Event = str(name, value)
		case "severity":
			r.Severity = str(name, value)
		case "device":
			r.Device = str(name, value)
			return
		case "captured_at":
			r.CapturedAt = instant(name, value)
			row.CapturedAt = r.CapturedAt.UnixMilli()
			return
		case "account":
			r.Account = &record.Party{}
			row.Account = str("account.id", party(name, value))
			return
		case "conversation":
			r.Conversation = &record.Conversation{}
			row.Conversation = str("conversation.id", party(name, value))
			return
		case "sender":
			row.Sender = str("sender.id", party(name, value))
			return
		case "sent_at":
			ms := instant(name, value).UnixMilli()
			row.SentAt = &ms
		case "local_id":
			row.LocalID = number(name, value)
			return
		case "order":
			row.Order = number(name, value)
			return
		case "client", "decoder":
			return
		case "media":
			if value[0] != '[' {
				failed = name
			} else if value[space(value, 1)] != ']' {
				r.Media = make([]record.Media, 1)
			}
			return
		case "piece":
			p, json, err := derivePiece(line, value)
			if err != nil {
				failed = name
				return
			}
			r.Piece = p
			row.Type, row.Of, row.JSON = TypePiece, p.SHA256, json
		case "contact":
			r.Contact = &record.Contact{}
		case "room":
			r.Room = &record.Room{}
		case "type":
			r.Type = str(name, value)
		case "text":
			s := str(name, value)
			row.Text = &s
		case "source":
			r.Source = &record.Source{}
			if value[0] != '{' {
				failed = name
			}
			return
		case "archive":
			// The archive's own member in what it prints; a device has no say in it.
			failed = name
		}
		d.member(name, value)
	})
	switch {
	case !ok:
		return bad("not an object")
	case failed != "":
		return bad("member " + failed + " is not of its form")
	}
	if err := r.Validate(); err != nil {
		return row, err
	}
	switch {
	case r.Piece == nil:
		row.Type, row.Of = r.Type, r.Of
	case r.Kind != record.KindMedia || r.Type != "" || r.Of != "":
		return bad("only a media record of its own has a piece")
	}
	row.Digest = sha256.Sum256(d.rest)
	return row, nil
}

// derivePiece reads the member piece of a line, and returns the line with the piece's
// length in place of its data.
func derivePiece(line, value []byte) (*record.Piece, []byte, error) {
	var p record.Piece
	if err := json.Unmarshal(value, &p); err != nil {
		return nil, nil, err
	}
	n := int64(len(p.Data))
	if !isSHA256(p.SHA256) || n == 0 || p.Offset < 0 || p.Size < n || p.Offset > p.Size-n {
		return nil, nil, record.ErrInvalid
	}
	at := cap(line) - cap(value) // value is a part of line
	short := append(make([]byte, 0, len(line)-len(value)+160), line[:at]...)
	short = fmt.Appendf(short, `{"sha256":"%s","size":%d,"offset":%d,"length":%d}`, p.SHA256, p.Size, p.Offset, n)
	return &p, append(short, line[at+len(value):]...), nil
}

func isSHA256(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// digester collects the members that count for a record's digest.
type digester struct{ rest []byte }

func (d *digester) member(name string, value []byte) {
	d.rest = append(d.rest, ',', '"')
	d.rest = append(d.rest, name...)
	d.rest = append(d.rest, '"', ':')
	d.rest = append(d.rest, value...)
}

// party adds an object without its name and returns its id.
func (d *digester) party(name string, value []byte) (id []byte, ok bool) {
	d.member(name, []byte{'{'})
	ok = members(value, func(name string, value []byte) {
		if name == "id" {
			id = value
		}
		if name != "name" {
			d.member(name, value)
		}
	})
	d.rest = append(d.rest, '}')
	return id, ok
}

// members calls f for each member of a JSON object that is known to be valid
// JSON, and returns false when it is not an object. Names are taken as they are
// spelled: none that counts has an escape in it.
func members(b []byte, f func(name string, value []byte)) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	for i = space(b, i+1); b[i] != '}'; {
		end := skip(b, i)
		name := string(b[i+1 : end-1])
		i = space(b, end) // the colon
		i = space(b, i+1) // the value
		end = skip(b, i)
		f(name, b[i:end])
		if i = space(b, end); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns the end of the value at i, of valid JSON.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	default: // number, true, false, null
		for i < len(b) && !strings.ContainsRune(",]} \t\r\n", rune(b[i])) {
			i++
		}
		return i
	}
}

func skipString(b []byte, i int) int {
	for i++; ; {
		q := i + bytes.IndexByte(b[i:], '"')
		escapes := 0
		for b[q-1-escapes] == '\\' {
			escapes++
		}
		if i = q + 1; escapes%2 == 0 {
			return i
		}
	}
}

// unquote reads a JSON string; absent counts as empty.
func unquote(raw []byte) (string, bool) {
	if raw == nil {
		return "", true
	}
	if raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
