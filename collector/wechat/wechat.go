// Package wechat knows the schemas of WeChat's databases and turns their rows into
// records. It reads through snapshots it is given and keeps no state of its own.
//
// This version knows generation 4 (Weixin 4.x on Windows, macOS and Linux): contact.db,
// session.db and the message shards message_<n>.db and biz_message_<n>.db, where each
// conversation has a table Msg_<MD5 of its username>. Columns are read from the schema,
// never assumed: one that is absent is absent from the record, one that is unknown is
// kept in the raw row. The facts and how sure they are stand in docs/coverage.md.
//
// Row ids of Name2Id and local ids mean something only inside one file, so nothing
// here outlives the file it was read from.
package wechat

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// Decoder names the decoding of this version in each record.
const Decoder = "weixin4/1"

// TablePrefix begins the name of every conversation's table.
const TablePrefix = "Msg_"

// Hash is the name under which a conversation's table stands: the MD5 of its
// username in lower-case hex.
func Hash(username string) string {
	sum := md5.Sum([]byte(username))
	return hex.EncodeToString(sum[:])
}

// Table is a conversation's table in one shard.
type Table struct {
	Name    string   // as in the schema
	Hash    string   // lower-case, of the name
	Columns []string // in the order of the table
}

// knownColumns are those that this version has heard of beside the decoded ones;
// any further one is drift.
var knownColumns = []string{
	"status", "upload_status", "download_status", "server_seq", "origin_source", "source", "compress_content",
	"packed_info_data", "WCDB_CT_source",
}

// SchemaVersion returns SQLite's counter of schema changes.
func SchemaVersion(v *sqlcipher.View) (int64, error) {
	stmt, err := v.Prepare("PRAGMA schema_version")
	if err != nil {
		return 0, err
	}
	defer stmt.Reset()
	if !stmt.Step() {
		return 0, stmt.Err()
	}
	return stmt.ColumnInt64(0), nil
}

// Tables lists the conversation tables of a shard. Tables made by one CREATE text
// share their column list.
func Tables(v *sqlcipher.View) ([]Table, error) {
	stmt, err := v.Prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name LIKE 'Msg\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer stmt.Reset()
	type found struct{ name, sql string }
	var all []found
	for stmt.Step() {
		all = append(all, found{stmt.ColumnText(0), stmt.ColumnText(1)})
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	columns := map[string][]string{} // by CREATE text without the table's name
	var out []Table
	for _, f := range all {
		shape := strings.ReplaceAll(f.sql, f.name, "")
		cols, ok := columns[shape]
		if !ok {
			if cols, err = tableColumns(v, f.name); err != nil {
				return nil, err
			}
			columns[shape] = cols
		}
		out = append(out, Table{Name: f.name, Hash: strings.ToLower(strings.TrimPrefix(f.name, TablePrefix)), Columns: cols})
	}
	return out, nil
}

func tableColumns(v *sqlcipher.View, table string) ([]string, error) {
	stmt, _, err := v.Conn().Prepare("SELECT name FROM pragma_table_info(?)")
	if err != nil {
		return nil, fmt.Errorf("read columns: %w", err)
	}
	defer stmt.Close()
	if err := stmt.BindText(1, table); err != nil {
		return nil, fmt.Errorf("read columns: %w", err)
	}
	var cols []string
	for stmt.Step() {
		cols = append(cols, stmt.ColumnText(0))
	}
	return cols, stmt.Err()
}

// Unfamiliar names what the table lacks or has beyond what this version knows, or
// nothing.
func (t *Table) Unfamiliar() []string {
	var out []string
	have := map[string]bool{}
	for _, c := range t.Columns {
		have[c] = true
	}
	known := map[string]bool{}
	for _, c := range decoded {
		known[c] = true
		if !have[c] {
			out = append(out, "-"+c)
		}
	}
	for _, c := range knownColumns {
		known[c] = true
	}
	for _, c := range t.Columns {
		if !known[c] {
			out = append(out, "+"+c)
		}
	}
	return out
}

// Usable says whether the table can be read at all: it has row ids to go by.
func (t *Table) Usable() bool {
	for _, c := range t.Columns {
		if c == "local_id" {
			return true
		}
	}
	return false
}

// Sequences returns the greatest row id ever given in each conversation table that
// numbers its rows.
func Sequences(v *sqlcipher.View) (map[string]int64, error) {
	out := map[string]int64{}
	stmt, err := v.Prepare("SELECT name, seq FROM sqlite_sequence")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return out, nil // no table has numbered a row yet
		}
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	defer stmt.Reset()
	for stmt.Step() {
		if name := stmt.ColumnRawText(0); strings.HasPrefix(string(name), TablePrefix) {
			out[string(name)] = stmt.ColumnInt64(1)
		}
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	return out, nil
}

// MaxID returns the greatest row id of a table, 0 when it is empty.
func MaxID(v *sqlcipher.View, table string) (int64, error) {
	stmt, err := v.Prepare("SELECT max(local_id) FROM " + sqlite3.QuoteIdentifier(table))
	if err != nil {
		return 0, fmt.Errorf("read greatest id: %w", err)
	}
	defer stmt.Reset()
	if !stmt.Step() {
		return 0, stmt.Err()
	}
	return stmt.ColumnInt64(0), nil
}

// Names maps a shard's sender ids to usernames.
type Names map[int64]string

// ReadNames reads a shard's Name2Id. A shard without the table has no names.
func ReadNames(v *sqlcipher.View) (Names, error) {
	stmt, err := v.Prepare("SELECT rowid, user_name FROM Name2Id")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return Names{}, nil
		}
		return nil, fmt.Errorf("read names: %w", err)
	}
	defer stmt.Reset()
	out := Names{}
	for stmt.Step() {
		out[stmt.ColumnInt64(0)] = stmt.ColumnText(1)
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return out, nil
}

