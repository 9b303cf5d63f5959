package heartbeats

import (
	"fmt"
	"time"

	"tidemark/seal/protocol"
)

// The healths of a device as the archive sees it, besides protocol.Healthy, Degraded and
// Blind, which need a heartbeat that is fresh.
const (
	Silent     = "silent"     // its heartbeats have stopped to come
	Stopped    = "stopped"    // it said that it stops, and nothing since
	Unreported = "unreported" // it has never sent one
)

// What a device says of its own intervals counts up to this.
const longest = 24 * time.Hour

// FreshFor is how long a heartbeat counts: two intervals, so that one may be lost, and a
// minute for the way.
func FreshFor(h *protocol.Heartbeat) time.Duration {
	return 2*min(time.Duration(h.Interval)*time.Second, longest) + time.Minute
}

// Judge says how a device is as of now, and why in a few words when that is not healthy.
// A device is healthy only if its last heartbeat is fresh, the device itself found nothing
// wrong, and every account in scope had been read within its interval. nil is a device
// that has sent none.
func Judge(b *Beat, now time.Time) (health, why string) {
	if b == nil {
		return Unreported, "no heartbeat has come"
	}
	if b.Cause == protocol.BeatStopped {
		return Stopped, "the agent was stopped"
	}
	if age := now.Sub(b.Received); age > FreshFor(&b.Heartbeat) {
		return Silent, fmt.Sprintf("no heartbeat for %s", age.Truncate(time.Second))
	}
	health = b.Overall
	worse := func(severity, cause string) {
		if why == "" || rank(severity) > rank(health) {
			why = cause
		}
		if rank(severity) > rank(health) {
			health = severity
		}
	}
	for _, s := range b.States {
		cause := s.ID
		if s.Account != "" {
			cause += " (" + s.Account + ")"
		}
		worse(s.Severity, cause)
	}
	for _, a := range b.Accounts {
		if !a.InScope {
			continue
		}
		within := min(time.Duration(a.ReadWithin)*time.Second, longest)
		switch age := b.At.Sub(a.LastRead); {
		case rank(a.Severity) > 0:
			worse(a.Severity, a.State+" ("+a.ID+")")
		case a.LastRead.IsZero():
			worse(protocol.Degraded, "not read yet ("+a.ID+")")
		case age > within:
			worse(protocol.Degraded, fmt.Sprintf("not read for %s (%s)", age.Truncate(time.Second), a.ID))
		}
	}
	if why == "" && health != protocol.Healthy {
		why = "it says so"
	}
	return health, why
}

// rank orders the healths that a heartbeat may name; what it may not is the worst.
func rank(severity string) int {
	switch severity {
	case protocol.Healthy:
		return 0
	case protocol.Degraded:
		return 1
	}
	return 2
}
