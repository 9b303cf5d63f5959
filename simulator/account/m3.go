package account

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tidemark/simulator/writer"
)

// m3 is WeChat 3.x on macOS. The files of one account have several sets of parameters.
type m3 struct{}

// The databases of an M3 account that are written to, relative to the account folder.
const (
	M3ContactFile = "Contact/wccontact_new2.db"
	M3GroupFile   = "Group/group_new.db"
	M3SessionFile = "Session/session_new.db"
	M3LinkFile    = "hldata.db"
	m3Marker      = "Account/account.data" // written last; its content is nobody's business
)

// friendRequests is built in. Nobody talks there, and a table is told by its contacts only.
const friendRequests = "fmessage"

// m3Version is the client's name for its form of data.
const m3Version = "2.0b4.0.9"

func (m3) dir(p Place) string {
	return filepath.Join(p.Root, "com.tencent.xinWeChat", m3Version, Hash(p.Name))
}
func (m3) databases(p Place) string { return p.Dir() }
func (m3) last() string             { return m3Marker }

func (m3) folders(p Place) []string {
	var dirs []string
	for _, dir := range []string{"Account", "Message/MessageTemp", "Sync", "Avatar"} {
		dirs = append(dirs, filepath.Join(p.Dir(), dir))
	}
	return dirs
}

func (m3) written() []string {
	files := []string{M3ContactFile, M3GroupFile, M3SessionFile}
	for n := range m3Files {
		files = append(files, m3MessageFile(n))
	}
	return files
}

// m3Files is how many files the conversations are spread over.
const m3Files = 10

func m3MessageFile(n int) string { return fmt.Sprintf("Message/msg_%d.db", n) }

// M3MessageFile is the file of a conversation. The rule is a guess: any will do, for a
// reader must look for the table in all of them.
func M3MessageFile(username string) string {
	h := Hash(username)
	return m3MessageFile(int(h[0]+h[1]) % m3Files)
}

// M3Table is the message table of a conversation.
func M3Table(username string) string { return "Chat_" + Hash(username) }

// M3MessageTable is the statements that create a conversation's table.
func M3MessageTable(table string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + `(mesLocalID INTEGER PRIMARY KEY AUTOINCREMENT, mesSvrID INTEGER, msgCreateTime INTEGER, msgContent TEXT,
			msgStatus INTEGER, msgImgStatus INTEGER, messageType INTEGER, mesDes INTEGER, msgSource TEXT, IntRes1 INTEGER, IntRes2 INTEGER, StrRes1 TEXT,
			StrRes2 TEXT, msgVoiceText TEXT, msgSeq INTEGER, CompressContent BLOB, ConBlob BLOB)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_svrid ON ` + table + `(mesSvrID)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_time ON ` + table + `(msgCreateTime)`,
		`CREATE TABLE IF NOT EXISTS ` + table + `_dels(mesLocalID INTEGER PRIMARY KEY, mesSvrID INTEGER, msgCreateTime INTEGER)`,
	}
}

func (m3) shard(int) file { return file{} }

const m3Person = `(m_nsUsrName TEXT PRIMARY KEY, m_uiConType INTEGER, nickname TEXT, m_nsFullPY TEXT, m_nsShortPY TEXT, m_nsRemark TEXT,
	m_nsAliasName TEXT, m_uiCertificationFlag INTEGER, m_nsHeadImgUrl TEXT, m_nsHeadHDImgUrl TEXT, m_nsChatRoomMemList TEXT,
	m_nsChatRoomAdminList TEXT, m_uiChatRoomStatus INTEGER, m_nsChatRoomDesc TEXT, m_nsLabelIDList TEXT, _packed_WCContactData BLOB)`

func (m3) files() []file {
	all := []file{
		{path: M3ContactFile, cipher: writer.Raw3, schema: []string{
			`CREATE TABLE IF NOT EXISTS WCContact` + m3Person,
			`CREATE TABLE IF NOT EXISTS WCContactLabel(m_uiLabelId INTEGER PRIMARY KEY, m_nsLabelName TEXT)`,
		}},
		{path: M3GroupFile, cipher: writer.Raw3, schema: []string{
			`CREATE TABLE IF NOT EXISTS GroupContact` + m3Person,
			`CREATE TABLE IF NOT EXISTS GroupMember` + m3Person,
		}},
		{path: M3SessionFile, cipher: writer.Raw3, schema: []string{
			`CREATE TABLE IF NOT EXISTS SessionAbstract(m_nsUserName TEXT PRIMARY KEY, m_uUnReadCount INTEGER, m_bShowUnReadAsRedDot INTEGER, m_bMarkUnread INTEGER,
				m_uLastTime INTEGER, strRes1 TEXT, strRes2 TEXT, intRes1 INTEGER, _packed_MMSessionInfo BLOB)`,
		}},
		// The mixed ones: a derived key and large pages, and none at all.
		{path: M3LinkFile, cipher: writer.Cipher3, schema: []string{
			`CREATE TABLE IF NOT EXISTS HlinkMediaRecord(mediaMd5 TEXT, mediaSize INTEGER, inodeNumber INTEGER, modifyTime INTEGER)`,
			`CREATE TABLE IF NOT EXISTS HlinkMediaDetail(localId INTEGER PRIMARY KEY AUTOINCREMENT, inodeNumber INTEGER, relativePath TEXT, fileName TEXT)`,
		}},
		{path: "KeyValue/KeyValue.db", cipher: writer.Plain, still: true, schema: []string{`CREATE TABLE IF NOT EXISTS KeyValueTable(key TEXT PRIMARY KEY, value BLOB)`}},
		{path: "Message/ftsmessage.db", cipher: writer.Cipher3, still: true, schema: []string{`CREATE TABLE IF NOT EXISTS fts_username_id(usernameid INTEGER PRIMARY KEY, UsrName TEXT)`}},
		{path: "Favorites/favorites.db", cipher: writer.Raw3, still: true, schema: []string{`CREATE TABLE IF NOT EXISTS FavoritesItem(localId INTEGER PRIMARY KEY, xml TEXT)`}},
	}
	for n := range m3Files {
		all = append(all, file{path: m3MessageFile(n), cipher: writer.Raw3, schema: []string{
			`CREATE TABLE IF NOT EXISTS Version(version INTEGER)`,
		}})
	}
	return all
}

