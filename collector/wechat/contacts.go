package wechat

import (
	"fmt"
	"strings"

	"tidemark/collector/sqlcipher"
)

// Contacts maps usernames to the names shown for them: remark, else nickname, else
// alias. A username without any of these maps to "".
type Contacts map[string]string

// ReadContacts reads the people and rooms of contact.db. Tables that are absent are
// skipped.
func ReadContacts(v *sqlcipher.View) (Contacts, error) {
	out := Contacts{}
	for _, table := range []string{"stranger", "contact"} { // contact's entry wins
		stmt, err := v.Prepare("SELECT username, remark, nick_name, alias FROM " + table)
		if err != nil {
			if absent(err) {
				continue
			}
			return nil, fmt.Errorf("read contacts: %w", err)
		}
		for stmt.Step() {
			name := stmt.ColumnText(1)
			for i := 2; i <= 3 && name == ""; i++ {
				name = stmt.ColumnText(i)
			}
			out[stmt.ColumnText(0)] = name
		}
		err = stmt.Err()
		stmt.Reset()
		if err != nil {
			return nil, fmt.Errorf("read contacts: %w", err)
		}
	}
	return out, readUsernames(v, "SELECT username FROM chat_room", out)
}

// ReadSessions adds the usernames of session.db to known, so that the tables of
// conversations with people who are no contacts can be resolved.
func ReadSessions(v *sqlcipher.View, known Contacts) error {
	if err := readUsernames(v, "SELECT username FROM SessionTable", known); err != nil {
		return err
	}
	return readUsernames(v, "SELECT username FROM SessionDeleteTable", known)
}

func readUsernames(v *sqlcipher.View, sql string, known Contacts) error {
	stmt, err := v.Prepare(sql)
	if err != nil {
		if absent(err) {
			return nil
		}
		return fmt.Errorf("read usernames: %w", err)
	}
	defer stmt.Reset()
	for stmt.Step() {
		if u := stmt.ColumnText(0); u != "" {
			if _, ok := known[u]; !ok {
				known[u] = ""
			}
		}
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("read usernames: %w", err)
	}
	return nil
}

// absent reports a table or column that this client does not have.
func absent(err error) bool {
	return strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "no such column")
}
