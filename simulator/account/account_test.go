package account

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/simulator/writer"
)

var key = writer.Key{5}

var keys = writer.NewKeyring(key)

func population() ([]Person, []Room) {
	return Population(rand.New(rand.NewPCG(1, 1)), "wxid_tide", 8, 4)
}

func open(t *testing.T, p Place) *Account {
	t.Helper()
	a, err := Open(p, Options{Keys: keys, Writer: writer.Options{Mode: writer.Never}, Populate: population})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	return a
}

// copied opens a copy of one database.
func copied(t *testing.T, p Place, rel string) *writer.DB {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(p.Path(rel) + end)
		if end != "" && errors.Is(err, fs.ErrNotExist) {
			continue // nothing has ever been written to it
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := writer.Open(to, keys, writer.Options{Mode: writer.Never})
	if err != nil {
		t.Fatalf("%s: %v", rel, err)
	}
	t.Cleanup(func() { db.Release() })
	return db
}

// Promise: the same generator invents the same people, and another does not.
func TestPopulationIsDetermined(t *testing.T) {
	people, rooms := population()
	again, roomsAgain := population()
	other, _ := Population(rand.New(rand.NewPCG(2, 1)), "wxid_tide", 8, 4)
	if !slices.Equal(people, again) || len(rooms) != len(roomsAgain) || !slices.Equal(rooms[3].Members, roomsAgain[3].Members) {
		t.Error("one seed, other people")
	}
	if slices.Equal(people, other) {
		t.Error("another seed, the same people")
	}
}

// Promise: a new account is on disk as a new client leaves it: every database is one
// page with all else in its WAL, opens under the account key, and has the tables that
// a reader asks for; the owner is in Name2Id; what is not an account is there too.
func TestLayout(t *testing.T) {
	p := Place{Root: t.TempDir(), Name: "wxid_tide", Suffix: "1a2b"}
	if p.Exists() {
		t.Fatal("exists before it was made")
	}
	a := open(t, p)
	if !p.Exists() {
		t.Fatal("does not exist after it was made")
	}
	for _, f := range p.layout().files() {
		fi, err := os.Stat(p.Path(f.path))
		if err != nil || fi.Size() != 4096 {
			t.Errorf("%s: want one page: %v", f.path, err)
		}
		var tables int
		if err := copied(t, p, f.path).QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table'`).Scan(&tables); err != nil {
			t.Errorf("%s: %v", f.path, err)
		}
		if (tables > 0) != (len(f.schema) > 0) {
			t.Errorf("%s: %d tables", f.path, tables)
		}
	}
	salt, err := os.ReadFile(p.Path(MessageFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(p.Path(material)); err != nil || !bytes.Equal(b[:16], salt[:16]) {
		t.Errorf("backup material does not begin with the salt: %v", err)
	}
	var self int
	if err := copied(t, p, MessageFile).QueryRow(`SELECT count(*) FROM Name2Id WHERE user_name = 'wxid_tide'`).Scan(&self); err != nil || self != 1 {
		t.Errorf("owner in Name2Id: %d, %v", self, err)
	}
	// No file holds a name or the schema in clear.
	seen := 0
	err = filepath.WalkDir(p.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		seen++
		if bytes.Contains(b, []byte(a.People[1].Username)) || bytes.Contains(b, []byte("SQLite format 3")) || bytes.Contains(b, []byte("CREATE TABLE")) {
			t.Errorf("%s is not encrypted", path)
		}
		return err
	})
	if err != nil || seen < len(p.layout().files()) {
		t.Errorf("%d files, %v", seen, err)
	}
	if es, err := os.ReadDir(filepath.Join(p.Root, "all_users")); err != nil || len(es) != 0 {
		t.Errorf("all_users: %d entries, %v", len(es), err)
	}
	t.Run("completed", func(t *testing.T) { testCreationIsCompleted(t, a) })
	// People and rooms come back as they were written.
	people, rooms := population()
	if len(a.People) != len(people)+1 || len(a.Rooms) != len(rooms) { // and the file helper
		t.Errorf("got %d people and %d rooms, wrote %d and %d", len(a.People), len(a.Rooms), len(people), len(rooms))
	}
	for _, r := range rooms {
		i := slices.IndexFunc(a.Rooms, func(o Room) bool { return o.Username == r.Username })
		if i < 0 || a.Rooms[i].Name != r.Name || a.Rooms[i].Owner != r.Owner || len(a.Rooms[i].Members) != len(r.Members) {
			t.Errorf("room %s is not as written", r.Username)
		}
	}
}

// Promise: creation that died anywhere is completed at the next start, and gives the
// same people. TestLayout runs it on the account it made.
func testCreationIsCompleted(t *testing.T, whole *Account) {
	for name, lost := range map[string][]string{
		"before the last file": {material},
		// contact.db was created without its schema, session.db not at all.
		"among the databases": {material, ContactFile + "-wal", ContactFile + "-shm", SessionFile, SessionFile + "-wal", SessionFile + "-shm"},
	} {
		t.Run(name, func(t *testing.T) {
			// A copy, because this process still has the original's files open.
			p := whole.Place
			p.Root = t.TempDir()
			if err := os.CopyFS(p.Root, os.DirFS(whole.Root)); err != nil {
				t.Fatal(err)
			}
			for _, f := range lost {
				if err := os.Remove(p.Path(f)); err != nil {
					t.Fatal(err)
				}
			}
			if p.Exists() {
				t.Fatal("passes for a whole account")
			}
			again := open(t, p)
			if !slices.Equal(again.People, whole.People) || len(again.Rooms) != len(whole.Rooms) {
				t.Error("other people than before")
			}
		})
	}
}

// Promise: a message table has the columns and indexes of the client's.
func TestMessageTable(t *testing.T) {
	db, err := writer.Connect(filepath.Join(t.TempDir(), "m.db"), key, writer.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := Table(FileHelper); got != "Msg_9e20f478899dc29eb19741386f9343c8" {
		t.Fatalf("table of the file helper: %s", got)
	}
	for _, s := range MessageTable(Table(FileHelper)) {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	var columns, indexes string
	if err := db.QueryRow(`SELECT group_concat(name, ' ') FROM pragma_table_info(?)`, Table(FileHelper)).Scan(&columns); err != nil {
		t.Fatal(err)
	}
	want := "local_id server_id local_type sort_seq real_sender_id create_time status upload_status download_status server_seq origin_source " +
		"source message_content compress_content packed_info_data WCDB_CT_message_content WCDB_CT_source"
	if columns != want {
		t.Errorf("columns: got %s", columns)
	}
	if err := db.QueryRow(`SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY 1)`).Scan(&indexes); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"_SENDERID", "_SERVERID", "_SORTSEQ", "_TYPE_SEQ"} {
		if !strings.Contains(indexes, Table(FileHelper)+end) {
			t.Errorf("no index %s", end)
		}
	}
}
