package wechat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// Table is a table of messages in one database.
type Table struct {
	Name     string // as in the database's schema
	Key      string // of its name: the hash of the one conversation in it, lower-case, unless Schema.PerRow
	Columns  []string
	Numbered bool // its row ids are never given twice, and sqlite_sequence has the greatest
	Indexed  bool // by the conversations of its rows, with Schema.PerRow
	schema   *Schema
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

// Tables lists the tables of messages in a database. Tables made by one CREATE text
// share their column list.
func (s *Schema) Tables(v *sqlcipher.View) ([]Table, error) {
	stmt, err := v.Prepare("SELECT name, sql, type, tbl_name FROM sqlite_schema WHERE type IN ('table', 'index')")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer stmt.Reset()
	type found struct{ name, key, sql string }
	var all []found
	indexed := map[string]bool{}
	for stmt.Step() {
		if stmt.ColumnText(2) == "index" {
			if s.PerRow && s.leads(stmt.ColumnText(1)) {
				indexed[stmt.ColumnText(3)] = true
			}
			continue
		}
		name := stmt.ColumnText(0)
		if key, ok := s.table(name); ok {
			all = append(all, found{name, key, stmt.ColumnText(1)})
		}
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	shapes := map[string]*Table{} // by CREATE text without the table's name
	var out []Table
	for _, f := range all {
		shape := strings.ReplaceAll(f.sql, f.name, "")
		like := shapes[shape]
		if like == nil {
			cols, err := tableColumns(v, f.name)
			if err != nil {
				return nil, err
			}
			like = &Table{Columns: cols, Numbered: strings.Contains(strings.ToUpper(shape), "AUTOINCREMENT"), schema: s}
			shapes[shape] = like
		}
		t := *like
		t.Name, t.Key, t.Indexed = f.name, f.key, indexed[f.name]
		out = append(out, t)
	}
	return out, nil
}

// leads says whether an index, by its CREATE text, begins with the conversation.
func (s *Schema) leads(sql string) bool {
	_, columns, _ := strings.Cut(sql, "(")
	first, _, _ := strings.Cut(strings.TrimRight(columns, ")"), ",")
	return strings.EqualFold(strings.Trim(first, " \"`[]'"), s.columns[colTalker])
}

// Unseen says that an index is of no use to what is asked of a table: where each
// conversation has a table, rows are found by their ids. Such indexes are most of what
// the schema of an account with many conversations has.
func (s *Schema) Unseen(table, _ string) bool {
	_, ok := s.table(table)
	return ok && !s.PerRow
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

// Unfamiliar names what the table lacks ("-column") or has ("+column") beyond what
// this version knows, or nothing.
func (t *Table) Unfamiliar() []string {
	var out []string
	for _, c := range t.schema.columns[:required] {
		if c != "" && !slices.Contains(t.Columns, c) {
			out = append(out, "-"+c)
		}
	}
	for _, c := range t.Columns {
		if !slices.Contains(t.schema.columns[:], c) && !slices.Contains(t.schema.known, c) {
			out = append(out, "+"+c)
		}
	}
	return out
}

// Usable says whether the table can be read at all: it has row ids to go by.
func (t *Table) Usable() bool { return slices.Contains(t.Columns, t.ID()) }

// ID is the column of the table's row ids.
func (t *Table) ID() string { return t.schema.columns[colLocalID] }

// MaxID returns the greatest row id of a table, 0 when it is empty.
func (t *Table) MaxID(v *sqlcipher.View) (int64, error) {
	stmt, err := v.Prepare("SELECT max(" + sqlite3.QuoteIdentifier(t.ID()) + ") FROM " + sqlite3.QuoteIdentifier(t.Name))
	if err != nil {
		return 0, fmt.Errorf("read greatest id: %w", err)
	}
	defer stmt.Reset()
	if !stmt.Step() {
		return 0, stmt.Err()
	}
	return stmt.ColumnInt64(0), nil
}

// RowMark is what a row is known again by.
type RowMark struct{ ID, Created, ServerID int64 }

// RowUpTo returns the row with the greatest id up to the given one, and whether there is
// one.
func (t *Table) RowUpTo(v *sqlcipher.View, id int64) (row RowMark, found bool, err error) {
	column := sqlite3.QuoteIdentifier(t.ID())
	stmt, err := v.Prepare(fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s <= ?1 ORDER BY %s DESC LIMIT 1",
		column, t.column(colCreated), t.column(colServerID), sqlite3.QuoteIdentifier(t.Name), column, column))
	if err != nil {
		return row, false, fmt.Errorf("read a row again: %w", err)
	}
	defer stmt.Reset()
	if err := stmt.BindInt64(1, id); err != nil {
		return row, false, fmt.Errorf("read a row again: %w", err)
	}
	if !stmt.Step() {
		return row, false, stmt.Err()
	}
	return RowMark{stmt.ColumnInt64(0), stmt.ColumnInt64(1), stmt.ColumnInt64(2)}, true, nil
}

// Silent says whether no row with an id up to upTo is there, of a username's conversation
// where the table holds many. Of these it asks only when an index answers: otherwise, and
// for no username, it says false.
func (t *Table) Silent(v *sqlcipher.View, username string, upTo int64) (bool, error) {
	talker := t.schema.columns[colTalker]
	where := "%s <= ?1"
	if talker != "" {
		if username == "" || !t.Indexed {
			return false, nil
		}
		where = "+%s <= ?1 AND " + sqlite3.QuoteIdentifier(talker) + " = ?2" // by the index
	}
	query := fmt.Sprintf("SELECT 1 FROM %s WHERE "+where+" LIMIT 1", sqlite3.QuoteIdentifier(t.Name), sqlite3.QuoteIdentifier(t.ID()))
	stmt, err := v.Prepare(query)
	if err != nil {
		return false, fmt.Errorf("look for a conversation's rows: %w", err)
	}
	defer stmt.Reset()
	err = stmt.BindInt64(1, upTo)
	if err == nil && talker != "" {
		err = stmt.BindText(2, username)
	}
	if err != nil {
		return false, fmt.Errorf("look for a conversation's rows: %w", err)
	}
	found := stmt.Step()
	return !found && stmt.Err() == nil, stmt.Err()
}

// SelectRange is the statement that reads the table's rows with ids from ?1 to ?2 in
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
	id := sqlite3.QuoteIdentifier(t.ID())
	fmt.Fprintf(&b, " FROM %s WHERE %s BETWEEN ?1 AND ?2 ORDER BY %s LIMIT ?3", sqlite3.QuoteIdentifier(t.Name), id, id)
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

// Names maps the row ids of a database's own table of names to usernames.
type Names map[int64]string

// ReadNames reads a message database's table of names. One without has no names.
func (s *Schema) ReadNames(v *sqlcipher.View) (Names, error) {
	out := Names{}
	if s.names == "" {
		return out, nil
	}
	stmt, err := v.Prepare("SELECT rowid, " + s.nameOf + " FROM " + s.names)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return out, nil
		}
		return nil, fmt.Errorf("read names: %w", err)
	}
	defer stmt.Reset()
	for stmt.Step() {
		out[stmt.ColumnInt64(0)] = stmt.ColumnText(1)
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return out, nil
}
