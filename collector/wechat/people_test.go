package wechat_test

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// view runs fn on a database that the statements made, plain: what is in it is the
// matter here, not how it is encrypted.
func view(t *testing.T, statements []string, fn func(*sqlcipher.View) error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test.db")
	conn, err := sqlite3.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if err := conn.Exec(s); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlcipher.Open(name, sqlcipher.Options{Params: []sqlcipher.Params{sqlcipher.Plain}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// read reads a database of people by its file name.
func read(t *testing.T, p *wechat.People, file string, statements ...string) {
	t.Helper()
	view(t, statements, func(v *sqlcipher.View) error { return p.Read(file, v) })
}

// message is a protobuf message: pairs of a field number and a text or a number.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := uint64(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = append(binary.AppendUvarint(binary.AppendUvarint(b, n<<3|2), uint64(len(v))), v...)
		case int:
			b = binary.AppendUvarint(binary.AppendUvarint(b, n<<3), uint64(v))
		}
	}
	return b
}

func hexBlob(b []byte) string {
	const digits = "0123456789abcdef"
	out := []byte("x'")
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(append(out, '\''))
}

// members is a room's member blob.
func members() []byte {
	return message(
		1, string(message(1, "wxid_a", 2, "Ann (sales)", 3, 1, 4, "wxid_owner")),
		1, string(message(1, "wxid_b", 3, 1)), 5, 500)
}

var roomMembers = []record.Member{{ID: "wxid_a", Name: "Ann (sales)", Inviter: "wxid_owner"}, {ID: "wxid_b"}}

