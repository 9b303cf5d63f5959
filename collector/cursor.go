package collector

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// What the collector keeps in the spool, under keys that begin with a letter:
//
//	t/<database>/<table hash>             how far the table was read: see position
//	w/<database>/<table hash>/<row id>    a row that may still change: digest and record
//	d/<database>/<table hash>             ids that damage kept from being read
//	q/<database>/<table hash>             ids told as missing, see lack
//	s/<account folder>/<file>             a state that an event has named
//	a/<account folder>                    the account has been reported
//	f/<account folder>/<file>             the database last read to its end there, and its schema's counter: none, capture begins
//	i/<account and conversation>/<day>    marks of messages captured without server ids: see mark; for good
//	p/<account folder>/<person>/<mark>    who has been met, and a digest of how they were recorded last with that record's id, hidden
//	k/<database>/<table hash>/<hash>/<month>  counts of a conversation's days; without table and hash, of what is out of scope
//	y/<database>/<table hash>/<hash>/<month>  some of them are to be recorded
//	g/<account folder>/<file>             fingerprint of a database's schema
//	o                                     the scope of the last run
//	m/p/<account folder>/<digest>         a file that a message has and that is not captured for good: see item
//	m/c/<account folder>/<digest>         a content whose pieces are all captured
//	m/u/<account folder>/<digest>         a content of which some are: how many bytes
//	h                                     when capture began, for history: none
//
// Where a table was made anew its hash is followed by ~ in t/ and w/ for what is still to
// be learnt of its former rows: see former.
//
// A database is named by a digest of its folder, file and salt, so that a cursor
// never counts for another file; row ids are 16 hex digits. Nothing here holds
// content: digests of rows and of people are keyed with a secret of the device.

// short names a thing by the first 8 bytes of a SHA-256, in hex.
func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func tableKey(database, hash string) string { return "t/" + database + "/" + hash }
func windowKey(database, hash string, id int64) string {
	return fmt.Sprintf("w/%s/%s/%016x", database, hash, uint64(id))
}

// position is how far a table was read: its cursor, and the greatest row met up to there,
// by which the table is known again when the schema has changed.
type position struct {
	cursor int64
	last   lastRow
}

// lastRow is a row by its id, time and server id; the zero value is none.
type lastRow struct{ id, created, server int64 }

func (p position) encode() []byte {
	b := encodeID(p.cursor)
	for _, n := range []int64{p.last.id, p.last.created, p.last.server} {
		b = append(b, encodeID(n)...)
	}
	return b
}

// decodePosition reads a position; the cursor used to stand alone.
func decodePosition(b []byte) (p position, err error) {
	switch len(b) {
	case 8:
		p.cursor, err = decodeID(b)
	case 32:
		at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
		p = position{at(0), lastRow{at(1), at(2), at(3)}}
	default:
		err = fmt.Errorf("cursor of %d bytes", len(b))
	}
	return p, err
}

func encodeID(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func decodeID(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("cursor of %d bytes", len(b))
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// digest tells whether a row still means the same. It is keyed, so it says nothing
// to whoever holds the spool alone.
type digest [8]byte

// windowRow is a captured row that may still change.
type windowRow struct {
	digest   digest
	record   string // id of its message record
	seen     int64  // seconds: when it was sent or, if later, captured live; its age counts from here
	serverID int64  // 0: none, or not known
	talker   int64  // the conversation, by the database's own names, where rows have one each
	flags    byte
	pages    []uint32
}

// The flags of a windowRow.
const (
	rowServer       = 1 << iota // has a server id
	rowSystem                   // is a notice
	rowTransferring             // is a file that the client had not finished
)

func (w *windowRow) is(flag byte) bool { return w.flags&flag != 0 }

// encode: version 2, key check (4), digest (8), seen (8), flags, server id (8), talker
// (8), record id.
func (w *windowRow) encode(check [4]byte) []byte {
	b := append([]byte{2}, check[:]...)
	b = append(b, w.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(w.seen))
	b = append(b, w.flags)
	b = binary.BigEndian.AppendUint64(b, uint64(w.serverID))
	b = binary.BigEndian.AppendUint64(b, uint64(w.talker))
	return append(b, w.record...)
}

// decodeWindowRow reads a row; ours is false when it was made with another device
// secret, so that its digest can be compared with nothing. Version 1 had no server id
// and no talker, and digested other things: its digest counts for nothing either.
func decodeWindowRow(b []byte, check [4]byte) (w *windowRow, ours bool, err error) {
	if len(b) >= 22 && b[0] == 1 {
		return nil, false, nil
	}
	if len(b) < 38 || b[0] != 2 {
		return nil, false, fmt.Errorf("window row of %d bytes", len(b))
	}
	w = &windowRow{
		digest: digest(b[5:13]), seen: int64(binary.BigEndian.Uint64(b[13:])), flags: b[21],
		serverID: int64(binary.BigEndian.Uint64(b[22:])), talker: int64(binary.BigEndian.Uint64(b[30:])), record: string(b[38:]),
	}
	return w, [4]byte(b[1:5]) == check, nil
}

// digester makes keyed digests; it belongs to one goroutine.
type digester struct {
	secret []byte
	buf    []byte
}

func (d *digester) check() [4]byte {
	m := hmac.New(sha256.New, d.secret)
	m.Write([]byte("check"))
	return [4]byte(m.Sum(nil)[:4])
}

// row digests what a row means: its type, sender, server id and content, without
// delivery counters and without how the content is compressed.
func (d *digester) row(r *record.Record, m *wechat.Message) digest {
	b := append(d.buf[:0], d.secret...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Native.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Native.Subtype))
	b = binary.BigEndian.AppendUint64(b, uint64(m.ServerID))
	sender := ""
	if r.Sender != nil {
		sender = r.Sender.ID
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(sender)))
	b = append(b, sender...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Shown)))
	b = append(b, m.Shown...)
	b = append(b, m.Content...)
	d.buf = b
	// SHA-256 of secret and message: only eight bytes of it are kept, so the length
	// extension that HMAC guards against has nothing to extend.
	sum := sha256.Sum256(b)
	return digest(sum[:8])
}

// namedState is a state that an event has named, so that its end can be recorded
// too, after a restart as well.
type namedState struct {
	State  State     `json:"state"`
	Since  time.Time `json:"since"`
	Event  string    `json:"event"` // id of the event record
	Detail string    `json:"detail,omitempty"`
}

func (n *namedState) cursor(key string) spool.Cursor {
	b, _ := json.Marshal(n) // plain data, cannot fail
	return spool.Cursor{Key: key, Value: b}
}
