package archive

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"tidemark/archive/index"
	"tidemark/record"
)

// DeviceStatus is what the archive knows of one device.
type DeviceStatus struct {
	ID       string           `json:"id"`
	Hostname string           `json:"hostname"`
	OS       string           `json:"os"`
	Arch     string           `json:"arch"`
	Version  string           `json:"version"`
	Enrolled time.Time        `json:"enrolled"`
	LastSeen time.Time        `json:"last_seen"` // last request, to the minute
	Revoked  time.Time        `json:"revoked,omitzero"`
	Batches  int64            `json:"batches"`
	Records  int64            `json:"records"`
	Bytes    int64            `json:"bytes"`
	Lanes    map[string]int64 `json:"lanes"`            // last sequence number
	State    string           `json:"state"`            // the worst severity of Open, or "ok"
	Open     []OpenState      `json:"open,omitempty"`   // what the device has reported and not yet recovered from
	Faults   int64            `json:"faults,omitempty"` // batches or records that could not be read
}

// OpenState is a state that an event began and none has ended.
type OpenState struct {
	ID       string    `json:"id"` // of the event that began it
	Account  string    `json:"account,omitempty"`
	Event    string    `json:"event"`
	Severity string    `json:"severity"`
	Since    time.Time `json:"since"`
	File     string    `json:"file,omitempty"`
}

// Devices lists every enrolled device. It works while a server runs.
func Devices(ctx context.Context, f Folder) ([]DeviceStatus, error) {
	r, err := f.OpenIndex()
	if errors.Is(err, index.ErrMissing) {
		r = nil // nothing was delivered yet, or the index is to be made again
	} else if err != nil {
		return nil, err
	}
	reg, err := f.OpenRegistry()
	if err != nil {
		return nil, err
	}
	defer reg.Close()
	devices, err := reg.Devices(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]DeviceStatus, len(devices))
	byID := map[string]*DeviceStatus{}
	for i, d := range devices {
		out[i] = DeviceStatus{
			ID: d.ID.String(), Hostname: d.Hostname, OS: d.OS, Arch: d.Arch, Version: d.Version,
			Enrolled: d.Enrolled, LastSeen: d.Seen, Revoked: d.Revoked, Lanes: map[string]int64{}, State: "ok",
		}
		byID[out[i].ID] = &out[i]
	}
	if r == nil {
		return out, nil
	}
	defer r.Close()
	lanes, err := r.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		if d := byID[l.Lane.Device.String()]; d != nil {
			d.Batches += l.Batches
			d.Records += l.Records
			d.Bytes += l.Bytes
			d.Faults += l.Faults
			d.Lanes[l.Lane.Lane.String()] = int64(l.Last)
		}
	}
	states := map[string]*openStates{}
	err = r.Events(ctx, func(device string, line []byte) error {
		if states[device] == nil {
			states[device] = &openStates{}
		}
		states[device].event(line)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, s := range states {
		if d := byID[id]; d != nil {
			d.Open = s.open
			for _, o := range s.open {
				if rank(o.Severity) > rank(d.State) {
					d.State = o.Severity
				}
			}
		}
	}
	return out, nil
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

func (s *openStates) event(line []byte) {
	var e struct {
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
	if json.Unmarshal(line, &e) != nil {
		return // it was indexed, so this is only a member of an unknown form
	}
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
