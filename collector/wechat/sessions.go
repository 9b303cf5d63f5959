package wechat

import (
	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
)

// ReadSessions reads the usernames of one of the schema's Sessions, so that the tables
// of conversations with people who are no contacts can be resolved. Some come twice.
func (s *Schema) ReadSessions(v *sqlcipher.View) ([]string, error) {
	var out []string
	for _, q := range s.sessions {
		err := eachRow(v, q.table, []string{q.username}, func(stmt *sqlite3.Stmt) {
			if u := stmt.ColumnText(0); u != "" {
				out = append(out, u)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
