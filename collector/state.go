package collector

import (
	"errors"
	"io/fs"
	"time"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// State says how the capture of a database or an account stands.
type State string

// The states.
const (
	StateCurrent     State = "current"             // everything committed so far has been read
	StateCatchingUp  State = "catching up"         // history is being read
	StateExcluded    State = "excluded"            // out of scope by configuration
	StateNotice      State = "notice not read"     // held until the account's user has acknowledged the notice
	StateMoving      State = "moving"              // the client changes the database faster than it can be read
	StateSpoolFull   State = "spool full"          // reading has stopped until the archive takes what is waiting
	StateUnfamiliar  State = "unfamiliar client"   // tables or columns this version does not know
	StateGone        State = "gone"                // a database that was there is there no longer
	StateNoMessages  State = "no message database" // there is none that this version knows by name
	StateImageKey    State = "image key missing"   // pictures cannot be decoded
	StateEmpty       State = "empty"               // a file without a byte
	StateNotReadable State = "not readable"        // permission, I/O error, not a database
	StateCorrupt     State = "corrupt"             // pages that do not verify
	StateNoSource    State = "key source failed"   // a key source could not be asked
	StateKeyRejected State = "key rejected"        // the given key does not open the file
	StateKeyMissing  State = "key missing"         // no source has a key
	StateFailed      State = "failed"              // the spool did not take the records
)

type stateInfo struct {
	rank     int           // the worst of several states is the greatest
	severity string        // record.Severity*
	event    string        // the event that names it; "" for none
	patience time.Duration // how long it may last before it is an event
	passing  bool          // says nothing of the database: what an event has named goes on
}

var states = map[State]stateInfo{
	StateExcluded:    {rank: 0, severity: record.SeverityInfo},
	StateCurrent:     {rank: 1, severity: record.SeverityInfo},
	StateCatchingUp:  {rank: 2, severity: record.SeverityInfo, passing: true},
	StateMoving:      {rank: 3, severity: record.SeverityDegraded, passing: true},
	StateUnfamiliar:  {rank: 4, severity: record.SeverityDegraded, event: record.EventUnfamiliar},
	StateSpoolFull:   {rank: 5, severity: record.SeverityDegraded, passing: true},
	StateFailed:      {rank: 6, severity: record.SeverityDegraded, passing: true},
	StateImageKey:    {rank: 7, severity: record.SeverityDegraded, event: record.EventKeyMissing},
	StateEmpty:       {rank: 7, severity: record.SeverityDegraded, event: record.EventDatabaseUnusable, patience: time.Minute},
	StateGone:        {rank: 8, severity: record.SeverityDegraded, event: record.EventDatabaseUnusable},
	StateNotReadable: {rank: 9, severity: record.SeverityDegraded, event: record.EventDatabaseUnusable},
	StateCorrupt:     {rank: 10, severity: record.SeverityDegraded, event: record.EventDatabaseCorrupt},
	StateNotice:      {rank: 11, severity: record.SeverityBlind, event: record.EventNoticePending},
	StateNoMessages:  {rank: 11, severity: record.SeverityBlind, event: record.EventDatabaseUnusable, patience: time.Minute},
	StateNoSource:    {rank: 12, severity: record.SeverityBlind, event: record.EventKeyMissing},
	StateKeyRejected: {rank: 13, severity: record.SeverityBlind, event: record.EventKeyRejected},
	StateKeyMissing:  {rank: 14, severity: record.SeverityBlind, event: record.EventKeyMissing},
}

// Severity says what the state means for the database it stands at: one of
// record.SeverityInfo, SeverityDegraded and SeverityBlind.
func (s State) Severity() string { return states[s].severity }

// stateOf names the state that an error of reading a database means.
func stateOf(err error) State {
	switch {
	case err == nil:
		return StateCurrent
	case errors.Is(err, sqlcipher.ErrMoved), errors.Is(err, sqlcipher.ErrReplaced):
		return StateMoving
	case errors.Is(err, sqlcipher.ErrKeyMissing):
		return StateKeyMissing
	case errors.Is(err, sqlcipher.ErrKeyRejected):
		return StateKeyRejected
	case errors.Is(err, sqlcipher.ErrCorrupt):
		return StateCorrupt
	case errors.Is(err, sqlcipher.ErrEmpty):
		return StateEmpty
	case errors.Is(err, fs.ErrNotExist):
		return StateGone
	default:
		return StateNotReadable
	}
}

// DatabaseStatus is one database of an account.
type DatabaseStatus struct {
	File   string    `json:"file"` // relative to the folder of databases, forward slashes
	State  State     `json:"state"`
	Since  time.Time `json:"since"`
	Detail string    `json:"detail,omitempty"` // cause, without content or keys
}

// AccountStatus is one account folder on this device.
type AccountStatus struct {
	Account    string           `json:"account"` // username
	Name       string           `json:"name,omitempty"`
	Generation string           `json:"generation"`
	Path       string           `json:"path"`
	State      State            `json:"state"`    // the worst of its databases
	Severity   string           `json:"severity"` // info, degraded, or blind: nothing of it is captured
	Since      time.Time        `json:"since"`
	LastRead   time.Time        `json:"last_read,omitzero"` // last pass that found every database in scope current
	Messages   int64            `json:"messages"`           // captured since the agent started
	Revisions  int64            `json:"revisions"`
	Files      int              `json:"files_pending"`     // files of messages that are not captured yet, or not for good
	Unknown    []TypeCount      `json:"unknown,omitempty"` // messages of types that this version does not know, of those captured since the agent started
	Databases  []DatabaseStatus `json:"databases"`
}

// Problem is a place that could not be searched for accounts.
type Problem struct {
	Path  string `json:"path"`
	Cause string `json:"cause"`
}

// Status is the collector's account of itself.
type Status struct {
	Accounts []AccountStatus `json:"accounts"`
	Problems []Problem       `json:"problems,omitempty"`
	LastPass time.Time       `json:"last_pass,omitzero"`
	Passes   int64           `json:"passes"`
}
