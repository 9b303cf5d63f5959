// Package account lays out one desktop-client account of a generation, and opens it: a
// folder with databases, encrypted under one account key.
//
// The databases the client writes to while it chats are opened; the others are
// created, as it creates them, and left alone. Creation may be killed at any moment:
// opening the account again completes it.
package account

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tidemark/simulator/writer"
)

// Place names an account on disk.
type Place struct {
	Root       string     // the folder that contains account folders
	Name       string     // the owner's username
	Suffix     string     // V4: what this machine appends to the folder's name
	Generation Generation // "" means V4
}

// Dir is the account folder.
func (p Place) Dir() string { return p.layout().dir(p) }

// Path is the absolute path of a database, which the oracle names relative to the
// folder of databases.
func (p Place) Path(rel string) string {
	return filepath.Join(p.layout().databases(p), filepath.FromSlash(rel))
}

// Exists reports whether the account has been completely created.
func (p Place) Exists() bool {
	_, err := os.Stat(p.Path(p.layout().last()))
	return err == nil
}

// Account is an open account. Its methods belong to one goroutine.
type Account struct {
	Place
	People []Person // without the owner
	Rooms  []Room   // members without their names in the room

	opts Options
	open map[string]*writer.DB // by file
}

// Options are the choices of Open.
type Options struct {
	Keys    *writer.Keyring
	Writer  writer.Options // for message databases; the others take its mode
	Created time.Time      // time stamp of a new account; zero means now
	// Populate gives the people and rooms of a new account.
	Populate func() ([]Person, []Room)
	// Keyed is called when a database under a new key has appeared; may be nil.
	Keyed func() error
}

// file is one database of the tree, relative to the folder of databases.
type file struct {
	path   string
	cipher writer.Cipher
	schema []string
	still  bool // nothing is written to it after it was created
}

// writer is how a database is written.
func (o Options) writer(f file) writer.Options {
	w := o.Writer
	if f.still {
		w = writer.Options{Mode: writer.Never}
	}
	w.Cipher = f.cipher
	return w
}

// Open opens the account at p and creates it, or what is missing of it, first.
func Open(p Place, o Options) (*Account, error) {
	if o.Created.IsZero() {
		o.Created = time.Now()
	}
	a := &Account{Place: p, opts: o, open: map[string]*writer.DB{}}
	l := p.layout()
	if p.Exists() {
		var written []file
		for _, path := range l.written() {
			written = append(written, a.file(path))
		}
		if err := a.openAll(written); err != nil {
			return nil, err
		}
	} else {
		if err := a.layOut(l); err != nil {
			return nil, fmt.Errorf("create account: %w", err)
		}
	}
	if err := l.load(a); err != nil {
		return nil, fmt.Errorf("read contacts: %w", err)
	}
	return a, nil
}

// layOut creates folders and every database with its schema, and fills in people.
func (a *Account) layOut(l layout) error {
	for _, dir := range l.folders(a.Place) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := a.openAll(l.files()); err != nil {
		return err
	}
	people, rooms := a.opts.Populate()
	people = append([]Person{
		{Username: a.Name, Nick: "潮汐 Tide", Alias: "tide_owner", Type: 1},
		{Username: FileHelper, Nick: "文件传输助手", Type: 1},
	}, people...)
	if err := l.fill(a, people, rooms, a.opts.Created); err != nil {
		return err
	}
	return l.finish(a)
}

// openAll opens databases, and creates what is not there. Each costs a key derivation:
// they run side by side.
func (a *Account) openAll(fs []file) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	for _, f := range fs {
		all.Go(func() {
			db, err := a.create(f)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = cmp.Or(failed, err)
				return
			}
			a.open[f.path] = db
		})
	}
	all.Wait()
	return failed
}

// create opens one database, with its schema, and leaves it open.
func (a *Account) create(f file) (*writer.DB, error) {
	path := a.Path(f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	db, err := writer.Open(path, a.opts.Keys, a.opts.writer(f))
	if err != nil || len(f.schema) == 0 || a.Exists() && hasTables(db) {
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

func hasTables(db *writer.DB) bool {
	var n int
	return db.QueryRow(`SELECT count(*) FROM sqlite_master`).Scan(&n) == nil && n > 0
}

// file is what is known of a database by its path.
func (a *Account) file(path string) file {
	l := a.layout()
	for _, f := range l.files() {
		if f.path == path {
			return f
		}
	}
	f := l.shard(0) // one that appeared later: it is like the first
	f.path = path
	return f
}

// DB is the database at path relative to the folder of databases. It is opened when it
// is not open, and created when it is not there.
func (a *Account) DB(path string) (*writer.DB, error) {
	if db := a.open[path]; db != nil {
		return db, nil
	}
	db, err := a.create(a.file(path))
	if err != nil {
		return nil, err
	}
	a.open[path] = db
	if a.opts.Keyed != nil {
		return db, a.opts.Keyed()
	}
	return db, nil
}

// Shards lists the message databases of the kind that the client adds to, by number.
func (a *Account) Shards() []string {
	var shards []string
	for n := 0; ; n++ {
		f := a.layout().shard(n)
		if f.path == "" {
			return shards
		}
		if _, err := os.Stat(a.Path(f.path)); err != nil {
			return shards
		}
		shards = append(shards, f.path)
	}
}

// NextShard is the path of the shard that would come next; "" when the generation adds none.
func (a *Account) NextShard() string { return a.layout().shard(len(a.Shards())).path }

// ChangePerson writes another remark or label of a friend.
func (a *Account) ChangePerson(p Person) error { return a.layout().changePerson(a, p) }

// ChangeRoom writes the members of a room, of which the last has just joined.
func (a *Account) ChangeRoom(r Room) error { return a.layout().changeRoom(a, r) }

// Recreate makes a database anew, as a client does that repairs it: other salt, same
// rows, nothing in its WAL. The DB that was open must not be used any more.
func (a *Account) Recreate(path string) (*writer.DB, error) {
	old, err := a.DB(path)
	if err != nil {
		return nil, err
	}
	if err := old.Release(); err != nil {
		return nil, err
	}
	fresh := a.Path(path) + ".repair"
	if err := old.Export(fresh, a.opts.Keys); err != nil {
		return nil, err
	}
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.Remove(a.Path(path) + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if err := os.Rename(fresh, a.Path(path)); err != nil {
		return nil, err
	}
	delete(a.open, path)
	return a.DB(path)
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
	for _, path := range slices.Sorted(maps.Keys(a.open)) {
		if err := a.open[path].Checkpoint(); err != nil {
			return err
		}
	}
	return nil
}
