// Package record is what Tidemark captures: the types and their JSON form,
// shared by the agent, which writes them, and the archive, which reads them.
//
// A record is one JSON object on one line. Every record says what it is (Kind),
// carries an identity derived from what it describes, so that the same message
// seen twice is the same record, and names the device and the time of capture.
// A field that is absent was not known; nothing is guessed. 64-bit numbers are
// strings, because JSON readers are free to round numbers beyond 2^53; times are
// RFC 3339 in UTC.
//
// The originals are kept: [Source] holds the row as the client stored it, each
// column with its storage class, so that an archive can decode it again later
// and a court can see what was there. docs/record.schema.json is the schema of
// the form, and docs/format.md explains it.
//
// # Writing and reading
//
// [Record.AppendJSON] writes; it is written out by hand because it runs once for
// each message of a history of millions. [Parse] reads one line. Both are pure
// functions and safe for concurrent use on different records.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Version is the "v" of every record that this package writes.
const Version = 1

// Kind says what a record describes.
type Kind string

// The kinds of records.
const (
	KindMessage  Kind = "message"  // a message row, as first captured
	KindRevision Kind = "revision" // a captured row changed
	KindDeletion Kind = "deletion" // a captured row went away
	KindMedia    Kind = "media"    // what became of a message's files; a piece of a file's content
	KindContact  Kind = "contact"  // a person or service as the client knows it, when that changed
	KindRoom     Kind = "room"     // a room, its owner and members, when that changed
	KindEvent    Kind = "event"    // something about the capture itself
)

// The changes that a revision names.
const (
	ChangeRecall   = "recall"    // the row became a system notice in place
	ChangeServerID = "server_id" // the server's id was filled in after sending
	ChangeContent  = "content"   // any other change of type, sender or content
	ChangeFile     = "file"      // a file's transfer ended
	ChangeStatus   = "status"    // money or a call reached another state
)

// The changes that a deletion names.
const (
	ChangeDeleted = "deleted" // one row went
	ChangeCleared = "cleared" // with its whole conversation
)

// The events. Each is a statement about the capture that an archive must be able
// to read years later; the severities tell what it means for completeness.
const (
	EventStarted           = "started"             // the agent began to run
	EventStopped           = "stopped"             // the agent stopped in good order
	EventAccountFound      = "account_found"       // an account folder was seen for the first time
	EventKeyMissing        = "key_missing"         // no key for an account or database: blind from Since on
	EventKeyRejected       = "key_rejected"        // the key given does not open the database
	EventDatabaseCorrupt   = "database_corrupt"    // pages or tables that do not verify
	EventDatabaseUnusable  = "database_unusable"   // not a database, a directory, not readable
	EventDatabaseReplaced  = "database_replaced"   // another database stands at the same path
	EventDatabaseRecreated = "database_recreated"  // ids went backwards: the table was made anew
	EventRecovered         = "recovered"           // a state named by an earlier event has ended
	EventUnfamiliar        = "unfamiliar_client"   // tables or columns this version does not know
	EventGap               = "gap"                 // what may be missing, and why
	EventCounts            = "counts"              // per conversation and day: rows seen in the source, records sealed, rows out of scope
	EventScopeChanged      = "scope_changed"       // what is captured was configured anew
	EventNotice            = "notice"              // the notice to the users of the device, when its words change
	EventNoticePending     = "notice_pending"      // nothing of an account is captured until its user has acknowledged the notice
	EventAcknowledged      = "notice_acknowledged" // a user has acknowledged the notice
	EventArchiveKeys       = "archive_keys"        // the device seals to other keys of its archive's than before
	EventIdentityLost      = "identity_lost"       // the device has another identity than before; what the lost one sealed is delivered on its behalf
	EventQuarantined       = "batch_quarantined"   // the archive refuses a batch for good; it is kept on the device
	EventFork              = "fork"                // the archive's chain of a lane was not this device's; both histories are kept
	EventSettingsChanged   = "settings_changed"    // settings have other values than before
	EventSettingsInvalid   = "settings_invalid"    // managed settings cannot be taken, until "recovered"; blind when capture is held
)

// Severities of events, worst last.
const (
	SeverityInfo     = "info"     // nothing is at risk
	SeverityDegraded = "degraded" // some of what is in scope is not captured at the moment
	SeverityBlind    = "blind"    // nothing of the account is captured
)

