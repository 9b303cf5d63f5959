// Package media makes the attachments that a client has on disk: real pictures,
// and plain stand-ins for what needs an encoder that Go does not have; encrypts them
// as each client generation does; and says where each lies and which rows of which
// index databases name it. It writes files on request and never touches a database:
// the rows are values that the writer of the account executes.
//
// Formats, paths and rows follow section 8 of the storage reference. What is made
// depends on the generator of random numbers alone, so the same seed gives the same
// bytes, names and rows.
//
// Stand-ins: a wxgf picture and a video have the outer form of the real thing (magic,
// boxes, NAL units, length prefixes) around random bytes. No player shows them, and
// nothing that reads only the outer form can tell.
package media

import (
	"encoding/hex"
	"math/rand/v2"
	"path"
	"time"

	"tidemark/simulator/account"
)

// Generation is a client generation.
type Generation = account.Generation

// The generations.
const (
	W3 = account.W3
	M3 = account.M3
	V4 = account.V4
)

// What a file is to its message: the roles of a media record. A file with no role
// lies there too, and nothing is promised of it: a smaller copy of an original.
const (
	Original = "original"
	Preview  = "preview"
	Cover    = "cover"
	Inside   = "item" // of an item in a merged forward
)

// What must become of a file: the states of a media record.
const (
	Captured        = "captured"
	ThumbnailOnly   = "thumbnail_only"
	NeverDownloaded = "never_downloaded"
)

// Maker makes the attachments of one message. Its fields are the message's.
type Maker struct {
	Gen    Generation
	Rand   *rand.Rand
	Folder string // name of the account folder, with which 3.x paths begin
	Chat   string // username of the conversation
	Sender string // username of the sender
	Server int64  // server id of the message
	Type   int64  // local type as the row has it
	Time   time.Time
	Shard  int // number of the database for voices: MediaMSG<n>, media_<n>
	// Hardlink is the version of the 4.x index tables, 3 or 4; 0 is 4.
	Hardlink int
	// Images is the encoding of 4.x pictures; "" is V2. 3.x has one way only.
	Images Encoding
}

// Attachment is what a message brings along.
type Attachment struct {
	Files []File
	Rows  []Row
	Extra []Extra // 3.x: paths in BytesExtra
	// Packed is packed_info_data of the message in 4.x. nil is the one of a text.
	Packed []byte
	// MD5 is the hash in the message's XML, lower-case hex.
	MD5 string
	// Size is the length in bytes of the original, as the XML gives it, also when
	// there is no file.
	Size int64
}

// Extra is one string of BytesExtra: kind 3 is the path of a thumbnail, 4 of the file.
type Extra struct {
	Kind  int
	Value string
}

func (m Maker) month() string { return m.Time.Format("2006-01") }

// stem is a fresh file name of 32 hex digits.
func (m Maker) stem() string { return hex.EncodeToString(m.bytes(16)) }

func (m Maker) bytes(n int) []byte { return noise(m.Rand, n) }

// extra appends a path to BytesExtra. The client writes it with backslashes.
func (m Maker) extra(a *Attachment, kind int, p string) {
	if m.Gen == W3 {
		a.Extra = append(a.Extra, Extra{kind, backslashes(path.Join(m.Folder, p))})
	}
}
