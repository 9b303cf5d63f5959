package sqlcipher

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Key is a 256-bit database or account key, with or without the salt of the file
// it belongs to. The zero Key is no key. It prints as "[redacted]" whatever the
// verb, encodes to that as text and JSON, and may be used by several goroutines.
//
// Keys are compared with Equal.
type Key struct {
	// A function, because fmt looks into a caller's struct without asking for its
	// fields' methods, and prints what a pointer leads to when the verb is wrong.
	material func() *keyMaterial
}

// keyMaterial is never changed.
type keyMaterial struct {
	key     [keySize]byte
	salt    [saltSize]byte
	hasSalt bool
}

// errKeyFormat says nothing of the text, which may be a key with a typing mistake.
var errKeyFormat = errors.New("key must be 64 or 96 hex digits, or x'…' around them")

// NewKey makes a key of its 32 bytes, which it copies. Such a key is tried both as
// a page key and as an account key from which the page key is derived.
func NewKey(key []byte) (Key, error) {
	if len(key) != keySize {
		return Key{}, fmt.Errorf("key has %d bytes, must have %d", len(key), keySize)
	}
	return newKey(keyMaterial{key: [keySize]byte(key)}), nil
}

// ParseKey reads a key as administrators write it: 64 hex digits, or 96 with the
// file's salt as the last 32, each plain or in SQLCipher's form x'…'. A key with a
// salt is a page key and opens the one file that has this salt. The error never
// repeats the text.
func ParseKey(text string) (Key, error) {
	s := strings.TrimSpace(text)
	if len(s) > 3 && (s[0] == 'x' || s[0] == 'X') && s[1] == '\'' && s[len(s)-1] == '\'' {
		s = s[2 : len(s)-1]
	}
	if len(s) != 2*keySize && len(s) != 2*(keySize+saltSize) {
		return Key{}, errKeyFormat
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return Key{}, errKeyFormat // not err: it quotes the digit
	}
	m := keyMaterial{key: [keySize]byte(b[:keySize])}
	if len(b) > keySize {
		m.salt, m.hasSalt = [saltSize]byte(b[keySize:]), true
	}
	return newKey(m), nil
}

func newKey(m keyMaterial) Key { return Key{func() *keyMaterial { return &m }} }

// Salt gives the salt of the one file that this key opens, if the key names it.
func (k Key) Salt() (salt [saltSize]byte, ok bool) {
	if k.IsZero() {
		return salt, false
	}
	m := k.material()
	return m.salt, m.hasSalt
}

// IsZero reports whether k holds no key.
func (k Key) IsZero() bool { return k.material == nil }

// Equal reports whether two keys open the same files.
func (k Key) Equal(other Key) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() && other.IsZero()
	}
	return *k.material() == *other.material()
}

const redacted = "[redacted]"

// Format prints "[redacted]" for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String is "[redacted]".
func (k Key) String() string { return redacted }

// GoString is "[redacted]".
func (k Key) GoString() string { return redacted }

// LogValue is "[redacted]".
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "[redacted]"; keys are not written anywhere by way of an encoder.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
