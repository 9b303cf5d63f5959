package wechat

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tidemark/record"
)

// Chat hashes as published in several independent sources.
func TestHash(t *testing.T) {
	for username, want := range map[string]string{
		"filehelper":           "9e20f478899dc29eb19741386f9343c8",
		"weixin":               "c196266f837d14e0b693f961bee37b66",
		"wxid_example":         "1aa88f1d7aab95ef6f25f46053432add",
		"12345678901@chatroom": "e05048ca3927c5caf689f54bf57faed0",
	} {
		if got := Hash(username); got != want {
			t.Errorf("%s is %s, want %s", username, got, want)
		}
	}
}

func TestConversationKind(t *testing.T) {
	for username, want := range map[string]string{
		"123@chatroom": "room", "gh_3dfda90e39d6": "official", "2598498@openim": "wecom", "x@kefu.openim": "wecom",
		"filehelper": "builtin", "wxid_a": "direct", "old_custom_id": "direct", UnresolvedPrefix + "00": "",
	} {
		if got := ConversationKind(username); got != want {
			t.Errorf("%s is %q, want %q", username, got, want)
		}
	}
}

func text(s string) record.Value { return record.Value{Class: record.Text, Bytes: []byte(s)} }
func bin(b []byte) record.Value  { return record.Value{Class: record.Blob, Bytes: b} }
func num(n int64) record.Value   { return record.Value{Class: record.Integer, Int: n} }

func packed(s string) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll([]byte(s), nil)
}

func row(localType, sender int64, content, marker record.Value) record.Row {
	return record.Row{
		{Name: "local_id", Value: num(7)}, {Name: "server_id", Value: num(99)}, {Name: "local_type", Value: num(localType)},
		{Name: "sort_seq", Value: num(1763884799001)}, {Name: "real_sender_id", Value: num(sender)},
		{Name: "create_time", Value: num(1763884799)}, {Name: "message_content", Value: content},
		{Name: "WCDB_CT_message_content", Value: marker},
	}
}

func rows(room bool) *Rows {
	c := &record.Conversation{ID: "wxid_peer", Kind: "direct"}
	if room {
		c = &record.Conversation{ID: "1@chatroom", Kind: "room"}
	}
	return &Rows{
		Schema: v4, Owner: "wxid_me", Conversation: c, Names: Names{1: "wxid_me", 2: "wxid_peer", 3: "note"},
		Name: func(u string) string { return map[string]string{"wxid_peer": "Peer"}[u] },
	}
}

