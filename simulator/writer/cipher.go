package writer

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha512"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	sqlite3 "github.com/mutecomm/go-sqlcipher/v4"
)

// Cipher is a set of encryption parameters. The zero value is SQLCipher 4's. All but
// Plain are AES-256-CBC with a MAC on each page.
type Cipher int

// The sets that client generations use.
const (
	Cipher4 Cipher = iota // HMAC-SHA512, PBKDF2-HMAC-SHA512 with 256 000 rounds, pages of 4096 bytes: 4.x
	Cipher3               // HMAC-SHA1, PBKDF2-HMAC-SHA1 with 64 000 rounds, pages of 4096 bytes: 3.x on Windows
	Raw3                  // HMAC-SHA1, the key as it is, pages of 1024 bytes: 3.x on macOS
	Plain                 // not encrypted
)

// PageSize is the size of a page in bytes.
func (c Cipher) PageSize() int {
	if c == Raw3 {
		return 1024
	}
	return 4096
}

// defaults is what SQLCipher must take for granted when it opens such a file.
func (c Cipher) defaults() defaults {
	if c == Cipher4 || c == Plain {
		return defaults{compat: 4}
	}
	return defaults{compat: 3, pageSize: c.PageSize()}
}

// derive is the encryption key of the file with this salt.
func (c Cipher) derive(key Key, salt []byte) (Key, error) {
	var derived []byte
	var err error
	switch c {
	case Cipher4:
		derived, err = pbkdf2.Key(sha512.New, string(key[:]), salt, 256_000, KeySize)
	case Cipher3:
		derived, err = pbkdf2.Key(sha1.New, string(key[:]), salt, 64_000, KeySize)
	case Raw3:
		return key, nil
	default:
		return Key{}, errors.New("derive key: the file is not encrypted")
	}
	if err != nil {
		return Key{}, fmt.Errorf("derive key: %w", err)
	}
	return Key(derived), nil
}

// defaults are SQLCipher's settings for files that are opened next. They hold for the
// whole process. The pragmas for one connection come too late for a new file: once
// pages have 80 reserved bytes, which is the fourth version's, SQLite does not go back
// to the 48 of the third.
type defaults struct {
	compat   int // major version
	pageSize int // bytes; 0 is the version's
}

// settings is a connection to no file that sets defaults. opening guards it, and the
// defaults between being set and a file being opened.
var (
	opening  sync.Mutex
	settings = sync.OnceValues(func() (driver.Conn, error) { return (&sqlite3.SQLiteDriver{}).Open(":memory:") })
)

// set sets the defaults. The caller holds opening.
func (d defaults) set() error {
	conn, err := settings()
	if err != nil {
		return err
	}
	pragmas := fmt.Sprintf("PRAGMA cipher_default_compatibility=%d;", d.compat)
	if d.pageSize != 0 {
		pragmas += fmt.Sprintf("PRAGMA cipher_default_page_size=%d;", d.pageSize)
	}
	_, err = conn.(driver.ExecerContext).ExecContext(context.Background(), pragmas, nil)
	return err
}
