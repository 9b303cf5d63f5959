package protocol

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// PathHeartbeat takes a device's account of its own health (POST: Heartbeat -> HeartbeatAnswer).
// It carries a request token as the lanes do.
const PathHeartbeat = "/v1/heartbeat"

// MaxHeartbeat is the largest body of PathHeartbeat that an archive must accept.
const MaxHeartbeat = 256 << 10

// HeartbeatVersion is the V of a Heartbeat. A reader ignores members that it does not know.
const HeartbeatVersion = 1

// The healths of a Heartbeat and the severities of its states, best first.
const (
	Healthy  = "healthy"  // all in scope is captured and delivered
	Degraded = "degraded" // captured, but late or not all
	Blind    = "blind"    // an account, or everything, is not captured
)

// Why a Heartbeat was sent.
const (
	BeatStarted  = "started"  // the agent has just started
	BeatInterval = "interval" // its time had come
	BeatChanged  = "changed"  // a state was entered or left
	BeatStopped  = "stopped"  // the agent stops in good order; no other follows
)

// Heartbeat is what a device says of its health: states, counts and times. It has no
// content, no key and no path. The names of accounts, of the machine and of its users
// are personal data; docs/lawful-use.md says what they are for.
//
// Times are the device's own clock, in UTC; an age is one time of a heartbeat minus another
// of the same, so that a wrong clock changes none.
type Heartbeat struct {
	V        int                `json:"v"`
	At       time.Time          `json:"at"`         // when it was made
	Cause    string             `json:"cause"`      // one of the Beat constants
	Interval int                `json:"interval_s"` // seconds until the next, at the latest
	Overall  string             `json:"overall"`    // Healthy, Degraded or Blind, the worst of States
	States   []HeartbeatState   `json:"states"`     // what is not as it should be, worst first
	Version  string             `json:"version"`    // of the agent
	Started  time.Time          `json:"started"`    // when the agent did
	Machine  Machine            `json:"machine"`
	Accounts []HeartbeatAccount `json:"accounts"`
	Backlog  Backlog            `json:"backlog"`
	Gaps     HeartbeatGaps      `json:"gaps"`
	// Offset is how far the archive's clock was ahead of the device's when the device last
	// compared them, in milliseconds; absent when it never did.
	Offset *int64 `json:"clock_offset_ms,omitempty"`
}

// HeartbeatState is a named state that the device is in.
type HeartbeatState struct {
	ID       string    `json:"id"`       // of docs/states.md
	Severity string    `json:"severity"` // Degraded or Blind
	Since    time.Time `json:"since,omitzero"`
	Account  string    `json:"account,omitempty"` // whose it is, when it is an account's
}

// HeartbeatAccount is a WeChat account on the device.
type HeartbeatAccount struct {
	ID         string    `json:"id"`
	Name       string    `json:"name,omitempty"`
	Generation string    `json:"generation"` // of the client: 3 or 4
	InScope    bool      `json:"in_scope"`
	State      string    `json:"state"`    // id of docs/states.md
	Severity   string    `json:"severity"` // Healthy, Degraded or Blind
	Since      time.Time `json:"since,omitzero"`
	LastRead   time.Time `json:"last_read,omitzero"` // when everything of it that is in scope had last been read
	ReadWithin int       `json:"read_within_s"`      // LastRead is no older than this, in seconds, when capture goes well
}

// Machine says which computer this is. What the system does not tell is absent.
type Machine struct {
	Hostname  string   `json:"hostname"`
	OS        string   `json:"os"` // windows, darwin or linux
	OSVersion string   `json:"os_version,omitempty"`
	Arch      string   `json:"arch"`
	Serial    string   `json:"serial,omitempty"`    // of the hardware
	Users     []string `json:"users,omitempty"`     // of this computer, whose WeChat folders were found
	Directory string   `json:"directory,omitempty"` // the domain or tenant that the computer belongs to
}

// Backlog is what waits for the archive.
type Backlog struct {
	Records     int64     `json:"records"`
	Batches     int64     `json:"batches"`
	Bytes       int64     `json:"bytes"`
	Oldest      time.Time `json:"oldest,omitzero"` // when the oldest of it was sealed
	Quarantined int64     `json:"quarantined"`     // batches that the archive refused for good
}

// HeartbeatGaps are times in which nothing was captured, since the agent started and
// just before.
type HeartbeatGaps struct {
	Count int64     `json:"count"`
	Last  time.Time `json:"last,omitzero"` // when the last one ended
}

// HeartbeatAnswer answers a heartbeat that the archive keeps now.
type HeartbeatAnswer struct {
	Received time.Time `json:"received"` // the archive's clock
}

// Bounds of what a heartbeat may hold.
const (
	maxBeatStates   = 1024
	maxBeatAccounts = 256
	maxBeatUsers    = 64
	maxBeatText     = 256 // bytes
	maxBeatInterval = 7 * 24 * 3600
)

// Check refuses a heartbeat that is not fit to be kept and shown: text that is too long
// or has control characters in it, numbers that can't be. It says nothing of whether it
// is true.
func (h *Heartbeat) Check() error {
	if h.V != HeartbeatVersion {
		return fmt.Errorf("heartbeat of version %d", h.V)
	}
	if h.At.IsZero() || h.Interval < 1 || h.Interval > maxBeatInterval {
		return errors.New("heartbeat without its time or interval")
	}
	if len(h.States) > maxBeatStates || len(h.Accounts) > maxBeatAccounts || len(h.Machine.Users) > maxBeatUsers {
		return errors.New("heartbeat with too many states, accounts or users")
	}
	b := h.Backlog
	if min(b.Records, b.Batches, b.Bytes, b.Quarantined, h.Gaps.Count) < 0 {
		return errors.New("heartbeat with a negative count")
	}
	m := h.Machine
	texts := append([]string{h.Cause, h.Version, m.Hostname, m.OS, m.OSVersion, m.Arch, m.Serial, m.Directory}, m.Users...)
	severities := []string{h.Overall}
	for _, s := range h.States {
		texts, severities = append(texts, s.ID, s.Account), append(severities, s.Severity)
	}
	for _, a := range h.Accounts {
		texts, severities = append(texts, a.ID, a.Name, a.Generation, a.State), append(severities, a.Severity)
		if a.ID == "" || a.ReadWithin < 1 || a.ReadWithin > maxBeatInterval {
			return errors.New("heartbeat with an account without id or interval")
		}
	}
	for _, s := range severities {
		if s != Healthy && s != Degraded && s != Blind {
			return errors.New("heartbeat with a severity that is none")
		}
	}
	for _, t := range texts {
		if !showable(t) {
			return errors.New("heartbeat with text that is too long or not fit to be shown")
		}
	}
	return nil
}

func showable(s string) bool {
	if len(s) > maxBeatText || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Showable makes text of unknown origin fit for a heartbeat: without what is not
// printable, and short.
func Showable(s string) string {
	var out []byte
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = ' '
		}
		if len(out)+utf8.RuneLen(r) > maxBeatText {
			break
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
