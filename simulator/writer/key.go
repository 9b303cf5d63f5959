package writer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

const saltSize = 16

// Key is an account key: the passphrase bytes of every database of one account.
type Key [KeySize]byte

// ParseKey reads a key from 64 hexadecimal digits.
func ParseKey(s string) (Key, error) {
	var k Key
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != KeySize {
		return k, errors.New("parse key: want 64 hexadecimal digits")
	}
	copy(k[:], b)
	return k, nil
}

// Hex is the key in 64 hexadecimal digits. String hides the key; this does not.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// String hides the key from formatted output.
func (k Key) String() string { return "[redacted]" }

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key from logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Keyring derives the keys of one account's files, and remembers them: each takes a
// tenth of a second. Its methods may be called from any goroutine.
type Keyring struct {
	key Key
	mu  sync.Mutex
	raw map[fileID]Key
}

type fileID struct {
	salt   [saltSize]byte
	cipher Cipher
}

// NewKeyring is an empty keyring for the account key.
func NewKeyring(key Key) *Keyring { return &Keyring{key: key, raw: map[fileID]Key{}} }

// Key is the account key.
func (r *Keyring) Key() Key { return r.key }

// Derived is the keys of all files that were opened, by their salt in hex.
func (r *Keyring) Derived() map[string]Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]Key, len(r.raw))
	for id, key := range r.raw {
		all[hex.EncodeToString(id.salt[:])] = key
	}
	return all
}

// rawKey is the key of the file with this salt, and the salt, in SQLCipher's text form,
// which skips its KDF.
func (r *Keyring) rawKey(c Cipher, salt []byte) (string, error) {
	id := fileID{[saltSize]byte(salt), c}
	r.mu.Lock()
	key, ok := r.raw[id]
	r.mu.Unlock()
	if !ok {
		// Not under the lock, so that several files can be opened at once.
		var err error
		if key, err = c.derive(r.key, salt); err != nil {
			return "", err
		}
		r.mu.Lock()
		r.raw[id] = key
		r.mu.Unlock()
	}
	return "x'" + key.Hex() + hex.EncodeToString(salt) + "'", nil
}

// fileSalt returns the first 16 bytes of the database at path, or fresh random
// ones when there is no database yet.
func fileSalt(path string) ([]byte, error) {
	salt := make([]byte, saltSize)
	f, err := openForGood(path)
	if errors.Is(err, os.ErrNotExist) {
		rand.Read(salt)
		return salt, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read salt: %w", err)
	}
	switch n, err := f.readAt(salt, 0); {
	case err != nil:
		return nil, fmt.Errorf("read salt: %w", err)
	case n == 0: // an empty file is a database to come
		rand.Read(salt)
	case n < saltSize:
		return nil, errors.New("read salt: the file is shorter than a salt")
	}
	return salt, nil
}

// descriptor is a file that stays open until the process ends. Closing any
// descriptor of a file drops all POSIX locks the process holds on it, SQLite's
// included, so what SQLite may have locked is not closed; and an os.File would be, by
// its finalizer.
type descriptor int

func openForGood(path string) (descriptor, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return descriptor(fd), nil
}

func (d descriptor) readAt(b []byte, off int64) (int, error) {
	for {
		n, err := syscall.Pread(int(d), b, off)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
