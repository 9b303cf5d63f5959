// Package account lays out one desktop-client account of the 4.x generation, and
// opens it: a folder <account>_<suffix> with db_storage and its databases, all
// encrypted under one account key.
//
// The four databases the client writes to while it chats are opened; the others are
// created, as it creates them, and left alone. Creation may be killed at any moment:
// opening the account again completes it.
package account

import (
	"cmp"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/simulator/writer"
)

// Place names an account on disk.
type Place struct {
	Root   string // the xwechat_files folder
	Name   string // the owner's username
	Suffix string // what this machine appends to the folder's name
}

// Dir is the account folder.
func (p Place) Dir() string { return filepath.Join(p.Root, p.Name+"_"+p.Suffix) }

// path is the absolute path of a file below db_storage.
func (p Place) path(rel string) string {
	return filepath.Join(p.Dir(), "db_storage", filepath.FromSlash(rel))
}

// material stands beside the message database in real trees. It is not a database.
// It is written last, and so tells a finished account from one whose creation died.
const material = MessageFile + "-first.material"

// Exists reports whether the account has been completely created.
func (p Place) Exists() bool {
	_, err := os.Stat(p.path(material))
	return err == nil
}

// Account is an open account.
type Account struct {
	Place
	Message, Contact, Session, General *writer.DB
	People                             []Person // without the owner
	Rooms                              []Room   // members without their names in the room

	open map[string]*writer.DB // by file: those above, and what this process created
}

// Options are the choices of Open.
type Options struct {
	Keys    *writer.Keyring
	Writer  writer.Options // for the message database; the others take its mode
	Created time.Time      // time stamp of a new account; zero means now
	// Populate gives the people and rooms of a new account.
	Populate func() ([]Person, []Room)
}

// writer is how one database is written.
func (o Options) writer(file string) writer.Options {
	switch file {
	case MessageFile:
		return o.Writer
	case ContactFile, SessionFile, GeneralFile:
		return writer.Options{Mode: o.Writer.Mode, After: o.Writer.After}
	}
	return writer.Options{Mode: writer.Never}
}

// Open opens the account at p and creates it, or what is missing of it, first.
func Open(p Place, o Options) (*Account, error) {
	a := &Account{Place: p, open: map[string]*writer.DB{}}
	fresh := !p.Exists()
	if fresh {
		if err := a.layout(o); err != nil {
			return nil, fmt.Errorf("create account: %w", err)
		}
	}
	for f, db := range map[string]**writer.DB{
		MessageFile: &a.Message, ContactFile: &a.Contact, SessionFile: &a.Session, GeneralFile: &a.General,
	} {
		if a.open[f] == nil {
			d, err := writer.Open(p.path(f), o.Keys, o.writer(f))
			if err != nil {
				return nil, err
			}
			a.open[f] = d
		}
		*db = a.open[f]
	}
	if fresh {
		people, rooms := o.Populate()
		if err := a.fill(people, rooms, o.Created); err != nil {
			return nil, fmt.Errorf("create account: %w", err)
		}
		if err := a.finish(); err != nil {
			return nil, fmt.Errorf("create account: %w", err)
		}
	}
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("read contacts: %w", err)
	}
	return a, nil
}

// layout creates folders and every database with its schema.
func (a *Account) layout(o Options) error {
	// Not an account: it has no db_storage.
	if err := os.MkdirAll(filepath.Join(a.Root, "all_users"), 0o755); err != nil {
		return err
	}
	for _, dir := range []string{"msg/attach", "msg/file", "msg/video", "cache", "temp"} {
		if err := os.MkdirAll(filepath.Join(a.Dir(), dir), 0o755); err != nil {
			return err
		}
	}
	// Each file costs a key derivation: let them run side by side.
	type created struct {
		file string
		db   *writer.DB
		err  error
	}
	all := files()
	results := make(chan created, len(all))
	for _, f := range all {
		go func() {
			db, err := a.create(f, o)
			results <- created{f.path, db, err}
		}()
	}
	var err error
	for range all {
		r := <-results
		if r.err != nil {
			err = cmp.Or(err, r.err)
			continue
		}
		a.open[r.file] = r.db
	}
	return err
}

// create creates one database and leaves it open.
func (a *Account) create(f file, o Options) (*writer.DB, error) {
	path := a.path(f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	db, err := writer.Open(path, o.Keys, o.writer(f.path))
	if err != nil || len(f.schema) == 0 {
		return db, err
	}
	return db, db.Update(func(tx writer.Tx) error {
		for _, s := range f.schema {
			if _, err := tx.Exec(s); err != nil {
				return fmt.Errorf("%s: %w", f.path, err)
			}
		}
		return nil
	})
}

// fill writes the owner, people and rooms. Twice is harmless.
func (a *Account) fill(people []Person, rooms []Room, created time.Time) error {
	if created.IsZero() {
		created = time.Now()
	}
	err := a.Message.Update(func(tx writer.Tx) error {
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
	all := append([]Person{
		{Username: a.Name, Nick: "潮汐 Tide", Alias: "tide_owner", Type: 1},
		{Username: FileHelper, Nick: "文件传输助手", Type: 1},
	}, people...)
	return a.Contact.Update(func(tx writer.Tx) error {
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
		for _, p := range all {
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
func (a *Account) finish() error {
	b := make([]byte, 4096)
	rand.Read(b)
	// The salt of an open database must not be read by opening its file: closing it
	// again would drop SQLite's locks. The -wal of a fresh one starts with page 1.
	wal, err := os.ReadFile(a.path(MessageFile + "-wal"))
	if err != nil {
		return err
	}
	if len(wal) > 32+24+16 {
		copy(b, wal[32+24:32+24+16])
	}
	return os.WriteFile(a.path(material), b, 0o644)
}

// load reads people and rooms.
func (a *Account) load() error {
	err := each(a.Contact, func(r *sql.Rows) error {
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
	return each(a.Contact, func(r *sql.Rows) error {
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

// each calls fn for each row of a query.
func each(db *writer.DB, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := db.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Release stops the checkpoints of all databases. What is committed stays; the
// -wal and -shm files too, until the process ends and after.
func (a *Account) Release() error {
	var err error
	for _, d := range a.open {
		err = errors.Join(err, d.Release())
	}
	return err
}

// CheckpointAll copies the WALs of the open databases into their main files, as a
// client does that has been running for a while. After Open has created an account,
// all of its databases are open.
func (a *Account) CheckpointAll() error {
	for _, d := range a.open {
		if err := d.Checkpoint(); err != nil {
			return err
		}
	}
	return nil
}
