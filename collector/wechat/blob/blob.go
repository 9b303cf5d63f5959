// Package blob reads the packed columns of WeChat's tables: small protobuf messages
// without a published schema, and LZ4 blocks that do not say their size.
//
// Readers of protobuf take what they know and pass over the rest. Bytes that are no
// protobuf, or stop in the middle, give what stood before; nothing fails, because a
// message must not be lost for a blob beside it, and the row keeps the bytes. All are
// pure functions, safe for concurrent use, and their results share no memory with
// their input.
package blob

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"tidemark/record"
)

// Extra is what the column BytesExtra of the third generation on Windows says [A; source C].
type Extra struct {
	Sender    string // username, in a group; "" when it holds something else
	Thumbnail string // path that begins with the account folder's name, with backslashes
	Original  string // the same of the file itself
	Source    string // msgsource XML
}

// The kinds of entries in BytesExtra.
const (
	extraSender    = 1
	extraThumbnail = 3
	extraOriginal  = 4
	extraSource    = 7
)

// ReadExtra reads BytesExtra: repeated field 3 = {1: kind, 2: text}. Of several
// entries of one kind the first counts.
func ReadExtra(b []byte) Extra {
	var e Extra
	fields(b, func(f field) {
		if f.number != 3 {
			return
		}
		var kind uint64
		var text []byte
		fields(f.bytes, func(f field) {
			switch f.number {
			case 1:
				kind = f.value
			case 2:
				text = f.bytes
			}
		})
		set := func(s *string) {
			if *s == "" {
				*s = valid(text)
			}
		}
		switch kind {
		case extraSender:
			// System rows carry an XML fragment here, which names nobody [C].
			if !bytes.ContainsAny(text, "<>\n ") {
				set(&e.Sender)
			}
		case extraThumbnail:
			set(&e.Thumbnail)
		case extraOriginal:
			set(&e.Original)
		case extraSource:
			set(&e.Source)
		}
	})
	return e
}

// Packed is what the column packed_info_data of the fourth generation says, and the
// column packed_info of message_resource.db.
type Packed struct {
	Image          string // stem of the picture's files, 32 hex digits: field 3.4 [B]
	Video          string // stem of the film's files: field 4.8 [B]
	Resource       string // stem in message_resource.db: field 2.1 [B]
	Thumbnail      string // a name "<32 hex>_t.dat" that some builds put in plain [B]
	Transcript     string // of a voice message: field 5.2 [C]
	TranscriptDone bool   // field 5.1 is 2 [C]
}

var thumbnail = regexp.MustCompile(`[0-9A-Fa-f]{32}_t\.dat`)

// ReadPacked reads packed_info_data or packed_info.
func ReadPacked(b []byte) Packed {
	var p Packed
	stem := func(in []byte, number protowire.Number, to *string) {
		fields(in, func(f field) {
			if f.number == number && isHex(f.bytes) {
				*to = string(f.bytes)
			}
		})
	}
	fields(b, func(f field) {
		switch f.number {
		case 2:
			stem(f.bytes, 1, &p.Resource)
		case 3:
			stem(f.bytes, 4, &p.Image)
		case 4:
			stem(f.bytes, 8, &p.Video)
		case 5:
			fields(f.bytes, func(f field) {
				switch f.number {
				case 1:
					p.TranscriptDone = f.value == 2
				case 2:
					p.Transcript = valid(f.bytes)
				}
			})
		}
	})
	p.Thumbnail = string(thumbnail.Find(b))
	return p
}

// maxMembers is more members than any room has; what goes beyond is no list of members.
const maxMembers = 100_000

// ReadMembers reads the members of a room: RoomData of the third generation, ext_buffer
// of chat_room in the fourth. Repeated field 1 = {1: username, 2: name in this room, 3:
// state, whose bits are not known, 4: inviter} [B].
func ReadMembers(b []byte) []record.Member {
	var members []record.Member
	fields(b, func(f field) {
		if f.number != 1 || f.bytes == nil || len(members) == maxMembers {
			return
		}
		var m record.Member
		fields(f.bytes, func(f field) {
			switch f.number {
			case 1:
				m.ID = valid(f.bytes)
			case 2:
				m.Name = valid(f.bytes)
			case 4:
				m.Inviter = valid(f.bytes)
			}
		})
		if m.ID != "" {
			members = append(members, m)
		}
	})
	return members
}

// maxLabels is more labels than a contact has.
const maxLabels = 1000

// ReadLabels reads the ids of a contact's labels, which are numbers, from extra_buffer of
// the fourth generation, field 30 [C]. Whether that is a list in text or numbers is not
// said anywhere, so both are read.
func ReadLabels(b []byte) []string {
	var ids []string
	fields(b, func(f field) {
		switch {
		case f.number != 30 || len(ids) >= maxLabels:
		case f.bytes == nil:
			ids = append(ids, strconv.FormatUint(f.value, 10))
		case strings.Trim(string(f.bytes), "0123456789, ") == "":
			ids = append(ids, strings.FieldsFunc(string(f.bytes), func(r rune) bool { return r == ',' || r == ' ' })...)
		}
	})
	return ids
}

// HasText says whether the message has a text field of just that text.
func HasText(b []byte, text string) (found bool) {
	fields(b, func(f field) {
		found = found || f.bytes != nil && string(f.bytes) == text
	})
	return found
}

// field is one field of a protobuf message. Bytes is nil unless it has a length.
type field struct {
	number protowire.Number
	value  uint64
	bytes  []byte
}

// fields calls do for each field of b, and stops where b is no protobuf any more.
func fields(b []byte, do func(field)) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
			if f.bytes == nil {
				f.bytes = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return
		}
		b = b[n:]
		if kind == protowire.VarintType || kind == protowire.BytesType {
			do(f)
		}
	}
}

// valid is b as text. Bytes that are no UTF-8 become U+FFFD, as in a record.
func valid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return len(b) == 32
}