func (m3) fill(a *Account, people []Person, rooms []Room, _ time.Time) error {
	insert := func(tx writer.Tx, table string, p Person, members, owner string) error {
		certified := 0
		if p.Official() {
			certified = 24
		}
		_, err := tx.Exec(`INSERT OR IGNORE INTO `+table+`(m_nsUsrName, m_uiConType, nickname, m_nsRemark, m_nsAliasName, m_uiCertificationFlag, m_nsChatRoomMemList,
			m_nsChatRoomAdminList) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`, p.Username, p.Type, p.Nick, p.Remark, p.Alias, certified, members, owner)
		return err
	}
	err := a.open[M3ContactFile].Update(func(tx writer.Tx) error {
		if err := insert(tx, "WCContact", Person{Username: friendRequests, Nick: "朋友推荐消息", Type: 1}, "", ""); err != nil {
			return err
		}
		for _, p := range people {
			if p.Type == 3 {
				continue
			}
			if err := insert(tx, "WCContact", p, "", ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.open[M3GroupFile].Update(func(tx writer.Tx) error {
		for _, p := range people {
			if err := insert(tx, "GroupMember", p, "", ""); err != nil {
				return err
			}
		}
		for _, room := range rooms {
			if err := insert(tx, "GroupContact", Person{Username: room.Username, Nick: room.Name, Type: 2}, room.memberList(), room.Owner); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m3) finish(a *Account) error { return os.WriteFile(a.Path(m3Marker), []byte("simulated"), 0o644) }

func (m3) load(a *Account) error {
	known := map[string]bool{a.Name: true, friendRequests: true}
	person := func(kind int) func(*sql.Rows) error {
		return func(r *sql.Rows) error {
			var p Person
			if err := r.Scan(&p.Username, &p.Nick, &p.Remark, &p.Alias, &p.Type); err != nil {
				return err
			}
			if !known[p.Username] {
				known[p.Username] = true
				p.Type = max(p.Type, kind)
				a.People = append(a.People, p)
			}
			return nil
		}
	}
	columns := `SELECT m_nsUsrName, nickname, m_nsRemark, m_nsAliasName, m_uiConType FROM `
	if err := each(a.open[M3ContactFile], person(1), columns+`WCContact ORDER BY 1`); err != nil {
		return err
	}
	groups := a.open[M3GroupFile]
	if err := each(groups, person(3), columns+`GroupMember ORDER BY 1`); err != nil {
		return err
	}
	return each(groups, func(r *sql.Rows) error {
		var room Room
		var members string
		if err := r.Scan(&room.Username, &room.Name, &room.Owner, &members); err != nil {
			return err
		}
		for _, m := range strings.Split(members, ";") {
			room.Members = append(room.Members, Member{Username: m})
		}
		a.Rooms = append(a.Rooms, room)
		return nil
	}, `SELECT m_nsUsrName, nickname, m_nsChatRoomAdminList, m_nsChatRoomMemList FROM GroupContact ORDER BY 1`)
}

// memberList is the members of a room, as GroupContact has them.
func (room Room) memberList() string {
	var names []string
	for _, m := range room.Members {
		names = append(names, m.Username)
	}
	return strings.Join(names, ";")
}

// changePerson: where this generation keeps labels is not known.
func (m3) changePerson(a *Account, p Person) error {
	return a.open[M3ContactFile].Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`UPDATE WCContact SET m_nsRemark = ? WHERE m_nsUsrName = ?`, p.Remark, p.Username)
		return err
	})
}

func (m3) changeRoom(a *Account, r Room) error {
	return a.open[M3GroupFile].Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`UPDATE GroupContact SET m_nsChatRoomMemList = ? WHERE m_nsUsrName = ?`, r.memberList(), r.Username)
		return err
	})
}
