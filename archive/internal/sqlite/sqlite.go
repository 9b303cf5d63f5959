// Package sqlite runs single statements on a connection of ncruces/go-sqlite3,
// for what is too rare to keep a prepared statement.
package sqlite

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ncruces/go-sqlite3"
)

// Exec runs one statement that gives no rows. Arguments are string, []byte,
// int64, bool or nil.
func Exec(c *sqlite3.Conn, sql string, args ...any) error {
	return Query(c, func(*sqlite3.Stmt) error { return nil }, sql, args...)
}

// Query runs one statement and calls row for each row, until it returns an error.
func Query(c *sqlite3.Conn, row func(*sqlite3.Stmt) error, sql string, args ...any) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Close()
	for i, a := range args {
		switch a := a.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case string:
			err = s.BindText(i+1, a)
		case []byte:
			err = s.BindBlob(i+1, a)
		case int64:
			err = s.BindInt64(i+1, a)
		case bool:
			err = s.BindBool(i+1, a)
		default:
			err = fmt.Errorf("bind %T", a)
		}
		if err != nil {
			return err
		}
	}
	for s.Step() {
		if err := row(s); err != nil {
			return err
		}
	}
	return s.Err()
}

// Open opens a database for writing, and makes it when it is not there, for its
// owner alone: what people wrote may be in it, and in its write-ahead log.
func Open(name string) (*sqlite3.Conn, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	if runtime.GOOS == "windows" { // has no modes; the folder's rights are inherited
		return sqlite3.Open(name)
	}
	if name, err = filepath.Abs(name); err != nil {
		return nil, err
	}
	// modeof gives the log the rights of the database.
	path := (&url.URL{Path: name}).EscapedPath()
	return sqlite3.Open("file://" + path + "?modeof=" + url.PathEscape(name))
}
