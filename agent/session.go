package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// sessionCursor is there from a start to the stop in good order that follows. It is
// set in the transaction that keeps the "started" event and deleted in the one that
// keeps "stopped", so finding it at a start means that the agent was killed, crashed
// or lost power. Until when it ran is in the time of the heartbeat file, which is
// touched and never synced: after a power cut it may be some seconds too old, which
// makes the gap that is reported too long and never too short.
const sessionCursor = "agent/session"

// heartbeatEvery is how exactly a gap's beginning is known after a crash. A touch
// costs one change of metadata and no disk flush.
const heartbeatEvery = 15 * time.Second

type session struct {
	Started time.Time `json:"started"`
}

// begin records that the agent started and, if the last session did not end in good
// order, since when nothing was captured. mode is "service" or "once".
func (p *pipeline) begin(ctx context.Context, mode string) error {
	now := p.now()
	started := p.event(record.EventStarted, record.SeverityInfo, now)
	started.Detail = map[string]string{"mode": mode, "version": p.version, "os": runtime.GOOS, "arch": runtime.GOARCH}
	records := []*record.Record{started}

	old, err := p.spool.Cursor(sessionCursor)
	if err != nil {
		return fmt.Errorf("begin session: %w", err)
	}
	if old != nil {
		gap := p.event(record.EventGap, record.SeverityDegraded, now)
		gap.Detail = map[string]string{"reason": "service stopped", "until": now.UTC().Format(time.RFC3339)}
		gap.Since = p.lastAlive(old, now)
		// The gap ends now, and whoever reads the events must not think it open.
		over := p.event(record.EventRecovered, record.SeverityInfo, now)
		over.Of, over.Since = gap.ID, gap.Since
		over.Detail = map[string]string{"state": "service stopped"}
		records = []*record.Record{gap, over, started}
		p.vitals.gapped(now)
		p.vitals.occurred(state.NotCleanly, "since", gap.Since.Format(time.RFC3339))
		p.log.Warn("agent had not stopped in good order", "elapsed", now.Sub(gap.Since).Round(time.Second))
	}
	value, err := json.Marshal(session{Started: now.UTC()})
	if err != nil {
		return fmt.Errorf("begin session: %w", err)
	}
	p.beat()
	if err := p.append(ctx, records, spool.Cursor{Key: sessionCursor, Value: value}); err != nil {
		return err
	}
	if err := p.tellSettings(ctx, p.config); err != nil {
		return err
	}
	return p.tellKeys(ctx)
}

// end records that the agent stops and why. A nil cursor value deletes it.
func (p *pipeline) end(ctx context.Context, reason string) error {
	stopped := p.event(record.EventStopped, record.SeverityInfo, p.now())
	stopped.Detail = map[string]string{"reason": reason}
	return p.append(ctx, []*record.Record{stopped}, spool.Cursor{Key: sessionCursor})
}

// lastAlive is the latest time at which the session before is known to have run,
// never in the future whatever the clocks did.
func (p *pipeline) lastAlive(cursor []byte, now time.Time) time.Time {
	var s session
	if json.Unmarshal(cursor, &s) != nil || s.Started.After(now) {
		s.Started = time.Time{}
	}
	last := s.Started
	if info, err := os.Stat(filepath.Join(p.dir, heartbeatFile)); err == nil {
		if t := info.ModTime(); t.After(last) && !t.After(now) {
			last = t
		}
	}
	if last.IsZero() {
		return now
	}
	return last.UTC().Truncate(time.Millisecond)
}

// beat touches the heartbeat file. Failing costs exactness and nothing else.
func (p *pipeline) beat() {
	path := filepath.Join(p.dir, heartbeatFile)
	now := p.now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.WriteFile(path, nil, 0o600); err == nil {
			err = os.Chtimes(path, now, now)
		}
	}
	if err != nil {
		p.log.Debug("heartbeat failed", "err", err)
	}
}

func (p *pipeline) heartbeat(ctx context.Context) error {
	t := time.NewTicker(heartbeatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			p.beat()
		}
	}
}

func (p *pipeline) event(name, severity string, at time.Time) *record.Record {
	return &record.Record{
		V: record.Version, Kind: record.KindEvent, ID: record.NewEventID(), Event: name, Severity: severity,
		Device: p.device, CapturedAt: at.UTC().Truncate(time.Millisecond),
	}
}

// append keeps events and a cursor in one transaction. A full spool must not keep
// the agent from running or stopping: the records are lost then, the state is not.
func (p *pipeline) append(ctx context.Context, records []*record.Record, cursor spool.Cursor) error {
	var ndjson []byte
	for _, r := range records {
		ndjson = append(r.AppendJSON(ndjson), '\n')
	}
	err := p.spool.Append(ctx, seal.Messages, spool.Records{NDJSON: ndjson, Count: len(records)}, cursor)
	if errors.Is(err, spool.ErrFull) {
		p.log.Warn("spool is full, event not kept", "records", len(records))
		err = p.spool.Append(ctx, seal.Messages, spool.Records{}, cursor)
	}
	if err != nil {
		return fmt.Errorf("keep event: %w", err)
	}
	return nil
}
