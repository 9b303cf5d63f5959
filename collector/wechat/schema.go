package wechat

import (
	"path"
	"regexp"
	"strings"

	"tidemark/collector/discover"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// Schema describes what one generation of the client keeps where. Schemas are values
// of this package, never written to, and safe for concurrent use.
type Schema struct {
	Layout   discover.Layout
	Decoder  string             // names the decoding of this version in each record
	Params   []sqlcipher.Params // to try on its files
	Messages []Folder           // where its message databases are
	Contacts []string           // the databases of people and rooms
	Sessions []string           // the databases of lists of conversations, with usernames that stand nowhere else

	// PerRow says that a table holds many conversations, each row naming its own.
	// Otherwise each conversation has a table, named by the hash of its username.
	PerRow bool

	columns  [columnCount]string // what is decoded; "" for what the generation does not have
	known    []string            // columns heard of besides; any further one is drift
	table    func(name string) (key string, ok bool)
	tables   []string // heard of in message databases besides; any further one is drift
	names    string   // the table of a message database's own names, "" for none
	nameOf   string   // its column
	sessions []nameQuery

	// sender finds who sent a row and takes off body what names them there.
	sender func(d *Rows, row record.Row, body []byte) (username string, rest []byte)
	// native gives the client's own type numbers.
	native func(d *Rows, row record.Row) record.Native
}

// Folder is a folder of message databases.
type Folder struct {
	Path string // relative to the account's database folder, forward slashes; "" for that itself
	file *regexp.Regexp
}

// File says whether a file of the folder, by its name, is a message database, and its
// path relative to the account's database folder. Full text indexes and backup material
// beside them are none.
func (f Folder) File(name string) (file string, ok bool) {
	return path.Join(f.Path, name), f.file.MatchString(name)
}

// For returns the schema of a layout, or nil for one that is not known.
func For(layout discover.Layout) *Schema {
	switch layout {
	case discover.V4:
		return v4
	case discover.W3:
		return w3
	case discover.M3:
		return m3
	}
	return nil
}

// Folders lists the folders that the client writes databases to, relative to the
// account's database folder.
func (s *Schema) Folders() []string {
	var out []string
	seen := map[string]bool{}
	add := func(folder string) {
		if !seen[folder] {
			seen[folder] = true
			out = append(out, folder)
		}
	}
	for _, f := range s.Messages {
		add(f.Path)
	}
	for _, files := range [][]string{s.Contacts, s.Sessions} {
		for _, file := range files {
			add(strings.TrimSuffix(path.Dir(file), "."))
		}
	}
	return out
}

// nameQuery is a table of usernames.
type nameQuery struct{ table, username string }

// hashed is the name of a table of one conversation: a prefix and the MD5 of the
// username in hex.
func hashed(name, prefix string) (hash string, ok bool) {
	if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return "", false
	}
	return strings.ToLower(name[len(prefix):]), true
}
