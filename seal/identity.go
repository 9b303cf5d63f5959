package seal

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// DeviceID names a device: the first 16 bytes of the SHA-256 of its public key.
type DeviceID [16]byte

// String gives the form used in records and on the wire: "d_" and 26 letters.
func (d DeviceID) String() string { return "d_" + base32Lower.EncodeToString(d[:]) }

// ParseDeviceID reads the form that String gives.
func ParseDeviceID(s string) (DeviceID, error) {
	var d DeviceID
	if len(s) != 28 || s[:2] != "d_" {
		return d, fmt.Errorf("device id: %w", ErrMalformed)
	}
	b, err := base32Lower.DecodeString(s[2:])
	if err != nil {
		return d, fmt.Errorf("device id: %w", ErrMalformed)
	}
	copy(d[:], b)
	if d.String() != s { // spare bits set: two spellings of one id
		return d, fmt.Errorf("device id: %w", ErrMalformed)
	}
	return d, nil
}

// DeviceIDOf derives the id of the device that holds the key.
func DeviceIDOf(public ed25519.PublicKey) DeviceID {
	sum := sha256.Sum256(public)
	return DeviceID(sum[:16])
}

// Identity is a device's signing key. It costs nothing captured when lost: the
// device becomes another device. It prints as "[redacted]".
type Identity struct {
	private ed25519.PrivateKey
	id      DeviceID
}

// NewIdentity makes an identity at random.
func NewIdentity() *Identity {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	id, _ := IdentityFromSeed(seed)
	return id
}

// IdentityFromSeed restores an identity from its 32-byte seed.
func IdentityFromSeed(seed []byte) (*Identity, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("device identity: %d bytes instead of %d: %w", len(seed), ed25519.SeedSize, ErrMalformed)
	}
	private := ed25519.NewKeyFromSeed(seed)
	return &Identity{private, DeviceIDOf(private.Public().(ed25519.PublicKey))}, nil
}

// Seed returns the secret that restores the identity.
func (i *Identity) Seed() []byte { return i.private.Seed() }

// ID returns the device's id.
func (i *Identity) ID() DeviceID { return i.id }

// Public returns the device's public key.
func (i *Identity) Public() ed25519.PublicKey { return i.private.Public().(ed25519.PublicKey) }

// Private returns the signing key, for the request tokens of the protocol.
func (i *Identity) Private() ed25519.PrivateKey { return i.private }

// Secret derives a 32-byte secret of this device for a purpose, for keyed digests
// that must say nothing to whoever does not hold the identity.
func (i *Identity) Secret(purpose string) []byte {
	b, err := hkdf.Key(sha256.New, i.private.Seed(), nil, "tidemark device secret v1\n"+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give
	}
	return b
}

func (i *Identity) String() string       { return "[redacted]" }
func (i *Identity) GoString() string     { return "[redacted]" }
func (i *Identity) LogValue() slog.Value { return slog.StringValue("[redacted]") }
