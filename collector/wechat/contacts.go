package wechat

import (
	"fmt"
	"strings"

	"tidemark/collector/sqlcipher"
)

// Contacts maps usernames to the names shown for them: remark, else nickname, else
// alias. A username without any of these maps to "".
type Contacts map[string]string

// ReadContacts reads the people and rooms of one of the schema's Contacts. Tables that
// are absent are skipped.
func (s *Schema) ReadContacts(v *sqlcipher.View) (Contacts, error) {
	return readUsernames(v, s.people)
}

// ReadSessions reads the usernames of one of the schema's Sessions, so that the tables
// of conversations with people who are no contacts can be resolved.
func (s *Schema) ReadSessions(v *sqlcipher.View) (Contacts, error) {
	return readUsernames(v, s.sessions)
}

func readUsernames(v *sqlcipher.View, queries []nameQuery) (Contacts, error) {
	out := Contacts{}
	for _, q := range queries {
		if err := q.read(v, out); err != nil {
			return nil, fmt.Errorf("read %s: %w", q.table, err)
		}
	}
	return out, nil
}

// read adds a table's usernames; one with names replaces what was there.
func (q *nameQuery) read(v *sqlcipher.View, out Contacts) error {
	columns := strings.Join(append([]string{q.username}, q.names...), ", ")
	stmt, err := v.Prepare("SELECT " + columns + " FROM " + q.table)
	if err != nil {
		if absent(err) {
			return nil
		}
		return err
	}
	defer stmt.Reset()
	for stmt.Step() {
		username, name := stmt.ColumnText(0), ""
		for i := 1; i <= len(q.names) && name == ""; i++ {
			name = stmt.ColumnText(i)
		}
		if _, ok := out[username]; username != "" && (!ok || len(q.names) > 0) {
			out[username] = name
		}
	}
	return stmt.Err()
}

// absent reports a table or column that this client does not have.
func absent(err error) bool {
	return strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "no such column")
}
