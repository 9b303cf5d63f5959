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

// w3 is WeChat 3.x on Windows.
type w3 struct{}

// The databases of a W3 account that are written to, relative to its folder Msg.
const (
	W3ContactFile = "MicroMsg.db"
	W3PublicFile  = "PublicMsg.db"     // what official accounts send
	W3OpenIMFile  = "OpenIMMsg.db"     // chats with WeCom contacts
	W3OpenIMNames = "OpenIMContact.db" // those contacts
	W3ImageLinks  = "HardLinkImage.db"
	W3VideoLinks  = "HardLinkVideo.db"
	W3FileLinks   = "HardLinkFile.db"
	w3Marker      = "../config/AccInfo.dat" // written last; its content is nobody's business
)

func (w3) dir(p Place) string       { return filepath.Join(p.Root, p.Name) }
func (w3) databases(p Place) string { return filepath.Join(p.Dir(), "Msg") }
func (w3) last() string             { return w3Marker }

func (w3) folders(p Place) []string {
	var dirs []string
	for _, dir := range []string{"All Users/config", "Applet", "WMPF"} { // not accounts
		dirs = append(dirs, filepath.Join(p.Root, dir))
	}
	for _, dir := range []string{"config", "FileStorage/MsgAttach", "FileStorage/Video", "FileStorage/File", "FileStorage/Cache"} {
		dirs = append(dirs, filepath.Join(p.Dir(), dir))
	}
	return dirs
}

func (w3) written() []string { return []string{W3ContactFile, "Multi/MSG0.db"} }

func (w3) shard(n int) file {
	return file{path: fmt.Sprintf("Multi/MSG%d.db", n), cipher: writer.Cipher3, schema: w3MessageSchema("MSG")}
}

// W3Media is the database that keeps the voices of a message shard.
func W3Media(shard string) string { return strings.Replace(shard, "/MSG", "/MediaMSG", 1) }

// MessageColumns of W3, in the order of the table.
func w3MessageSchema(table string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + table + `(localId INTEGER PRIMARY KEY AUTOINCREMENT, TalkerId INT DEFAULT 0, MsgSvrID INT, Type INT,
			SubType INT, IsSender INT, CreateTime INT, Sequence INT DEFAULT 0, StatusEx INT DEFAULT 0, FlagEx INT, Status INT,
			MsgServerSeq INT, MsgSequence INT, StrTalker TEXT, StrContent TEXT, DisplayContent TEXT, Reserved0 INT DEFAULT 0,
			Reserved1 INT DEFAULT 0, Reserved2 INT DEFAULT 0, Reserved3 INT DEFAULT 0, Reserved4 TEXT, Reserved5 TEXT,
			Reserved6 TEXT, CompressContent BLOB, BytesExtra BLOB, BytesTrans BLOB)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_IDX_SVRID ON ` + table + `(MsgSvrID)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_IDX_TALKER ON ` + table + `(StrTalker, Sequence)`,
		`CREATE TABLE IF NOT EXISTS Name2ID(UsrName TEXT PRIMARY KEY)`,
		`CREATE TABLE IF NOT EXISTS DBInfo(tableIndex INTEGER PRIMARY KEY, tableVersion INTEGER, tableDesc TEXT)`,
	}
}

