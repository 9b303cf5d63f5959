package writer

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
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

const (
	saltSize      = 16
	kdfIterations = 256_000 // SQLCipher 4's default, with HMAC-SHA512
)

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
	raw map[string]string // by salt
}

// NewKeyring is an empty keyring for the account key.
func NewKeyring(key Key) *Keyring { return &Keyring{key: key, raw: map[string]string{}} }

// rawKey is the key of the file with this salt, and the salt, in SQLCipher's text form,
// which skips its KDF.
func (r *Keyring) rawKey(salt []byte) (string, error) {
	r.mu.Lock()
	raw, ok := r.raw[string(salt)]
	r.mu.Unlock()
	if ok {
		return raw, nil
	}
	// Not under the lock, so that several files can be opened at once.
	derived, err := pbkdf2.Key(sha512.New, string(r.key[:]), salt, kdfIterations, KeySize)
	if err != nil {
		return "", fmt.Errorf("derive key: %w", err)
	}
	raw = "x'" + hex.EncodeToString(derived) + hex.EncodeToString(salt) + "'"
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw[string(salt)] = raw
	return raw, nil
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
