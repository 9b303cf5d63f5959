package wechat

import (
	"regexp"

	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// w3 is WeChat 3.x on Windows [A; PublicMsg and OpenIMMsg B]. All conversations of a
// database stand in one table.
var w3 = &Schema{
	Layout:  discover.W3,
	Decoder: "wechat3win/1",
	Params:  sqlcipher.ParamsFor(string(discover.W3)),
	Messages: []Folder{
		{"Multi", regexp.MustCompile(`^MSG[0-9]+\.db$`)},
		{"", regexp.MustCompile(`^(PublicMsg|OpenIMMsg)\.db$`)},
	},
	Contacts: []string{"MicroMsg.db", "OpenIMContact.db"},
	PerRow:   true,

	columns: [columnCount]string{
		colLocalID: "localId", colServerID: "MsgSvrID", colType: "Type", colSubtype: "SubType", colOrder: "Sequence",
		colSender: "IsSender", colCreated: "CreateTime", colContent: "StrContent", colTalker: "StrTalker", colTalkerID: "TalkerId",
		colDisplay: "DisplayContent", colCompressed: "CompressContent", colExtra: "BytesExtra",
	},
	known: []string{
		"StatusEx", "FlagEx", "Status", "MsgServerSeq", "MsgSequence", "Reserved0", "Reserved1", "Reserved2", "Reserved3",
		"Reserved4", "Reserved5", "Reserved6", "BytesTrans",
	},
	table: func(name string) (string, bool) {
		return name, name == "MSG" || name == "PublicMsg" || name == "OpenIMMsg"
	},
	tables: []string{"Name2ID", "DBInfo"},
	names:  "Name2ID",
	nameOf: "UsrName",

	sender: w3Sender,
	native: func(d *Rows, row record.Row) record.Native {
		return record.Native{Type: d.int(row, colType), Subtype: d.int(row, colSubtype)}
	},
}

// w3Sender goes by IsSender; in a room a received row's sender stands in BytesExtra,
// elsewhere it is the peer [A].
func w3Sender(d *Rows, row record.Row, body []byte) (string, []byte) {
	switch {
	case d.int(row, colSender) == 1:
		return d.Owner, body
	case d.Conversation.Kind == "room":
		return d.extra.Sender, body
	case d.Conversation.Kind == "":
		return "", body // the row does not say whose it is
	}
	return d.Conversation.ID, body
}
