package account

import (
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tidemark/simulator/writer"
)

// v4 is Weixin 4.x on every system.
type v4 struct{}

// material stands beside the message database in real trees. It is not a database.
const material = MessageFile + "-first.material"

func (v4) dir(p Place) string { return filepath.Join(p.Root, p.Name+"_"+p.Suffix) }

func (v4) databases(p Place) string { return filepath.Join(p.Dir(), "db_storage") }

func (v4) last() string { return material }

func (v4) folders(p Place) []string {
	dirs := []string{filepath.Join(p.Root, "all_users")} // not an account: it has no db_storage
	for _, dir := range []string{"msg/attach", "msg/file", "msg/video", "cache", "temp"} {
		dirs = append(dirs, filepath.Join(p.Dir(), dir))
	}
	return dirs
}

func (v4) files() []file { return v4Files() }

func (v4) written() []string { return []string{MessageFile, ContactFile, SessionFile, GeneralFile} }

func (v4) shard(n int) file {
	return file{path: "message/message_" + strconv.Itoa(n) + ".db", schema: messageSchema}
}

// fill writes the owner, people and rooms. Twice is harmless.
func (v4) fill(a *Account, people []Person, rooms []Room, created time.Time) error {
	err := a.open[MessageFile].Update(func(tx writer.Tx) error {
		_, err := tx.Exec(`INSERT OR IGNORE INTO Name2Id(user_name, is_session) VALUES(?, 0)`, a.Name)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO TimeStamp SELECT ? WHERE NOT EXISTS (SELECT * FROM TimeStamp)`, created.Unix())
		return err
	})
	if err != nil {
		return err
	}
	return a.open[ContactFile].Update(func(tx writer.Tx) error {
		id := map[string]int{}
		add := func(p Person, inRoom int) error {
			id[p.Username] = len(id) + 1
			table := "contact"
			if p.Type == 3 && len(id)%2 == 0 { // the client keeps such people in either table
				table = "stranger"
			}
			if _, err := tx.Exec(`INSERT OR IGNORE INTO name2id(rowid, username) VALUES(?, ?)`, id[p.Username], p.Username); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT OR IGNORE INTO `+table+`(id, username, local_type, alias, encrypt_username, flag, delete_flag, verify_flag,
				remark, nick_name, is_in_chat_room, chat_room_type) VALUES(?, ?, ?, ?, '', 3, 0, 0, ?, ?, ?, 0)`,
				id[p.Username], p.Username, p.Type, p.Alias, p.Remark, p.Nick, inRoom)
			return err
		}
		for _, p := range people {
			if err := add(p, 1); err != nil {
				return err
			}
		}
		for _, room := range rooms {
			if err := add(Person{Username: room.Username, Nick: room.Name, Type: 2}, 0); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT OR IGNORE INTO chat_room(id, username, owner, ext_buffer) VALUES(?, ?, ?, ?)`,
				id[room.Username], room.Username, room.Owner, room.memberBlob()); err != nil {
				return err
			}
			for _, m := range room.Members {
				if _, err := tx.Exec(`INSERT OR IGNORE INTO chatroom_member VALUES(?, ?)`, id[room.Username], id[m.Username]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// finish writes the backup material, which begins with its database's salt.
func (v4) finish(a *Account) error {
	b := make([]byte, 4096)
	rand.Read(b)
	// The salt of an open database must not be read by opening its file: closing it
	// again would drop SQLite's locks. The -wal of a fresh one starts with page 1.
	wal, err := os.ReadFile(a.Path(MessageFile + "-wal"))
	if err != nil {
		return err
	}
	if len(wal) > 32+24+16 {
		copy(b, wal[32+24:32+24+16])
	}
	return os.WriteFile(a.Path(material), b, 0o644)
}

// load reads people and rooms.
func (v4) load(a *Account) error {
	err := each(a.open[ContactFile], func(r *sql.Rows) error {
		var p Person
		if err := r.Scan(&p.Username, &p.Nick, &p.Remark, &p.Alias, &p.Type); err != nil {
			return err
		}
		if p.Username != a.Name {
			a.People = append(a.People, p)
		}
		return nil
	}, `SELECT username, nick_name, remark, alias, local_type FROM contact WHERE local_type <> 2
		UNION ALL SELECT username, nick_name, remark, alias, local_type FROM stranger ORDER BY 1`)
	if err != nil {
		return err
	}
	index := map[string]int{}
	return each(a.open[ContactFile], func(r *sql.Rows) error {
		var room, name, owner, member string
		if err := r.Scan(&room, &name, &owner, &member); err != nil {
			return err
		}
		i, ok := index[room]
		if !ok {
			i = len(a.Rooms)
			index[room] = i
			a.Rooms = append(a.Rooms, Room{Username: room, Name: name, Owner: owner})
		}
		a.Rooms[i].Members = append(a.Rooms[i].Members, Member{Username: member})
		return nil
	}, `SELECT c.username, contact.nick_name, c.owner, n.username FROM chat_room c
		JOIN contact ON contact.username = c.username
		JOIN chatroom_member m ON m.room_id = c.id JOIN name2id n ON n.rowid = m.member_id ORDER BY c.id, m.member_id`)
}

func (v4) changePerson(a *Account, p Person) error {
	return a.open[ContactFile].Update(func(tx writer.Tx) error {
		for name, id := range labels {
			if _, err := tx.Exec(`INSERT OR IGNORE INTO contact_label VALUES(?, ?, ?)`, id, name, id); err != nil {
				return err
			}
		}
		var extra []byte
		if p.Label != "" {
			extra = AppendBytes(nil, 30, []byte(p.labelList()))
		}
		_, err := tx.Exec(`UPDATE contact SET remark = ?, extra_buffer = ? WHERE username = ?`, p.Remark, extra, p.Username)
		return err
	})
}

func (v4) changeRoom(a *Account, r Room) error {
	return a.open[ContactFile].Update(func(tx writer.Tx) error {
		if _, err := tx.Exec(`UPDATE chat_room SET ext_buffer = ? WHERE username = ?`, r.memberBlob(), r.Username); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT OR IGNORE INTO chatroom_member SELECT r.id, n.rowid FROM chat_room r, name2id n WHERE r.username = ? AND n.username = ?`,
			r.Username, r.Members[len(r.Members)-1].Username)
		return err
	})
}
