package record

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the record's JSON form to b, without a newline, and returns
// the longer slice. The members stand in the order of [Record]'s fields, events'
// details in the order of their names, so equal records give equal bytes.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(r.V), 10)
	b = member(b, "kind", string(r.Kind))
	b = member(b, "id", r.ID)
	b = optional(b, "of", r.Of)
	b = optional(b, "change", r.Change)
	b = optional(b, "event", r.Event)
	b = optional(b, "severity", r.Severity)
	b = optionalTime(b, "since", r.Since)
	if len(r.Detail) > 0 {
		b = append(b, `,"detail":{`...)
		names := make([]string, 0, len(r.Detail))
		for n := range r.Detail {
			names = append(names, n)
		}
		slices.Sort(names)
		for i, n := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, n)
			b = append(b, ':')
			b = appendString(b, r.Detail[n])
		}
		b = append(b, '}')
	}
	b = member(b, "device", r.Device)
	b = append(b, `,"captured_at":`...)
	b = appendTime(b, r.CapturedAt)
	if p := r.Account; p != nil {
		b = p.appendJSON(append(b, `,"account":`...))
	}
	if c := r.Client; c != nil {
		b = append(b, `,"client":{"app":`...)
		b = appendString(b, c.App)
		b = member(b, "generation", c.Generation)
		b = member(b, "os", c.OS)
		b = append(b, '}')
	}
	if c := r.Conversation; c != nil {
		b = c.appendJSON(append(b, `,"conversation":`...))
	}
	if s := r.Sender; s != nil {
		b = s.appendJSON(append(b, `,"sender":`...))
	}
	b = optionalTime(b, "sent_at", r.SentAt)
	b = optional(b, "server_id", r.ServerID)
	b = optional(b, "local_id", r.LocalID)
	b = optional(b, "order", r.Order)
	b = optional(b, "type", r.Type)
	if r.Text != nil {
		b = member(b, "text", *r.Text)
	}
	if len(r.Mentions) > 0 {
		b = appendAny(append(b, `,"mentions":`...), r.Mentions)
	}
	if r.Body != nil {
		b = appendMembers(b, r.Body)
	}
	if len(r.Media) > 0 {
		b = appendAny(append(b, `,"media":`...), r.Media)
	}
	if r.Piece != nil {
		b = appendAny(append(b, `,"piece":`...), r.Piece)
	}
	if r.Contact != nil {
		b = appendAny(append(b, `,"contact":`...), r.Contact)
	}
	if r.Room != nil {
		b = appendAny(append(b, `,"room":`...), r.Room)
	}
	b = optional(b, "unreadable", r.Unreadable)
	if n := r.Native; n != nil {
		b = append(b, `,"native":{"type":`...)
		b = strconv.AppendInt(b, n.Type, 10)
		b = append(b, `,"subtype":`...)
		b = strconv.AppendInt(b, n.Subtype, 10)
		b = append(b, '}')
	}
	b = optional(b, "decoder", r.Decoder)
	if s := r.Source; s != nil {
		b = append(b, `,"source":{"file":`...)
		b = appendString(b, s.File)
		b = optional(b, "table", s.Table)
		if s.Row != nil {
			b = append(b, `,"row":`...)
			b = s.Row.appendJSON(b)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func (p *Party) appendJSON(b []byte) []byte {
	if p.json != "" {
		return append(b, p.json...)
	}
	b = appendString(append(b, `{"id":`...), p.ID)
	b = optional(b, "name", p.Name)
	return append(b, '}')
}

func (c *Conversation) appendJSON(b []byte) []byte {
	if c.json != "" {
		return append(b, c.json...)
	}
	b = appendString(append(b, `{"id":`...), c.ID)
	b = optional(b, "kind", c.Kind)
	b = optional(b, "name", c.Name)
	return append(b, '}')
}

func (s *Sender) appendJSON(b []byte) []byte {
	if s.json != "" {
		return append(b, s.json...)
	}
	b = appendString(append(b, `{"id":`...), s.ID)
	b = optional(b, "name", s.Name)
	b = append(b, `,"self":`...)
	b = strconv.AppendBool(b, s.Self)
	return append(b, '}')
}

// Freeze keeps the JSON form with the value, which must not change any more. It
// pays for values that stand in thousands of records.
func (p *Party) Freeze() *Party {
	p.json = string(p.appendJSON(nil))
	return p
}

// Freeze keeps the JSON form with the value, as [Party.Freeze].
func (c *Conversation) Freeze() *Conversation {
	c.json = string(c.appendJSON(nil))
	return c
}

// Freeze keeps the JSON form with the value, as [Party.Freeze].
func (s *Sender) Freeze() *Sender {
	s.json = string(s.appendJSON(nil))
	return s
}

// MarshalJSON is [Record.AppendJSON], so that there is one JSON form only.
func (r *Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

func member(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func optional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return member(b, name, value)
}

func optionalTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendTime(b, t)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// plain marks the ASCII bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string. Bytes that are not valid UTF-8 become
// U+FFFD, as in encoding/json; a row keeps such text in base64 instead. U+2028 and
// U+2029 are escaped, so that a line stays one line for every reader.
func appendString(b []byte, s string) []byte {
	if isPlain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return appendValid(b, s)
}

// Eight bytes at a time. A borrow between bytes can make these say yes too often,
// which costs a slower look, and never too seldom.
const low, high = 0x0101010101010101, 0x8080808080808080

func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// below finds bytes of w that are less than n, zero those that are 0.
func below(w uint64, n uint64) uint64 { return (w - low*n) &^ w & high }
func zero(w uint64) uint64            { return (w - low) &^ w & high }

// special says whether valid UTF-8 has a byte that may need an escape among eight.
func special(w uint64) bool {
	return below(w, ' ')|zero(w^(low*'"'))|zero(w^(low*'\\'))|zero(w^(low*0xe2)) != 0
}

// isPlain says whether every byte of s stands for itself.
func isPlain(s string) bool {
	for len(s) >= 8 {
		if w := word(s); w&high != 0 || special(w) {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || !plain[s[i]] {
			return false
		}
	}
	return true
}

// appendValid is appendString for what is known to be valid UTF-8.
func appendValid(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		for len(s)-i >= 8 && !special(word(s[i:])) {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			if c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && s[i+2]&^1 == 0xa8 { // U+2028, U+2029
				b = append(b, s[start:i]...)
				b = append(b, '\\', 'u', '2', '0', '2', hexDigits[s[i+2]&15])
				i += 2
				start = i + 1
			}
			continue
		}
		if plain[c] {
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