// Record is one captured fact. Which fields are set depends on Kind; see
// docs/format.md for the table. A Record is plain data without locks.
type Record struct {
	V    int    `json:"v"`
	Kind Kind   `json:"kind"`
	ID   string `json:"id"` // a letter for the kind, "_" and 26 letters; see [Kind]

	// Revisions.
	Of     string `json:"of,omitempty"`     // the record this one changes
	Change string `json:"change,omitempty"` // one of the Change constants

	// Events.
	Event    string            `json:"event,omitempty"`
	Severity string            `json:"severity,omitempty"`
	Since    time.Time         `json:"since,omitzero"` // when the state began
	Detail   map[string]string `json:"detail,omitempty"`

	Device     string    `json:"device"`      // d_…
	CapturedAt time.Time `json:"captured_at"` // the device's clock, milliseconds

	Account      *Party        `json:"account,omitempty"`
	Client       *Client       `json:"client,omitempty"`
	Conversation *Conversation `json:"conversation,omitempty"`
	Sender       *Sender       `json:"sender,omitempty"`
	SentAt       time.Time     `json:"sent_at,omitzero"`    // the client's clock, seconds
	ServerID     string        `json:"server_id,omitempty"` // WeChat's 64-bit id, decimal
	LocalID      string        `json:"local_id,omitempty"`  // row id in Source.Table, decimal
	Order        string        `json:"order,omitempty"`     // the client's sort key in the conversation, decimal
	Type         string        `json:"type,omitempty"`      // one of the Type constants
	Text         *string       `json:"text,omitempty"`      // decoded text; nil when not decoded
	Mentions     []string      `json:"mentions,omitempty"`  // usernames that the text addresses
	*Body                      // what the type says beyond text; nil for none
	Media        []Media       `json:"media,omitempty"`
	Piece        *Piece        `json:"piece,omitempty"`      // of a media record in the media lane
	Contact      *Contact      `json:"contact,omitempty"`    // of a contact record
	Room         *Room         `json:"room,omitempty"`       // of a room record
	Unreadable   string        `json:"unreadable,omitempty"` // why the content could not be decoded, the row being kept
	Native       *Native       `json:"native,omitempty"`     // the client's own type numbers
	Decoder      string        `json:"decoder,omitempty"`    // decoder and version, "weixin4/1"
	Source       *Source       `json:"source,omitempty"`     // the row as it was stored
}

// Party is an account or a person: a stable username and the name shown for it
// at the time of capture, when known.
type Party struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`

	json string
}

// Sender is who sent a message. Self is true when it is the account's owner.
type Sender struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Self bool   `json:"self"`

	json string
}

// Conversation is where a message stands.
type Conversation struct {
	ID   string `json:"id"`             // the username of the peer or room; "hash:<32 hex>" when it could not be resolved
	Kind string `json:"kind,omitempty"` // direct, room, official, wecom, builtin
	Name string `json:"name,omitempty"`

	json string
}

// Client is the program whose database was read.
type Client struct {
	App        string `json:"app"`        // weixin
	Generation string `json:"generation"` // 4
	OS         string `json:"os"`         // windows, darwin, linux
}

// Native holds the client's own type numbers.
type Native struct {
	Type    int64 `json:"type"`
	Subtype int64 `json:"subtype"`
}

// Source says where a record was read and holds the row as it was stored.
type Source struct {
	File  string `json:"file"` // relative to the account's database folder, with forward slashes
	Table string `json:"table,omitempty"`
	Row   Row    `json:"row,omitempty"`
}

// ErrInvalid reports a line that is not a record of this version.
var ErrInvalid = errors.New("not a valid record")

// Parse reads one record from one JSON object. It is strict where the form is
// fixed (version, kind, identity) and keeps to what it knows elsewhere: unknown
// members are ignored, so that a newer agent can add some. Errors wrap ErrInvalid
// and quote nothing of the line, for they reach logs.
func Parse(line []byte) (*Record, error) {
	var r Record
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(&r); err != nil {
		return nil, formFault(err)
	}
	if dec.More() {
		return nil, fmt.Errorf("%w: more than one value on the line", ErrInvalid)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return &r, nil
}

// formFault says what is wrong with a line that does not decode. The errors of
// encoding/json and time quote what they could not read, so none is passed on.
func formFault(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, ErrInvalid): // from Row, in our own words
		return err
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: not JSON", ErrInvalid)
	}
	return fmt.Errorf("%w: a member is not of its form", ErrInvalid)
}

// prefixes begin the ids of each kind.
var prefixes = map[Kind]string{
	KindMessage: "m_", KindRevision: "r_", KindDeletion: "x_", KindMedia: "f_", KindContact: "c_", KindRoom: "g_", KindEvent: "e_",
}

// Validate holds the rules that every record keeps. Its errors wrap ErrInvalid and
// quote no text of the record.
func (r *Record) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	if r.V != Version {
		return bad("version is not %d, the one this program knows", Version)
	}
	prefix := prefixes[r.Kind]
	switch {
	case prefix == "":
		return bad("kind is not known")
	case len(r.ID) != 2+idLen || r.ID[:2] != prefix:
		return bad("id is not of the form %s<%d letters>", prefix, idLen)
	case r.Device == "":
		return bad("device is missing")
	case r.CapturedAt.IsZero():
		return bad("captured_at is missing")
	case tooFar(r.CapturedAt), tooFar(r.SentAt), tooFar(r.Since):
		return bad("a time is beyond the year 9999, in UTC")
	case r.Kind == KindRevision && (r.Of == "" || r.Change == ""):
		return bad("a revision needs of and change")
	case r.Kind == KindEvent && (r.Event == "" || r.Severity == ""):
		return bad("an event needs event and severity")
	case r.Kind == KindDeletion && (r.Of == "" || r.Change == ""):
		return bad("a deletion needs of and change")
	case r.Kind == KindContact && (r.Account == nil || r.Contact == nil):
		return bad("a contact needs account and contact")
	case r.Kind == KindRoom && (r.Account == nil || r.Room == nil):
		return bad("a room needs account and room")
	case r.Kind == KindMedia && (r.Account == nil || r.Piece == nil && (r.Of == "" || len(r.Media) == 0)):
		return bad("a media record needs account, and either a piece or of and media")
	case (r.Kind == KindMessage || r.Kind == KindRevision) && (r.Account == nil || r.Conversation == nil || r.Source == nil):
		return bad("a %s needs account, conversation and source", r.Kind)
	}
	return nil
}

// tooFar says whether a time has no form in RFC 3339.
func tooFar(t time.Time) bool {
	year := t.UTC().Year()
	return year < 0 || year > 9999
}