// w3Links is the index of one kind of media.
func w3Links(kind string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS HardLink` + kind + `Attribute(Md5Hash INTEGER, Md5 BLOB, FileName TEXT, ModifyTime INTEGER, DirID1 INTEGER, DirID2 INTEGER)`,
		`CREATE TABLE IF NOT EXISTS HardLink` + kind + `ID(DirId INTEGER PRIMARY KEY AUTOINCREMENT, Dir TEXT UNIQUE)`,
	}
}

func (w w3) files() []file {
	media := []string{`CREATE TABLE IF NOT EXISTS Media(Key TEXT, Reserved0 INT, Buf BLOB, Reserved1 INT, Reserved2 TEXT)`}
	all := []file{
		w.shard(0),
		{path: "Multi/MediaMSG0.db", schema: media},
		{path: W3ContactFile, schema: []string{
			`CREATE TABLE IF NOT EXISTS Contact(UserName TEXT PRIMARY KEY, Alias TEXT, EncryptUserName TEXT, DelFlag INTEGER DEFAULT 0, Type INTEGER DEFAULT 0,
				VerifyFlag INTEGER DEFAULT 0, Reserved1 INTEGER DEFAULT 0, Reserved2 INTEGER DEFAULT 0, Reserved3 TEXT, Reserved4 TEXT, Remark TEXT, NickName TEXT,
				LabelIDList TEXT, DomainList TEXT, ChatRoomType INT, PYInitial TEXT, QuanPin TEXT, RemarkPYInitial TEXT, RemarkQuanPin TEXT,
				BigHeadImgUrl TEXT, SmallHeadImgUrl TEXT, HeadImgMd5 TEXT, ChatRoomNotify INTEGER DEFAULT 0, Reserved5 INTEGER DEFAULT 0,
				Reserved6 TEXT, Reserved7 TEXT, ExtraBuf BLOB)`,
			`CREATE TABLE IF NOT EXISTS ChatRoom(ChatRoomName TEXT PRIMARY KEY, UserNameList TEXT, DisplayNameList TEXT, ChatRoomFlag INT DEFAULT 0,
				Owner INTEGER DEFAULT 0, IsShowName INTEGER DEFAULT 0, SelfDisplayName TEXT, Reserved1 INTEGER DEFAULT 0, Reserved2 TEXT, RoomData BLOB)`,
			`CREATE TABLE IF NOT EXISTS ChatRoomInfo(ChatRoomName TEXT PRIMARY KEY, Announcement TEXT, InfoVersion INTEGER, AnnouncementEditor TEXT, AnnouncementPublishTime INTEGER)`,
			`CREATE TABLE IF NOT EXISTS Session(strUsrName TEXT PRIMARY KEY, nOrder INT DEFAULT 0, nUnReadCount INTEGER DEFAULT 0, parentRef TEXT, Reserved0 INTEGER DEFAULT 0,
				strNickName TEXT, nStatus INTEGER, nIsSend INTEGER, strContent TEXT, nMsgType INTEGER, nMsgLocalID INTEGER, nMsgStatus INTEGER, nTime INTEGER)`,
			`CREATE TABLE IF NOT EXISTS ContactLabel(LabelId INT PRIMARY KEY, LabelName TEXT)`,
			`CREATE TABLE IF NOT EXISTS ContactHeadImgUrl(usrName TEXT PRIMARY KEY, smallHeadImgUrl TEXT, bigHeadImgUrl TEXT)`,
		}},
		{path: W3OpenIMNames, schema: []string{
			`CREATE TABLE IF NOT EXISTS OpenIMContact(UserName TEXT PRIMARY KEY, NickName TEXT, Type INTEGER DEFAULT 0, Remark TEXT, BigHeadImgUrl TEXT,
				SmallHeadImgUrl TEXT, Source INTEGER, AppId TEXT, DescWordingId TEXT, Sex INTEGER, ExtraBuf BLOB)`,
		}},
		{path: W3OpenIMFile, schema: w3MessageSchema("OpenIMMsg")},
		{path: "OpenIMMedia.db", schema: []string{`CREATE TABLE IF NOT EXISTS OpenIMMedia(Key TEXT, Reserved0 INT, Buf BLOB)`}},
		{path: W3PublicFile, schema: w3MessageSchema("PublicMsg")},
		{path: W3ImageLinks, schema: w3Links("Image")},
		{path: W3VideoLinks, schema: w3Links("Video")},
		{path: W3FileLinks, schema: w3Links("File")},
		{path: "Multi/FTSMSG0.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS NameToId(userName TEXT PRIMARY KEY)`}},
		{path: "Emotion.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS CustomEmotion(MD5 TEXT PRIMARY KEY, CDNUrl TEXT)`}},
		{path: "Favorite.db", still: true, schema: []string{
			`CREATE TABLE IF NOT EXISTS FavItems(FavLocalID INTEGER PRIMARY KEY AUTOINCREMENT, SvrFavId INTEGER, Type INTEGER, FromUser TEXT, XmlBuf TEXT)`,
		}},
		{path: "Sns.db", still: true, schema: []string{`CREATE TABLE IF NOT EXISTS FeedsV20(FeedId INTEGER PRIMARY KEY, CreateTime INTEGER, UserName TEXT, Content TEXT)`}},
	}
	for i := range all {
		all[i].cipher = writer.Cipher3
	}
	return all
}

// separator stands between the members of a room.
const separator = "^G"

