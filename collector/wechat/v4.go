package wechat

import (
	"bytes"
	"regexp"

	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// v4 is Weixin 4.x on Windows, macOS and Linux [A; sessions B].
var v4 = &Schema{
	Layout:   discover.V4,
	Decoder:  "weixin4/2",
	Params:   sqlcipher.ParamsFor(string(discover.V4)),
	Messages: []Folder{{"message", regexp.MustCompile(`^(biz_)?message_[0-9]+\.db$`)}},
	Contacts: []string{"contact/contact.db"},
	Sessions: []string{"session/session.db"},

	columns: [columnCount]string{
		colLocalID: "local_id", colServerID: "server_id", colType: "local_type", colOrder: "sort_seq",
		colSender: "real_sender_id", colCreated: "create_time", colContent: "message_content",
		colMarker: "WCDB_CT_message_content", colSource: "source", colSourceMarker: "WCDB_CT_source", colPacked: "packed_info_data",
	},
	known: []string{
		"status", "upload_status", "download_status", "server_seq", "origin_source", "compress_content",
	},
	table: func(name string) (string, bool) { return hashed(name, "Msg_") },
	tables: []string{
		"Name2Id", "TimeStamp", "DeleteInfo", "DeleteResInfo", "HistorySysMsgInfo", "HistoryAddMsgInfo", "SendInfo",
	},
	names:    "Name2Id",
	nameOf:   "user_name",
	sessions: []nameQuery{{"SessionTable", "username"}, {"SessionDeleteTable", "username"}},

	sender: v4Sender,
	native: func(d *Rows, row record.Row) record.Native {
		n := d.int(row, colType)
		return record.Native{Type: n & 0xffffffff, Subtype: n >> 32}
	},
}

// v4Sender takes the "username:\n" off a room's row that somebody else sent. Own
// rows and a user's own "note:\n" keep their first line: the prefix counts only when
// it is the sender that the row names, or the row names none and it is a username
// of this shard [A, I].
func v4Sender(d *Rows, row record.Row, body []byte) (string, []byte) {
	sender := d.Names[d.int(row, colSender)]
	if d.Conversation.Kind != "room" || sender == d.Owner && sender != "" {
		return sender, body
	}
	prefix, rest, ok := bytes.Cut(body, []byte(":\n"))
	if !ok || len(prefix) == 0 || len(prefix) > maxUsername {
		return sender, body
	}
	if sender != "" {
		if string(prefix) == sender {
			return sender, rest
		}
		return sender, body
	}
	for _, known := range d.Names {
		if known == string(prefix) {
			return known, rest
		}
	}
	return sender, body
}