// What a row means, case by case; each name says which rule it holds.
func TestDecode(t *testing.T) {
	null := record.Value{}
	cases := map[string]struct {
		room               bool
		row                record.Row
		kind, sender, text string
		self               bool
		unreadable         bool
	}{
		"text from the peer":                          {row: row(1, 2, text("hi"), null), kind: "text", sender: "wxid_peer", text: "hi"},
		"own text":                                    {row: row(1, 1, text("hi"), num(0)), kind: "text", sender: "wxid_me", text: "hi", self: true},
		"empty text":                                  {row: row(1, 2, text(""), null), kind: "text", sender: "wxid_peer"},
		"a direct chat has no sender prefix":          {row: row(1, 2, text("wxid_peer:\nhi"), null), kind: "text", sender: "wxid_peer", text: "wxid_peer:\nhi"},
		"a room's row begins with its sender":         {room: true, row: row(1, 2, text("wxid_peer:\nhi\nyou"), null), kind: "text", sender: "wxid_peer", text: "hi\nyou"},
		"own rows in a room do not":                   {room: true, row: row(1, 1, text("wxid_me:\nhi"), null), kind: "text", sender: "wxid_me", text: "wxid_me:\nhi", self: true},
		"a first line of one's own stays":             {room: true, row: row(1, 2, text("note:\nbuy milk"), null), kind: "text", sender: "wxid_peer", text: "note:\nbuy milk"},
		"an unknown sender is found in the prefix":    {room: true, row: row(1, 0, text("wxid_peer:\nhi"), null), kind: "text", sender: "wxid_peer", text: "hi"},
		"a prefix nobody bears is text":               {room: true, row: row(1, 0, text("stranger:\nhi"), null), kind: "text", text: "stranger:\nhi"},
		"an unknown sender is not guessed":            {row: row(1, 55, text("hi"), null), kind: "text", text: "hi"},
		"compressed, as marked":                       {row: row(1, 2, bin(packed("long 文字")), num(4)), kind: "text", sender: "wxid_peer", text: "long 文字"},
		"compressed, the marker lost":                 {row: row(1, 2, bin(packed("hi")), null), kind: "text", sender: "wxid_peer", text: "hi"},
		"compressed in a room":                        {room: true, row: row(1, 2, bin(packed("wxid_peer:\nhi")), num(4)), kind: "text", sender: "wxid_peer", text: "hi"},
		"marked as compressed and is not":             {row: row(1, 2, text("hi"), num(4)), kind: "text", sender: "wxid_peer", unreadable: true},
		"compressed with the client's own dictionary": {row: row(1, 2, bin([]byte{0x28, 0xb5, 0x2f, 0xfd, 3}), num(2)), kind: "text", sender: "wxid_peer", unreadable: true},
		"a torn zstd frame":                           {row: row(1, 2, bin(packed("hello hello hello")[:9]), num(4)), kind: "text", sender: "wxid_peer", unreadable: true},
		"not UTF-8":                                   {row: row(1, 2, text("a\xff"), null), kind: "text", sender: "wxid_peer", unreadable: true},
		"another type keeps to its row":               {row: row(99, 2, text("<msg/>"), null), kind: "unknown", sender: "wxid_peer"},
		"an app message's sub type is the high half":  {row: row(244813135921, 2, text("<msg/>"), null), kind: "quote", sender: "wxid_peer", unreadable: true},
		"a type with a sub type in the high half":     {row: row(5<<32|1, 2, text("hi"), null), kind: "text", sender: "wxid_peer", text: "hi"},
		"a notice":              {row: row(10000, 2, text("Peer joined"), null), kind: "system", sender: "wxid_peer", text: "Peer joined"},
		"a recall that says so": {row: row(10002, 2, text(`<sysmsg type="revokemsg"><revokemsg><replacemsg>gone</replacemsg></revokemsg></sysmsg>`), null), kind: "recall", sender: "wxid_peer", text: "gone"},
	}
	for name, c := range cases {
		var r record.Record
		m := rows(c.room).Decode(c.row, &r)
		got, sender, self := "", "", false
		if r.Text != nil {
			got = *r.Text
		}
		if r.Sender != nil {
			sender, self = r.Sender.ID, r.Sender.Self
		}
		if r.Type != c.kind || got != c.text || sender != c.sender || self != c.self || (r.Unreadable != "") != c.unreadable {
			t.Errorf("%s: %s from %q (self %t): %q, unreadable %q", name, r.Type, sender, self, got, r.Unreadable)
		}
		if m.LocalID != 7 || r.LocalID != "7" || r.ServerID != "99" || r.Order != "1763884799001" || r.SentAt.Unix() != 1763884799 {
			t.Errorf("%s: ids and times %+v", name, r)
		}
		if c.unreadable && r.Text != nil {
			t.Errorf("%s: unreadable and yet with a text", name)
		}
	}
}

// Columns come in any order and some may be absent; what is unknown is drift.
func TestColumns(t *testing.T) {
	var r record.Record
	d := rows(false)
	m := d.Decode(record.Row{{Name: "message_content", Value: text("hi")}, {Name: "local_id", Value: num(3)}}, &r)
	if m.LocalID != 3 || r.ServerID != "" || r.Order != "" || !r.SentAt.IsZero() || r.Sender != nil {
		t.Errorf("%+v", r)
	}
	odd := (&Table{schema: v4, Columns: []string{"local_id", "server_id", "local_type", "sort_seq", "real_sender_id", "create_time", "message_content", "source", "packed_info_data", "new_column"}}).Unfamiliar()
	if strings.Join(odd, " ") != "-WCDB_CT_message_content +new_column" {
		t.Errorf("unfamiliar: %v", odd)
	}
	if (&Table{schema: v4, Columns: []string{"id"}}).Usable() {
		t.Error("a table without local_id is taken for one of ours")
	}
}

// Whatever stands in a row, decoding it gives a record that is one line of valid
// JSON, and never a panic or more memory than the limit.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("wxid_peer:\nhi"), uint8(3), int64(4), int64(1), int64(2), true)
	f.Add(packed("wxid_peer:\nhi"), uint8(4), int64(4), int64(1), int64(2), true)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd}, uint8(4), int64(2), int64(10002), int64(-1), false)
	f.Fuzz(func(t *testing.T, content []byte, class uint8, marker, localType, sender int64, room bool) {
		v := record.Value{Class: record.Class(class % 5), Bytes: content, Int: localType}
		source := row(localType, sender, v, num(marker))
		r := record.Record{
			V: 1, Kind: record.KindMessage, ID: record.MessageID("a", "b", "c"), Device: "d", Account: &record.Party{ID: "a"},
			Source: &record.Source{File: "f", Row: source},
		}
		rows(room).Decode(source, &r)
		if line := r.AppendJSON(nil); !json.Valid(line) || bytes.ContainsRune(line, '\n') {
			t.Fatalf("not a line of JSON: %s", line)
		}
	})
}
