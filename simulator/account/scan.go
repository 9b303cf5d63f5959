package account

import (
	"database/sql"
	"fmt"
	"strings"
)

// Scan reads every column of every message table of db and returns how many rows
// and how many bytes of values there were.
func Scan(db *sql.DB) (rows, bytes int64, err error) {
	names, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'Msg\_%' ESCAPE '\' OR
		name LIKE 'Chat\_%' ESCAPE '\' OR name IN ('MSG', 'PublicMsg', 'OpenIMMsg'))`)
	if err != nil {
		return 0, 0, fmt.Errorf("list tables: %w", err)
	}
	var tables []string
	for names.Next() {
		var t string
		if err := names.Scan(&t); err != nil {
			return 0, 0, fmt.Errorf("list tables: %w", err)
		}
		tables = append(tables, t)
	}
	if err := names.Err(); err != nil {
		return 0, 0, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		n, b, err := scanTable(db, t)
		if err != nil {
			return 0, 0, fmt.Errorf("scan table: %w", err)
		}
		rows, bytes = rows+n, bytes+b
	}
	return rows, bytes, nil
}

func scanTable(db *sql.DB, table string) (rows, bytes int64, err error) {
	r, err := db.Query(`SELECT * FROM "` + strings.ReplaceAll(table, `"`, `""`) + `"`)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		return 0, 0, err
	}
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for r.Next() {
		if err := r.Scan(into...); err != nil {
			return 0, 0, err
		}
		rows++
		for _, v := range values {
			bytes += int64(len(v))
		}
	}
	return rows, bytes, r.Err()
}
