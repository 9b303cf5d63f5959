package wechat

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"tidemark/record"
)

// maxMembers is more members than any room has; what goes beyond is not a member list.
const maxMembers = 100_000

// readMembers reads the protobuf that lists a room's members: MicroMsg's RoomData and
// contact.db's ext_buffer. Repeated field 1 is {1 username, 2 name in this room, 3
// state, 4 inviter} [B]. What does not parse ends the list; it never fails.
func readMembers(b []byte) []record.Member {
	var out []record.Member
	eachField(b, func(number protowire.Number, value []byte) bool {
		if number != 1 {
			return true
		}
		var m record.Member
		eachField(value, func(number protowire.Number, value []byte) bool {
			if !utf8.Valid(value) {
				return true
			}
			switch number {
			case 1:
				m.ID = string(value)
			case 2:
				m.Name = string(value)
			case 4:
				m.Inviter = string(value)
			}
			return true
		})
		if m.ID != "" {
			out = append(out, m)
		}
		return len(out) < maxMembers
	})
	return out
}

// labelIDs reads the label ids in contact.db's extra_buffer: field 30 [C], a text of
// numbers between commas.
func labelIDs(b []byte) []string {
	var out []string
	eachField(b, func(number protowire.Number, value []byte) bool {
		if number == 30 && strings.Trim(string(value), "0123456789, ") == "" {
			out = append(out, parts(string(value), ",")...)
		}
		return len(out) < maxLabels
	})
	return out
}

const maxLabels = 1000

// companyOf finds a WeCom contact's company: some text in extra_buffer names the id of
// a wording, as a member of a JSON object [C]. wordings are names by id.
func companyOf(b []byte, wordings map[string]string) string {
	best := ""
	for id := range wordings {
		if len(id) > len(best) && (bytes.Contains(b, []byte(`"`+id+`"`)) || hasText(b, id)) {
			best = id
		}
	}
	return wordings[best]
}

// hasText says whether a text field of the message is the id.
func hasText(b []byte, id string) (found bool) {
	eachField(b, func(_ protowire.Number, value []byte) bool {
		found = string(value) == id
		return !found
	})
	return found
}

// eachField calls fn for each length-delimited field of a protobuf message, until it
// returns false or the bytes are none any more.
func eachField(b []byte, fn func(protowire.Number, []byte) bool) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 || !fn(number, value) {
			return
		}
		b = b[n:]
	}
}
