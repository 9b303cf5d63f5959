package keys

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// imageKeySize is the bytes of an AES-128 key.
const imageKeySize = 16

// ImageKey is what an account's images of the V2 format are read with: a text that
// people store in one of several ways, and perhaps the byte that the end of each image
// is XORed with. The zero ImageKey is no key. It prints as "[redacted]" whatever the
// verb, encodes to that as text and JSON, and may be used by several goroutines.
//
// Image keys are compared with Equal.
type ImageKey struct {
	// A function, because fmt looks into a caller's struct without asking for its
	// fields' methods.
	material func() *imageMaterial
}

// imageMaterial is never changed.
type imageMaterial struct {
	text   string
	xor    byte
	hasXOR bool
}

// ParseImageKey reads an image key: 16 characters, 32 characters of which the first 16
// are the key, or the key's 16 bytes as 32 hex digits [A for 16 bytes, B for the ways
// to write them]. xor is the account's XOR byte as two hex digits, or "". The error is
// ErrFormat and never repeats the text.
func ParseImageKey(text, xor string) (ImageKey, error) {
	m := imageMaterial{text: strings.TrimSpace(text)}
	printable := func(r rune) bool { return r > ' ' && r <= '~' }
	if (len(m.text) != imageKeySize && len(m.text) != 2*imageKeySize) || strings.ContainsFunc(m.text, func(r rune) bool { return !printable(r) }) {
		return ImageKey{}, fmt.Errorf("image key must be 16 or 32 characters, or 32 hex digits: %w", ErrFormat)
	}
	if xor != "" {
		b, err := hex.DecodeString(xor)
		if err != nil || len(b) != 1 {
			return ImageKey{}, fmt.Errorf("xor must be 2 hex digits: %w", ErrFormat)
		}
		m.xor, m.hasXOR = b[0], true
	}
	return ImageKey{func() *imageMaterial { return &m }}, nil
}

// Candidates gives each reading of the key as 16 bytes of an AES key, each once. There
// are two when the text has 32 hex digits: only an image tells which is meant. The
// caller may change the bytes.
func (k ImageKey) Candidates() [][]byte {
	if k.IsZero() {
		return nil
	}
	text := k.material().text
	out := [][]byte{[]byte(text[:imageKeySize])}
	if b, err := hex.DecodeString(text); err == nil && len(b) == imageKeySize && !slices.Equal(b, out[0]) {
		out = append(out, b)
	}
	return out
}

// XOR gives the byte that the end of the account's images is XORed with, if it was
// given; else the images themselves tell it.
func (k ImageKey) XOR() (b byte, ok bool) {
	if k.IsZero() {
		return 0, false
	}
	m := k.material()
	return m.xor, m.hasXOR
}

// IsZero reports whether k holds no key.
func (k ImageKey) IsZero() bool { return k.material == nil }

// Equal reports whether two keys are the same text and the same XOR byte.
func (k ImageKey) Equal(other ImageKey) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() && other.IsZero()
	}
	return *k.material() == *other.material()
}

const redacted = "[redacted]"

// Format prints "[redacted]" for every verb.
func (k ImageKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String is "[redacted]".
func (k ImageKey) String() string { return redacted }

// GoString is "[redacted]".
func (k ImageKey) GoString() string { return redacted }

// LogValue is "[redacted]".
func (k ImageKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "[redacted]"; keys are written only to the file of a Store.
func (k ImageKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