// SelectRange is the statement that reads a table's rows with ids from ?1 to ?2 in
// order, at most ?3 of them.
func (t *Table) SelectRange() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(sqlite3.QuoteIdentifier(c))
	}
	b.WriteString(" FROM ")
	b.WriteString(sqlite3.QuoteIdentifier(t.Name))
	b.WriteString(" WHERE local_id BETWEEN ?1 AND ?2 ORDER BY local_id LIMIT ?3")
	return b.String()
}

// ReadRow fills row, which has the statement's columns, with its current row. Texts
// and blobs alias SQLite's memory until the statement's next Step or Reset.
func ReadRow(stmt *sqlite3.Stmt, row record.Row) {
	for i := range row {
		switch stmt.ColumnType(i) {
		case sqlite3.INTEGER:
			row[i].Value = record.Value{Class: record.Integer, Int: stmt.ColumnInt64(i)}
		case sqlite3.FLOAT:
			row[i].Value = record.Value{Class: record.Real, Real: stmt.ColumnFloat(i)}
		case sqlite3.TEXT:
			row[i].Value = record.Value{Class: record.Text, Bytes: stmt.ColumnRawText(i)}
		case sqlite3.BLOB:
			row[i].Value = record.Value{Class: record.Blob, Bytes: stmt.ColumnRawBlob(i)}
		default:
			row[i].Value = record.Value{}
		}
	}
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
	case strings.HasPrefix(username, UnresolvedPrefix):
		return ""
	default:
		return "direct"
	}
}

// UnresolvedPrefix begins the id of a conversation whose username is not known: the
// table's hash follows.
const UnresolvedPrefix = "hash:"

var builtin = map[string]bool{
	"filehelper": true, "weixin": true, "newsapp": true, "fmessage": true, "medianote": true, "notifymessage": true,
	"floatbottle": true, "qmessage": true, "qqmail": true, "brandsessionholder": true, "@placeholder_foldgroup": true,
}
