// Package wechat knows the schemas of WeChat's databases and turns their rows into
// records. It reads through snapshots it is given and keeps no state of its own.
//
// A [Schema] describes a generation of the client: Weixin 4.x (v4), WeChat 3.x on
// Windows (w3) and on macOS (m3). Columns are read from the database's own schema, never
// assumed: one that is absent is absent from the record, one that is unknown is kept
// in the raw row. The facts and how sure they are stand in docs/coverage.md.
//
// Row ids of name tables and local ids mean something only inside one file, so nothing
// here outlives the file it was read from.
package wechat

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Hash is the name under which a conversation's table stands: the MD5 of its
// username in lower-case hex.
func Hash(username string) string {
	sum := md5.Sum([]byte(username))
	return hex.EncodeToString(sum[:])
}

// ConversationKind tells what a username stands for, by its shape.
func ConversationKind(username string) string {
	switch {
	case strings.HasSuffix(username, "@chatroom"):
		return "room"
	case strings.HasPrefix(username, "gh_"):
		return "official"
	case strings.HasSuffix(username, "@openim"), strings.HasSuffix(username, "@kefu.openim"):
		return "wecom"
	case builtin[username]:
		return "builtin"
	case strings.HasPrefix(username, UnresolvedPrefix), strings.HasPrefix(username, UnresolvedTalker):
		return ""
	default:
		return "direct"
	}
}

// What the id of a conversation begins with whose username is not known.
const (
	UnresolvedPrefix = "hash:"   // the hash in the table's name follows
	UnresolvedTalker = "talker:" // the number of a name that the database lacks follows
)

var builtin = map[string]bool{
	"filehelper": true, "weixin": true, "newsapp": true, "fmessage": true, "medianote": true, "notifymessage": true,
	"floatbottle": true, "qmessage": true, "qqmail": true, "brandsessionholder": true, "@placeholder_foldgroup": true,
}
