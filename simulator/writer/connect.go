package writer

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"strings"

	sqlite3 "github.com/mutecomm/go-sqlcipher/v4"
)

// ConnectOptions says how Connect opens a file. The zero value is SQLCipher 4.
type ConnectOptions struct {
	Raw      bool // the key is the derived key: skip the KDF
	PageSize int  // bytes; 0 is the default of the cipher version
	Compat   int  // SQLCipher's major version, 1 to 4; 0 means 4
	Plain    bool // the file is not encrypted, and the key plays no part
}

// Connect opens path with SQLCipher's own KDF, as any other program would. The
// pool has one connection. Closing it may checkpoint and delete the WAL, as stock
// SQLite does. It fails at once if the key is wrong.
func Connect(path string, key Key, o ConnectOptions) (*sql.DB, error) {
	pragmas := []string{"hexkey='" + key.Hex() + "'"}
	switch {
	case o.Plain:
		pragmas = nil
	case o.Raw:
		pragmas[0] = `key="x'` + key.Hex() + `'"`
	}
	return connect(path, pragmas, defaults{cmp.Or(o.Compat, 4), o.PageSize})
}

// How long a statement waits for a lock.
const (
	busyMillis  = "10000"
	busyTimeout = "PRAGMA busy_timeout=" + busyMillis
)

// connect opens one connection to path; pragmas run before anything is read.
func connect(path string, pragmas []string, d defaults) (*sql.DB, error) {
	db := sql.OpenDB(connector{dsn(path, pragmas), d})
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("SELECT count(*) FROM sqlite_master"); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// dsn is the driver's name for path. The driver sets "synchronous" before any hook
// of ours could run, which reads the file, so every key pragma must ride in its
// key parameter: that is put between double quotes, which we close and reopen.
func dsn(path string, pragmas []string) string {
	v := url.Values{}
	if len(pragmas) > 0 {
		v.Set("_pragma_key", `-";PRAGMA `+strings.Join(pragmas, ";PRAGMA ")+`;--`)
	}
	v.Set("_busy_timeout", busyMillis)
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + v.Encode()
}

// connector hands database/sql a connection without registering a global driver.
type connector struct {
	dsn      string
	defaults defaults
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	opening.Lock()
	defer opening.Unlock()
	if err := c.defaults.set(); err != nil {
		return nil, fmt.Errorf("set cipher defaults: %w", err)
	}
	return c.Driver().Open(c.dsn)
}

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }
