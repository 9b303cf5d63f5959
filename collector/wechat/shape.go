package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
)

// Shape is the form of one table, or of many of one form: tables of one conversation
// each differ in their names only, which say whose they are.
type Shape struct {
	Name    string   `json:"name"` // what is particular to one table is *
	Columns []string `json:"columns"`
	Tables  int      `json:"tables"` // how many are so
	Rows    int64    `json:"rows"`   // in all of them; -1 when they were not counted
}

// particular is what stands in a table's name that tells one account's from another's:
// hashes, usernames, numbers of more than four digits.
var particular = regexp.MustCompile(`(?i)[0-9a-f]{16,}|wxid_[0-9a-z]+|gh_[0-9a-z]+|[^_]*@[a-z.]+|[0-9]{5,}`)

// Shapes lists the forms of a database's tables, by name and columns. With count, rows
// are counted too.
func Shapes(v *sqlcipher.View, count bool) ([]Shape, error) {
	stmt, err := v.Prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	type found struct{ name, sql string }
	var all []found
	for stmt.Step() {
		all = append(all, found{stmt.ColumnText(0), stmt.ColumnText(1)})
	}
	err = stmt.Err()
	stmt.Reset()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	columns := map[string][]string{} // by CREATE text without the table's name
	at := map[string]int{}
	out := []Shape{}
	for _, f := range all {
		text := strings.ReplaceAll(f.sql, f.name, "")
		cols, ok := columns[text]
		if !ok {
			if cols, err = tableColumns(v, f.name); err != nil {
				return nil, err
			}
			columns[text] = cols
		}
		s := Shape{Name: particular.ReplaceAllString(f.name, "*"), Columns: cols}
		key := s.Name + "\x00" + strings.Join(cols, "\x00")
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, s)
		}
		out[i].Tables++
		switch n, err := int64(0), error(nil); {
		case !count || strings.HasPrefix(strings.ToUpper(f.sql), "CREATE VIRTUAL"):
			out[i].Rows = -1
		default:
			if n, err = countRows(v, f.name); err != nil {
				return nil, err
			}
			out[i].Rows += n
		}
	}
	return out, nil
}

func countRows(v *sqlcipher.View, table string) (int64, error) {
	stmt, _, err := v.Conn().Prepare("SELECT count(*) FROM " + sqlite3.QuoteIdentifier(table))
	if err != nil {
		return 0, fmt.Errorf("count rows: %w", err)
	}
	defer stmt.Close()
	if !stmt.Step() {
		return 0, stmt.Err()
	}
	return stmt.ColumnInt64(0), nil
}

// Fingerprint is a short digest of the forms of a database's tables: the same for
// every account of the same build of a client that uses the same features.
func Fingerprint(shapes []Shape) string {
	var lines []string
	for _, s := range shapes {
		lines = append(lines, s.Name+"("+strings.Join(s.Columns, ",")+")")
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// ours are tables that SQLite and the client's storage library keep for themselves.
func ours(name string) bool {
	return strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "wcdb_") || strings.HasPrefix(name, "WCDB")
}

// Strange names what a message database has or lacks beyond what this version knows:
// "+table" with its columns, for messages could stand in it, and "-table". rows says
// how many rows each unknown table has now. Columns of tables of messages are for
// [Table.Unfamiliar]. A database that has no table of messages yet lacks none.
func (s *Schema) Strange(v *sqlcipher.View) (out, rows []string, err error) {
	stmt, err := v.Prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
	if err != nil {
		return nil, nil, fmt.Errorf("list tables: %w", err)
	}
	var strange []string
	have := map[string]bool{}
	messages := false
	for stmt.Step() {
		name := stmt.ColumnText(0)
		have[name] = true
		switch _, ok := s.table(name); {
		case ok:
			messages = true
		case ours(name), slices.Contains(s.tables, name), strings.HasSuffix(name, "_dels"):
		default:
			strange = append(strange, name)
		}
	}
	err = stmt.Err()
	stmt.Reset()
	if err != nil {
		return nil, nil, fmt.Errorf("list tables: %w", err)
	}
	if messages && s.names != "" && !have[s.names] {
		out = append(out, "-table "+s.names)
	}
	slices.Sort(strange)
	for _, name := range strange {
		cols, err := tableColumns(v, name)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, "+table "+name+"("+strings.Join(cols, ", ")+")")
		if n, err := countRows(v, name); err == nil { // a virtual table cannot be counted
			rows = append(rows, fmt.Sprintf("%s has %d rows", name, n))
		}
	}
	return out, rows, nil
}

// MissingPeople names the tables and columns that a database of people lacks. What it
// has beyond is nobody's message, and there is much of it.
func MissingPeople(v *sqlcipher.View, file string) ([]string, error) {
	var out []string
	for _, want := range peopleColumns[path.Base(file)] {
		cols, err := tableColumns(v, want.table)
		if err != nil {
			return nil, err
		}
		if len(cols) == 0 {
			out = append(out, "-table "+want.table)
			continue
		}
		for _, c := range want.columns {
			if !slices.ContainsFunc(cols, func(have string) bool { return strings.EqualFold(have, c) }) {
				out = append(out, "-"+want.table+"."+c)
			}
		}
	}
	return out, nil
}

type tableOf struct {
	table   string
	columns []string
}

// peopleColumns are what names rest on.
var peopleColumns = map[string][]tableOf{
	"contact.db": {
		{"contact", []string{"username", "remark", "nick_name", "alias"}},
		{"chat_room", []string{"username", "owner", "ext_buffer"}},
	},
	"MicroMsg.db": {
		{"Contact", []string{"UserName", "Remark", "NickName", "Alias"}},
		{"ChatRoom", []string{"ChatRoomName", "UserNameList"}},
	},
	"wccontact_new2.db": {{"WCContact", []string{"m_nsUsrName", "nickname", "m_nsRemark"}}},
	"group_new.db":      {{"GroupContact", []string{"m_nsUsrName", "m_nsChatRoomMemList"}}},
}

// CountTypes counts a table's rows by the client's own type numbers.
func (t *Table) CountTypes(v *sqlcipher.View, fn func(native [2]int64, n int64)) error {
	stmt, _, err := v.Conn().Prepare(fmt.Sprintf("SELECT %s, %s, count(*) FROM %s GROUP BY 1, 2",
		t.column(colType), t.column(colSubtype), sqlite3.QuoteIdentifier(t.Name)))
	if err != nil {
		return fmt.Errorf("count types: %w", err)
	}
	defer stmt.Close()
	for stmt.Step() {
		base, sub := stmt.ColumnInt64(0), stmt.ColumnInt64(1)
		if t.schema.columns[colSubtype] == "" { // packed into one number by 4.x
			base, sub = base&0xffffffff, base>>32
		}
		fn([2]int64{base, sub}, stmt.ColumnInt64(2))
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("count types: %w", err)
	}
	return nil
}
