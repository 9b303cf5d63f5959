package wechat

import (
	"bytes"
	"regexp"
	"strings"

	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// m3 is WeChat 3.x on macOS [A; groups and sessions B].
var m3 = &Schema{
	Layout:   discover.M3,
	Decoder:  "wechat3mac/1",
	Params:   sqlcipher.ParamsFor(string(discover.M3)),
	Messages: []Folder{{"Message", regexp.MustCompile(`^msg_[0-9]+\.db$`)}},
	Contacts: []string{"Contact/wccontact_new2.db", "Group/group_new.db"},
	Sessions: []string{"Session/session_new.db"},

	columns: [columnCount]string{
		colLocalID: "mesLocalID", colServerID: "mesSvrID", colType: "messageType", colOrder: "msgSeq", colSender: "mesDes",
		colCreated: "msgCreateTime", colContent: "msgContent", colSource: "msgSource", colVoiceText: "msgVoiceText",
		colCompressed: "CompressContent",
	},
	known: []string{
		"msgStatus", "msgImgStatus", "IntRes1", "IntRes2", "StrRes1", "StrRes2", "ConBlob",
	},
	tables: []string{"Version"},
	table: func(name string) (string, bool) {
		hash, ok := hashed(name, "Chat_")
		return hash, ok && !strings.HasSuffix(hash, "_dels") // marks of deletion, no messages [B]
	},
	sessions: []nameQuery{{"SessionAbstract", "m_nsUserName"}},

	sender: m3Sender,
	native: func(d *Rows, row record.Row) record.Native { return record.Native{Type: d.int(row, colType)} },
}

// m3Sender goes by mesDes: 0 was sent, 1 received [A]. There is no table of names; a
// received row in a room begins with its sender, and notices have none.
func m3Sender(d *Rows, row record.Row, body []byte) (string, []byte) {
	switch {
	case d.int(row, colSender) == 0:
		return d.Owner, body
	case d.Conversation.Kind == "":
		return "", body // whose table it is, is not known
	case d.Conversation.Kind != "room":
		return d.Conversation.ID, body
	}
	prefix, rest, ok := bytes.Cut(body, []byte(":\n"))
	if !ok || !usernameShaped(prefix) {
		return "", body
	}
	return string(prefix), rest
}

// maxUsername is longer than any username seen.
const maxUsername = 128

// usernameShaped says whether b could be a username: letters, digits and the signs
// that stand in usernames.
func usernameShaped(b []byte) bool {
	if len(b) == 0 || len(b) > maxUsername {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '@', c == '.':
		default:
			return false
		}
	}
	return true
}
