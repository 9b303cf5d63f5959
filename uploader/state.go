package uploader

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// State says how delivery stands.
type State string

// The states, best first.
const (
	StateIdle        State = "idle"                // nothing waits
	StateDelivering  State = "delivering"          // batches are on their way
	StateBusy        State = "archive busy"        // the archive asked for patience, or could not keep a batch just now
	StateUnreachable State = "archive unreachable" // no connection, or a gateway says that there is none
	StateNotArchive  State = "not the archive"     // what answers is not the pinned archive, or not its protocol
	StateNotEnrolled State = "not enrolled"        // the archive does not know this device, or revoked it
	StateRefused     State = "refused"             // the archive refuses the oldest batch for good
	StateFork        State = "fork"                // the archive's chain is not this device's
)

var ranks = map[State]int{
	StateIdle: 0, StateDelivering: 1, StateBusy: 2, StateUnreachable: 3,
	StateNotArchive: 4, StateNotEnrolled: 5, StateRefused: 6, StateFork: 7,
}

func (s State) rank() int { return ranks[s] }

// OK says whether delivery goes well in this state.
func (s State) OK() bool { return s == StateIdle || s == StateDelivering }

// waiting says whether asking again within seconds may help.
func (s State) waiting() bool { return s == StateBusy || s == StateUnreachable }

// LaneStatus is how delivery of one lane stands.
type LaneStatus struct {
	Lane        string    `json:"lane"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"`
	Err         string    `json:"err,omitempty"`         // what went wrong last, without content
	Attempt     int       `json:"attempt,omitempty"`     // failures in a row
	NextRetry   time.Time `json:"next_retry,omitzero"`   // while waiting
	LastReceipt time.Time `json:"last_receipt,omitzero"` // the device's clock
	Delivered   int64     `json:"delivered"`             // batches acknowledged since the start
}

// Status is the uploader's account of itself: that of the worst lane, and each.
type Status struct {
	State       State        `json:"state"`
	Since       time.Time    `json:"since"`
	Err         string       `json:"err,omitempty"`
	LastReceipt time.Time    `json:"last_receipt,omitzero"`
	Lanes       []LaneStatus `json:"lanes"`
}

// clean makes text of unknown origin fit for a status line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
