package record

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
)

// idLen is the number of letters after the prefix of an id: 16 bytes in base32.
const idLen = 26

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// MessageID is the identity of a message that the server has numbered. It is
// the same from every device of the account, after a re-install, and for a row
// imported into another database file.
func MessageID(account, conversation, serverID string) string {
	return derive("m_", "tidemark message v1", account, conversation, serverID)
}

// LocalMessageID is the identity of a message that has no server id yet, or
// never gets one. Shard is the identity of the database file (its salt in hex),
// because row ids mean something only inside one file.
func LocalMessageID(account, shard, table, localID, createTime string) string {
	return derive("m_", "tidemark local message v1", account, shard, table, localID, createTime)
}

// RevisionID is the identity of one change of a captured message: the same
// change of the same record to the same state is the same revision. State is
// any unambiguous description of the new state.
func RevisionID(of, change string, state ...string) string {
	return derive("r_", "tidemark revision v1", append([]string{of, change}, state...)...)
}

// DeletionID is the identity of a captured message's going away.
func DeletionID(of, change string) string {
	return derive("x_", "tidemark deletion v1", of, change)
}

// MediaID is the identity of what became of one of a message's files.
func MediaID(of string, m Media) string {
	return derive("f_", "tidemark media v1", of, m.Role, m.Item, m.State, m.SHA256)
}

// PieceID is the identity of a piece of a content.
func PieceID(account, sha256 string, offset int64) string {
	return derive("f_", "tidemark piece v1", account, sha256, strconv.FormatInt(offset, 10))
}

// ContactID is the identity of a contact in one state that followed another, whose record
// of names; "" when none is known. The same state is the same record from two devices and
// after a re-install, and another one when it comes back after a different one.
func ContactID(account, of string, c *Contact) string {
	return state("c_", "tidemark contact v1", account, of, appendAny(nil, c))
}

// RoomID is the identity of a room in one state, as [ContactID].
func RoomID(account, of string, r *Room) string {
	return state("g_", "tidemark room v1", account, of, appendAny(nil, r))
}

func state(prefix, domain, account, of string, content []byte) string {
	if of == "" {
		return derive(prefix, domain, account, string(content))
	}
	return derive(prefix, domain, account, string(content), of)
}

// NewEventID returns a fresh random identity for an event: an event happened
// once, on one device, and is never derived from content.
func NewEventID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return "e_" + idEncoding.EncodeToString(b[:])
}

// derive hashes the domain and the fields, each preceded by its length as 32
// bits big-endian so that no two lists of fields run together, and encodes the
// first 16 bytes of the SHA-256.
func derive(prefix, domain string, fields ...string) string {
	var stack [256]byte
	buf := appendField(stack[:0], domain)
	for _, f := range fields {
		buf = appendField(buf, f)
	}
	sum := sha256.Sum256(buf)
	var out [2 + idLen]byte
	copy(out[:], prefix)
	idEncoding.Encode(out[2:], sum[:16])
	return string(out[:])
}

func appendField(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
