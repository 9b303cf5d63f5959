package agent

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal/protocol"
	"tidemark/spool"
)

// heartbeatOf makes the heartbeat of a status. Machine, gaps and the clock's offset are
// the caller's to add.
func heartbeatOf(s *Status, c *config.Config, cause string, interval time.Duration) *protocol.Heartbeat {
	h := &protocol.Heartbeat{
		V: protocol.HeartbeatVersion, At: s.At.Truncate(time.Millisecond), Cause: cause, Interval: max(1, int(interval.Seconds())),
		Overall: string(s.Overall), States: []protocol.HeartbeatState{}, Version: protocol.Showable(s.Version), Started: s.Started.Truncate(time.Second),
		Accounts: []protocol.HeartbeatAccount{},
	}
	for _, r := range s.Reasons {
		h.States = append(h.States, protocol.HeartbeatState{ID: string(r.ID), Severity: string(r.Health), Since: r.Since, Account: protocol.Showable(r.Account)})
	}
	if s.Capture != nil {
		for i := range s.Capture.Accounts {
			a := &s.Capture.Accounts[i]
			h.Accounts = append(h.Accounts, protocol.HeartbeatAccount{
				ID: protocol.Showable(a.Account), Name: protocol.Showable(a.Name), Generation: a.Generation, InScope: a.State != collector.StateExcluded,
				State: string(state.Account(string(a.State))), Severity: string(severityOf(a.Severity)), Since: a.Since, LastRead: a.LastRead,
				ReadWithin: int(readWithin(c).Seconds()),
			})
		}
	}
	h.States = h.States[:min(len(h.States), 1000)] // the worst come first
	h.Accounts = h.Accounts[:min(len(h.Accounts), 250)]
	if s.Spool != nil {
		for _, l := range s.Spool.Lanes {
			h.Backlog.Records += int64(l.Records)
			h.Backlog.Batches += int64(l.Batches)
		}
		h.Backlog.Bytes, h.Backlog.Oldest = s.Spool.Bytes, s.oldest()
	}
	if all, err := spool.ListQuarantined(filepath.Join(s.StateDir, spoolFile)); err == nil {
		h.Backlog.Quarantined = int64(len(all))
	}
	return h
}

// severityOf is a record's severity as a health.
func severityOf(severity string) Health {
	switch severity {
	case record.SeverityDegraded:
		return Degraded
	case record.SeverityBlind:
		return Blind
	}
	return Healthy
}

// users are the computer's users in whose folders accounts were found, as the paths tell.
func (s *Status) users() []string {
	var out []string
	if s.Capture == nil {
		return nil
	}
	for _, a := range s.Capture.Accounts {
		if u := userOf(a.Path); u != "" && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 60)]
}

// userOf is the user whose profile a path is in, or "".
func userOf(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	if len(parts) > 0 && strings.HasSuffix(parts[0], ":") { // C:
		parts = parts[1:]
	}
	switch {
	case len(parts) > 1 && (strings.EqualFold(parts[0], "users") || parts[0] == "home"):
		return protocol.Showable(parts[1])
	case len(parts) > 0 && parts[0] == "root":
		return "root"
	}
	return ""
}