func (w3) fill(a *Account, people []Person, rooms []Room, created time.Time) error {
	for file, own := range map[string]string{"Multi/MSG0.db": "MSG", W3PublicFile: "PublicMsg", W3OpenIMFile: "OpenIMMsg"} {
		err := a.open[file].Update(func(tx writer.Tx) error {
			_, err := tx.Exec(`INSERT OR IGNORE INTO DBInfo VALUES(1, ?, ?)`, created.UnixMilli(), own)
			return err
		})
		if err != nil {
			return err
		}
	}
	openIM := func(tx writer.Tx) error {
		for _, p := range people {
			if p.Type == 5 {
				if _, err := tx.Exec(`INSERT OR IGNORE INTO OpenIMContact(UserName, NickName, Type, Remark) VALUES(?, ?, 1, ?)`, p.Username, p.Nick, p.Remark); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := a.open[W3OpenIMNames].Update(openIM); err != nil {
		return err
	}
	return a.open[W3ContactFile].Update(func(tx writer.Tx) error {
		add := func(p Person, chatRoomType int) error {
			friend, verify := 1, 0
			if p.Type == 3 {
				friend = 0
			}
			if p.Official() {
				verify = 24
			}
			_, err := tx.Exec(`INSERT OR IGNORE INTO Contact(UserName, Alias, EncryptUserName, Type, VerifyFlag, Reserved1, Remark, NickName, LabelIDList, ChatRoomType)
				VALUES(?, ?, '', 3, ?, ?, ?, ?, '', ?)`, p.Username, p.Alias, verify, friend, p.Remark, p.Nick, chatRoomType)
			return err
		}
		for _, p := range people {
			if p.Type == 5 {
				continue
			}
			if err := add(p, 0); err != nil {
				return err
			}
		}
		for _, room := range rooms {
			if err := add(Person{Username: room.Username, Nick: room.Name, Type: 2}, 1); err != nil {
				return err
			}
			names, shown := room.lists()
			if _, err := tx.Exec(`INSERT OR IGNORE INTO ChatRoom(ChatRoomName, UserNameList, DisplayNameList, SelfDisplayName, Reserved2, RoomData) VALUES(?, ?, ?, '', ?, ?)`,
				room.Username, names, shown, room.Owner, room.memberBlob()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w3) finish(a *Account) error {
	if err := os.WriteFile(filepath.Join(a.Root, "All Users", "config", "config.data"), []byte("simulated"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(a.Path(w3Marker), []byte("simulated"), 0o644)
}

func (w3) load(a *Account) error {
	person := func(kind int) func(*sql.Rows) error {
		return func(r *sql.Rows) error {
			var friend int
			p := Person{Type: kind}
			if err := r.Scan(&p.Username, &p.Nick, &p.Remark, &p.Alias, &friend); err != nil {
				return err
			}
			if friend == 0 {
				p.Type = 3
			}
			if p.Username != a.Name {
				a.People = append(a.People, p)
			}
			return nil
		}
	}
	names, err := a.DB(W3OpenIMNames)
	if err != nil {
		return err
	}
	if err := each(names, person(5), `SELECT UserName, NickName, Remark, '', 1 FROM OpenIMContact ORDER BY 1`); err != nil {
		return err
	}
	db := a.open[W3ContactFile]
	if err := each(db, person(1), `SELECT UserName, NickName, Remark, Alias, Reserved1 FROM Contact WHERE ChatRoomType = 0 ORDER BY 1`); err != nil {
		return err
	}
	return each(db, func(r *sql.Rows) error {
		var room Room
		var members string
		if err := r.Scan(&room.Username, &room.Name, &room.Owner, &members); err != nil {
			return err
		}
		for _, m := range strings.Split(members, separator) {
			room.Members = append(room.Members, Member{Username: m})
		}
		a.Rooms = append(a.Rooms, room)
		return nil
	}, `SELECT ChatRoomName, NickName, r.Reserved2, UserNameList FROM ChatRoom r JOIN Contact ON UserName = ChatRoomName ORDER BY 1`)
}

// lists are the members and their names in the room, as ChatRoom has them.
func (room Room) lists() (usernames, shown string) {
	var us, ns []string
	for _, m := range room.Members {
		us, ns = append(us, m.Username), append(ns, m.Name)
	}
	return strings.Join(us, separator), strings.Join(ns, separator)
}

func (w3) changePerson(a *Account, p Person) error {
	if p.Type == 5 {
		db, err := a.DB(W3OpenIMNames)
		if err != nil {
			return err
		}
		return db.Update(func(tx writer.Tx) error {
			_, err := tx.Exec(`UPDATE OpenIMContact SET Remark = ? WHERE UserName = ?`, p.Remark, p.Username)
			return err
		})
	}
	return a.open[W3ContactFile].Update(func(tx writer.Tx) error {
		for name, id := range labels {
			if _, err := tx.Exec(`INSERT OR IGNORE INTO ContactLabel VALUES(?, ?)`, id, name); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE Contact SET Remark = ?, LabelIDList = ? WHERE UserName = ?`, p.Remark, p.labelList(), p.Username)
		return err
	})
}

func (w3) changeRoom(a *Account, r Room) error {
	return a.open[W3ContactFile].Update(func(tx writer.Tx) error {
		names, shown := r.lists()
		_, err := tx.Exec(`UPDATE ChatRoom SET UserNameList = ?, DisplayNameList = ?, RoomData = ? WHERE ChatRoomName = ?`, names, shown, r.memberBlob(), r.Username)
		return err
	})
}
