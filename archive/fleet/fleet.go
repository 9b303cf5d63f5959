// Package fleet is what an archive knows of the laptops that deliver to it: who they are,
// whether each is healthy and why not, what waits on it, and what it has delivered.
//
// Three sources meet here. The registry knows which devices are enrolled. Heartbeats tell
// how a device is; package heartbeats judges them. The index knows what came, and from
// the events in it which states a device was in that nothing has ended: those are sealed
// and logged, so they hold where a heartbeat is only a word.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidemark/archive"
	"tidemark/archive/heartbeats"
	"tidemark/archive/index"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Device is what the archive knows of one device.
type Device struct {
	ID       string    `json:"id"`
	Hostname string    `json:"hostname"`
	OS       string    `json:"os"`
	Arch     string    `json:"arch"`
	Version  string    `json:"version"`
	Enrolled time.Time `json:"enrolled"`
	LastSeen time.Time `json:"last_seen"` // last request, to the minute
	Revoked  time.Time `json:"revoked,omitzero"`

	Health   string        `json:"health"`            // healthy, degraded, blind, silent, stopped or unreported
	Why      string        `json:"why,omitempty"`     // it is not healthy, in a few words
	Reported time.Time     `json:"reported,omitzero"` // when the last heartbeat came, by the archive's clock
	Skew     time.Duration `json:"clock_skew_ns"`     // how far the device's clock is ahead, as of that heartbeat
	Report   *Report       `json:"report,omitempty"`  // what that heartbeat said

	Batches int64            `json:"batches"`
	Records int64            `json:"records"`
	Bytes   int64            `json:"bytes"`
	Lanes   map[string]int64 `json:"lanes"`            // last sequence number
	State   string           `json:"state"`            // the worst severity of Open, or "ok"
	Open    []OpenState      `json:"open,omitempty"`   // what its events began and none has ended
	Faults  int64            `json:"faults,omitempty"` // batches or records that could not be read
}

// Report is what a device said of itself last.
type Report struct {
	Machine  protocol.Machine            `json:"machine"`
	Started  time.Time                   `json:"started"`
	States   []protocol.HeartbeatState   `json:"states"`
	Accounts []protocol.HeartbeatAccount `json:"accounts"`
	Backlog  protocol.Backlog            `json:"backlog"`
	Gaps     protocol.HeartbeatGaps      `json:"gaps"`
}

// Fleet reads an archive's folder, beside a server that writes it. What it has read of
// the index it keeps, so that looking again costs what is new. Safe for concurrent use.
type Fleet struct {
	folder archive.Folder

	mu    sync.Mutex
	upTo  int64 // number of the last batch that was read
	sums  map[string]*sum
	since map[string]*openStates
}

// sum is what the batches of a device add up to.
type sum struct {
	batches, records, bytes int64
	lanes                   map[string]int64
}

// Open names the archive's folder.
func Open(f archive.Folder) *Fleet { return &Fleet{folder: f} }

// Devices lists every enrolled device as of now, by the time of its enrolment.
func (f *Fleet) Devices(ctx context.Context, now time.Time) ([]Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	beats, err := f.beats(ctx)
	if err != nil {
		return nil, err
	}
	reg, err := f.folder.OpenRegistry()
	if err != nil {
		return nil, err
	}
	enrolled, err := reg.Devices(ctx)
	if err = errors.Join(err, reg.Close()); err != nil {
		return nil, err
	}
	out := make([]Device, len(enrolled))
	for i, e := range enrolled {
		d := &out[i]
		*d = Device{
			ID: e.ID.String(), Hostname: e.Hostname, OS: e.OS, Arch: e.Arch, Version: e.Version,
			Enrolled: e.Enrolled, LastSeen: e.Seen, Revoked: e.Revoked, Lanes: map[string]int64{}, State: "ok",
		}
		b := beats[d.ID]
		d.Health, d.Why = heartbeats.Judge(b, now)
		if b != nil {
			d.Reported, d.Skew = b.Received, b.Skew()
			d.Report = &Report{b.Machine, b.Started, b.States, b.Accounts, b.Backlog, b.Gaps}
		}
		if s := f.sums[d.ID]; s != nil {
			d.Batches, d.Records, d.Bytes = s.batches, s.records, s.bytes
			for lane, seq := range s.lanes {
				d.Lanes[lane] = seq
			}
		}
		d.Faults = faults[d.ID]
		if s := f.since[d.ID]; s != nil {
			d.Open = append(d.Open, s.open...)
			for _, o := range d.Open {
				if rank(o.Severity) > rank(d.State) {
					d.State = o.Severity
				}
			}
		}
	}
	return out, nil
}

// Changes lists what changed in a device's health, the newest first.
func (f *Fleet) Changes(ctx context.Context, device string) ([]heartbeats.Change, error) {
	id, err := seal.ParseDeviceID(device)
	if err != nil {
		return nil, err
	}
	s, err := heartbeats.Open(f.folder.Heartbeats(), nil)
	if err != nil {
		return nil, err
	}
	changes, err := s.Changes(ctx, id)
	return changes, errors.Join(err, s.Close())
}

// read takes in what came into the index since the last look, and counts its faults.
func (f *Fleet) read(ctx context.Context) (map[string]int64, error) {
	r, err := f.folder.OpenIndex()
	if errors.Is(err, index.ErrMissing) { // nothing was delivered yet, or the index is to be made again
		f.upTo, f.sums, f.since = 0, nil, nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	last, err := r.LastBatch(ctx)
	if err != nil {
		return nil, err
	}
	if last < f.upTo || f.sums == nil { // the first look, or the index was made anew
		f.upTo, f.sums, f.since = 0, map[string]*sum{}, map[string]*openStates{}
	}
	lanes, err := r.Lanes(ctx, f.upTo, last)
	if err != nil {
		return nil, err
	}
	// Events first: a look that is given up half way changes nothing.
	var events []func()
	err = r.Events(ctx, f.upTo, last, func(device string, line []byte) error {
		e, ok := parseEvent(line)
		if ok {
			events = append(events, func() {
				if f.since[device] == nil {
					f.since[device] = &openStates{}
				}
				f.since[device].event(e)
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	faults, err := r.Faults(ctx)
	if err != nil {
		return nil, err
	}
	for _, take := range events {
		take()
	}
	for _, l := range lanes {
		id := l.Lane.Device.String()
		if f.sums[id] == nil {
			f.sums[id] = &sum{lanes: map[string]int64{}}
		}
		s := f.sums[id]
		s.batches, s.records, s.bytes = s.batches+l.Batches, s.records+l.Records, s.bytes+l.Bytes
		s.lanes[l.Lane.Lane.String()] = max(s.lanes[l.Lane.Lane.String()], int64(l.Last))
	}
	f.upTo = last
	return faults, nil
}

func (f *Fleet) beats(ctx context.Context) (map[string]*heartbeats.Beat, error) {
	s, err := heartbeats.Open(f.folder.Heartbeats(), nil)
	if err != nil {
		return nil, err
	}
	last, err := s.Last(ctx)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	out := make(map[string]*heartbeats.Beat, len(last))
	for i := range last {
		out[last[i].Device.String()] = &last[i]
	}
	return out, nil
}

// String says how the device is, for a person.
func (d *Device) String() string {
	s := d.Health
	if d.Why != "" {
		s = fmt.Sprintf("%s: %s", s, d.Why)
	}
	if !d.Revoked.IsZero() {
		s = "revoked, " + s
	}
	return s
}