func wantContact(t *testing.T, p *wechat.People, want record.Contact) {
	t.Helper()
	if got := p.Contact(want.ID); got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func wantRoom(t *testing.T, p *wechat.People, want record.Room) {
	t.Helper()
	if got := p.Room(want.ID); got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// contact.db of 4.x: people of both tables, labels by name, a WeCom contact's company,
// rooms with members from the blob and from the link table, announcements.
func TestPeopleV4(t *testing.T) {
	columns := "(id INTEGER PRIMARY KEY, username TEXT, alias TEXT, delete_flag INTEGER, remark TEXT, nick_name TEXT, extra_buffer BLOB)"
	p := wechat.NewPeople()
	read(t, p, "contact/contact.db",
		"CREATE TABLE contact"+columns, "CREATE TABLE stranger"+columns,
		"CREATE TABLE contact_label(label_id_ INTEGER PRIMARY KEY, label_name_ TEXT)",
		"CREATE TABLE openim_wording(lang_id INTEGER, app_id TEXT, wording_id TEXT, wording TEXT)",
		"CREATE TABLE chat_room(id INTEGER PRIMARY KEY, username TEXT, owner TEXT, ext_buffer BLOB)",
		"CREATE TABLE chatroom_member(room_id INTEGER, member_id INTEGER)",
		"CREATE TABLE chat_room_info_detail(room_id_ INTEGER, username_ TEXT, announcement_ TEXT)",
		"INSERT INTO contact_label VALUES(1, 'VIP'), (2, 'family')",
		"INSERT INTO openim_wording VALUES(2, '3552', '77001', 'Harbour Freight')",
		"INSERT INTO contact VALUES(1, 'wxid_a', 'ann', 0, 'Ann from HR', 'Ann', "+hexBlob(message(2, 0, 30, "2,1,9"))+")",
		"INSERT INTO contact VALUES(2, 'wxid_gone', '', 1, '', 'Gone', NULL)",
		"INSERT INTO contact VALUES(3, '25@openim', '', 0, '', 'Li', "+hexBlob(message(4, `{"a@im.wxwork":"77001"}`))+")",
		"INSERT INTO contact VALUES(4, '7@chatroom', '', 0, '', 'Team', NULL)",
		"INSERT INTO stranger VALUES(9, 'wxid_b', 'bob', 0, '', '', NULL)",
		"INSERT INTO chat_room VALUES(4, '7@chatroom', 'wxid_owner', "+hexBlob(members())+")",
		"INSERT INTO chatroom_member VALUES(4, 1), (4, 9), (4, 2)",
		"INSERT INTO chat_room_info_detail VALUES(4, '7@chatroom', 'No calls on Friday')",
	)
	wantContact(t, p, record.Contact{ID: "wxid_a", Kind: "direct", Nick: "Ann", Remark: "Ann from HR", Alias: "ann", Labels: []string{"9", "VIP", "family"}})
	wantContact(t, p, record.Contact{ID: "wxid_gone", Kind: "direct", Nick: "Gone", Deleted: true})
	wantContact(t, p, record.Contact{ID: "25@openim", Kind: "wecom", Nick: "Li", Company: "Harbour Freight"})
	wantContact(t, p, record.Contact{ID: "wxid_b", Kind: "direct", Alias: "bob"})
	wantRoom(t, p, record.Room{ID: "7@chatroom", Name: "Team", Owner: "wxid_owner", Announcement: "No calls on Friday",
		Members: append(append([]record.Member{}, roomMembers...), record.Member{ID: "wxid_gone"})})

	for _, c := range []struct{ conversation, username, want string }{
		{"7@chatroom", "wxid_a", "Ann (sales)"}, // the room's name first
		{"wxid_a", "wxid_a", "Ann from HR"},     // then remark
		{"7@chatroom", "wxid_gone", "Gone"},     // nickname
		{"7@chatroom", "wxid_b", "bob"},         // alias
		{"7@chatroom", "wxid_nobody", ""},       // the username itself is in the record anyway
		{"", "7@chatroom", "Team"},
	} {
		if got := p.NameIn(c.conversation, c.username); got != c.want {
			t.Errorf("%s in %s is %q, want %q", c.username, c.conversation, got, c.want)
		}
	}
}

// MicroMsg.db of Windows 3.x: the member lists of two characters' separator, and the
// blob that has more, side by side.
func TestPeopleW3(t *testing.T) {
	p := wechat.NewPeople()
	read(t, p, "MicroMsg.db",
		"CREATE TABLE Contact(UserName TEXT PRIMARY KEY, Alias TEXT, DelFlag INTEGER, Remark TEXT, NickName TEXT, LabelIDList TEXT)",
		"CREATE TABLE ContactLabel(LabelId INTEGER PRIMARY KEY, LabelName TEXT)",
		"CREATE TABLE ChatRoom(ChatRoomName TEXT PRIMARY KEY, UserNameList TEXT, DisplayNameList TEXT, Owner INTEGER, Reserved2 TEXT, RoomData BLOB)",
		"CREATE TABLE ChatRoomInfo(ChatRoomName TEXT PRIMARY KEY, Announcement TEXT)",
		"INSERT INTO ContactLabel VALUES(3, 'client')",
		"INSERT INTO Contact VALUES('wxid_a', 'ann', 0, '', 'Ann', '3,'), ('7@chatroom', '', 0, '', 'Team', '')",
		"INSERT INTO ChatRoom VALUES('7@chatroom', 'wxid_a^Gwxid_c', 'Ann^GCarl at work', 0, 'wxid_owner', "+hexBlob(members())+")",
		"INSERT INTO ChatRoom VALUES('8@chatroom', 'wxid_a^Gwxid_c', 'Ann^GCarl at work', 0, '', NULL)",
		"INSERT INTO ChatRoomInfo VALUES('7@chatroom', 'Be kind')",
	)
	wantContact(t, p, record.Contact{ID: "wxid_a", Kind: "direct", Nick: "Ann", Alias: "ann", Labels: []string{"client"}})
	wantRoom(t, p, record.Room{ID: "7@chatroom", Name: "Team", Owner: "wxid_owner", Announcement: "Be kind",
		Members: append(append([]record.Member{}, roomMembers...), record.Member{ID: "wxid_c", Name: "Carl at work"})})
	wantRoom(t, p, record.Room{ID: "8@chatroom", Members: []record.Member{{ID: "wxid_a"}, {ID: "wxid_c", Name: "Carl at work"}}})
}

// The two databases of macOS 3.x.
func TestPeopleM3(t *testing.T) {
	columns := "(m_nsUsrName TEXT PRIMARY KEY, nickname TEXT, m_nsRemark TEXT, m_nsAliasName TEXT"
	p := wechat.NewPeople()
	read(t, p, "Contact/wccontact_new2.db", "CREATE TABLE WCContact"+columns+")",
		"INSERT INTO WCContact VALUES('wxid_a', 'Ann', 'Ann from HR', 'ann')")
	read(t, p, "Group/group_new.db",
		"CREATE TABLE GroupContact"+columns+", m_nsChatRoomMemList TEXT, m_nsChatRoomAdminList TEXT)",
		"CREATE TABLE GroupMember"+columns+")",
		"INSERT INTO GroupContact VALUES('7@chatroom', 'Team', '', '', 'wxid_a;wxid_b;', 'wxid_b')",
		"INSERT INTO GroupMember VALUES('wxid_a', 'other', '', ''), ('wxid_b', 'Bob', '', '')")
	wantContact(t, p, record.Contact{ID: "wxid_a", Kind: "direct", Nick: "Ann", Remark: "Ann from HR", Alias: "ann"})
	wantRoom(t, p, record.Room{ID: "7@chatroom", Name: "Team", Owner: "wxid_b", Members: []record.Member{{ID: "wxid_a"}, {ID: "wxid_b"}}})
	if got := p.Name("wxid_b"); got != "Bob" {
		t.Errorf("a member who is no contact is %q", got)
	}
}

// A database that lacks tables or columns gives what it has.
func TestPeopleTolerant(t *testing.T) {
	for _, file := range []string{"contact.db", "MicroMsg.db", "OpenIMContact.db", "wccontact_new2.db", "group_new.db", "other.db"} {
		p := wechat.NewPeople()
		read(t, p, file, "CREATE TABLE other(a)")
		if p.Len() != 0 {
			t.Errorf("%s gave %d people", file, p.Len())
		}
	}
	p := wechat.NewPeople()
	read(t, p, "contact.db", "CREATE TABLE contact(username TEXT, nick_name TEXT)", "INSERT INTO contact VALUES('wxid_a', 'Ann'), (NULL, 'x')")
	wantContact(t, p, record.Contact{ID: "wxid_a", Kind: "direct", Nick: "Ann"})
}
