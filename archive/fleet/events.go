package fleet

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"tidemark/record"
)

// OpenState is a state that an event began and none has ended.
type OpenState struct {
	ID       string    `json:"id"` // of the event that began it
	Account  string    `json:"account,omitempty"`
	Event    string    `json:"event"`
	Severity string    `json:"severity"`
	Since    time.Time `json:"since"`
	File     string    `json:"file,omitempty"`
}

func rank(severity string) int {
	return slices.Index([]string{record.SeverityInfo, record.SeverityDegraded, record.SeverityBlind}, severity)
}

// openStates follows a device's events in the order they arrived.
type openStates struct{ open []OpenState }

// occurrences are events that tell what happened once, not a state that lasts.
var occurrences = []string{
	record.EventStarted, record.EventStopped, record.EventAccountFound, record.EventRecovered,
	record.EventDatabaseReplaced, record.EventDatabaseRecreated, record.EventCounts, record.EventScopeChanged, record.EventNotice, record.EventAcknowledged,
	record.EventArchiveKeys, record.EventFork, record.EventIdentityLost,
}

// event is what counts of an event record.
type event struct {
	ID         string            `json:"id"`
	Of         string            `json:"of"`
	Event      string            `json:"event"`
	Severity   string            `json:"severity"`
	Since      time.Time         `json:"since"`
	CapturedAt time.Time         `json:"captured_at"`
	Detail     map[string]string `json:"detail"`
	Account    record.Party      `json:"account"`
	Source     struct {
		File string `json:"file"`
	} `json:"source"`
}

// parseEvent reads an event. One of a form that is not known says nothing here: it was
// indexed, so it is no fault.
func parseEvent(line []byte) (e event, ok bool) {
	ok = json.Unmarshal(line, &e) == nil
	return e, ok
}

func (s *openStates) event(e event) {
	if e.Event == record.EventRecovered {
		// It ends the state that the event it names began, and no other: two
		// databases may be in the same state.
		s.open = slices.DeleteFunc(s.open, func(o OpenState) bool { return o.ID == e.Of })
		return
	}
	switch {
	case rank(e.Severity) <= rank(record.SeverityInfo), slices.Contains(occurrences, e.Event):
		return
	case e.Event == record.EventGap && e.Detail["state"] == "":
		return // a hole in what was captured; one that still grows names the state it grows by
	}
	s.open = append(s.open, OpenState{
		ID: e.ID, Account: e.Account.ID, Event: e.Event, Severity: e.Severity,
		Since: cmp.Or(e.Since, e.CapturedAt), File: cmp.Or(e.Detail["file"], e.Source.File),
	})
}
