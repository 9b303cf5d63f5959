// Package seal is how captured records travel: sealed to the archive's keys,
// chained, signed by the device, and answered by a signed receipt. Agent and
// archive share it. docs/format.md has every format byte by byte, and the golden
// vectors in testdata pin them.
//
// # The pieces
//
// An [Identity] is a device's Ed25519 key; the [DeviceID] is derived from it. An
// [ArchiveDocument] names an archive, its recipients (HPKE public keys) and the
// key that signs its receipts and its log; its hash is the ARCHIVEKEY, the string
// that an administrator pins. A [DataKey] is a random AES-256 key that lives in
// memory only, wrapped to every recipient in a key header. A batch is a group of
// records, compressed and sealed with a data key, under a header that names the
// device, the lane, the sequence number and the hash of the batch before it, and
// is signed by the device. A [Receipt] is the archive's signed answer.
//
// # Trust
//
// Whoever reads a batch learns which device made it, when, how many records it
// holds and how long they are, and nothing else: the device itself cannot open it
// again once the data key is gone. Whoever writes batches cannot alter, reorder,
// leave out or invent one without the archive's noticing, unless they hold the
// device's key. Nothing here proves that the device told the truth in the first
// place.
package seal

import (
	"crypto/hpke"
	"encoding/hex"
	"errors"
	"fmt"
)

// The errors of reading what others wrote. Each is wrapped with what was wrong.
var (
	ErrMalformed = errors.New("malformed")               // bytes that are not of the format
	ErrNewer     = errors.New("made by a newer version") // the format is known, its version is not
	ErrForged    = errors.New("does not verify")         // a signature, MAC, hash or identity is wrong
	ErrNoKey     = errors.New("sealed to another key")   // none of the given private keys is a recipient
)

// Lane is one of a device's independent chains of batches.
type Lane uint8

// The lanes. A video in the media lane never delays a text in the messages lane.
const (
	Messages Lane = 1
	Media    Lane = 2
)

// Lanes lists the lanes that exist.
var lanes = map[Lane]string{Messages: "messages", Media: "media"}

func (l Lane) String() string {
	if s, ok := lanes[l]; ok {
		return s
	}
	return fmt.Sprintf("lane(%d)", uint8(l))
}

// Valid says whether the lane exists in this version.
func (l Lane) Valid() bool { _, ok := lanes[l]; return ok }

// ParseLane reads a lane's name.
func ParseLane(s string) (Lane, error) {
	for l, name := range lanes {
		if name == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("lane %q: %w", s, ErrMalformed)
}

// Hash is a SHA-256.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads 64 hex digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("hash: %w", ErrMalformed)
	}
	copy(h[:], b)
	return h, nil
}

// The one HPKE suite (RFC 9180, draft-ietf-hpke-pq): the hybrid of ML-KEM-768 and
// X25519, HKDF-SHA256, AES-256-GCM. A recorded backlog stays closed to whoever
// breaks only one of the two key exchanges later.
func kem() hpke.KEM   { return hpke.MLKEM768X25519() }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.AES256GCM() }
