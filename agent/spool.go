package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// stopCursor is there from the moment at which the spool takes nothing more until an
// event has told of it, so that a restart in between does not hide it.
const stopCursor = "agent/spool-stopped"

// stopped is a time during which the spool took nothing.
type stopped struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // a spool.State
}

// watchSpool records the times during which reading stood still because the spool
// took nothing, and what became of a damaged one. It returns an error that wraps
// spool.ErrDamaged when the spool must be opened anew.
func (p *pipeline) watchSpool(ctx context.Context) error {
	look := time.NewTicker(heartbeatEvery) // free disk space changes without telling
	defer look.Stop()
	var standing *stopped
	for {
		condition, changed := p.spool.Condition()
		switch {
		case condition.State == spool.StateDamaged:
			return fmt.Errorf("spool %w", errors.Join(spool.ErrDamaged, errors.New(condition.Cause)))
		case condition.State.Stopped() && standing == nil:
			standing = &stopped{Since: condition.Since, Reason: string(condition.State)}
			p.keepStop(ctx, standing)
		case !condition.State.Stopped():
			if err := p.tellSpool(ctx, standing); err == nil {
				standing = nil
			} else if ctx.Err() == nil {
				p.log.Warn("what happened to the spool is not recorded yet", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-p.forked:
		case <-look.C:
		}
	}
}

// keepStop remembers that the spool takes nothing, unless it is remembered already.
// It does not matter if the disk takes not even that: memory has it too.
func (p *pipeline) keepStop(ctx context.Context, s *stopped) {
	if old, err := p.spool.Cursor(stopCursor); err != nil || old != nil {
		return
	}
	value, err := json.Marshal(s)
	if err == nil {
		err = p.spool.Append(ctx, seal.Messages, spool.Records{}, spool.Cursor{Key: stopCursor, Value: value})
	}
	if err != nil {
		p.log.Debug("a stop of the spool is kept in memory only", "err", err)
	}
}

// tellSpool records what happened to the spool and has not been recorded. It keeps
// all of it for the next time when the spool has no room.
func (p *pipeline) tellSpool(ctx context.Context, standing *stopped) error {
	now := p.now()
	var records []*record.Record
	var cursors []spool.Cursor
	gap := func(reason string, since time.Time, detail map[string]string) {
		e := p.event(record.EventGap, record.SeverityDegraded, now)
		e.Since, e.Detail = since, detail
		detail["reason"], detail["until"] = reason, now.UTC().Format(time.RFC3339)
		over := p.event(record.EventRecovered, record.SeverityInfo, now)
		over.Of, over.Since, over.Detail = e.ID, since, map[string]string{"state": reason}
		records = append(records, e, over)
		p.vitals.gapped(now)
	}
	old, err := p.spool.Cursor(stopCursor)
	if err != nil {
		return err
	}
	if old != nil {
		var kept stopped
		if json.Unmarshal(old, &kept) == nil {
			standing = &kept
		}
		cursors = append(cursors, spool.Cursor{Key: stopCursor})
	}
	if standing != nil {
		gap("spool: "+standing.Reason, standing.Since, map[string]string{
			"at_risk": "what the client changed or deleted meanwhile", "accounts": strings.Join(p.inScope(), " "),
		})
	}
	value, err := p.spool.Cursor(spool.RecoveryCursor)
	if err != nil {
		return err
	}
	if value != nil {
		var r spool.Recovery
		if err := json.Unmarshal(value, &r); err != nil {
			r.Cause = "not readable"
		}
		gap("spool: damaged", r.At, recoveryDetail(&r))
		cursors = append(cursors, spool.Cursor{Key: spool.RecoveryCursor})
	}
	forks, told, err := p.forks(now)
	if err != nil {
		return err
	}
	records, cursors = append(records, forks...), append(cursors, told...)
	if len(records) == 0 && len(cursors) == 0 {
		return nil
	}
	var ndjson []byte
	for _, r := range records {
		ndjson = append(r.AppendJSON(ndjson), '\n')
	}
	return p.spool.Append(ctx, seal.Messages, spool.Records{NDJSON: ndjson, Count: len(records)}, cursors...)
}

// recoveryDetail is what is known of what a damaged spool has cost.
func recoveryDetail(r *spool.Recovery) map[string]string {
	d := map[string]string{"cause": r.Cause, "saved_batches": strconv.Itoa(r.Batches), "cursors": r.Cursors}
	if r.Aside != "" {
		d["aside"] = r.Aside
	}
	var missing uint64
	known := true
	for name, l := range r.Lanes {
		missing += l.Missing
		known = known && (l.Whole || l.Missing > 0)
		var restarts []string
		for _, first := range l.Restarts {
			restarts = append(restarts, strconv.FormatUint(first, 10))
		}
		if len(restarts) > 0 {
			d["restart_"+name] = strings.Join(restarts, " ")
		}
		if l.Receipt > 0 {
			d["receipt_"+name] = strconv.FormatUint(l.Receipt, 10)
		}
	}
	d["missing_batches"] = strconv.FormatUint(missing, 10)
	switch {
	case r.Whole():
		d["at_risk"] = "nothing"
	case known && missing == 0:
		d["at_risk"] = "nothing that the client still has; it is captured again"
	default:
		d["at_risk"] = "what was in the missing batches and the client has changed or deleted since; the rest is captured again"
	}
	return d
}

// inScope is the accounts that are captured.
func (p *pipeline) inScope() []string {
	var out []string
	for _, a := range p.source.Status().Accounts {
		if a.State != collector.StateExcluded {
			out = append(out, a.Account)
		}
	}
	return out
}

// judgeSpool says how the spool is.
func (s *Status) judgeSpool() {
	if s.Spool == nil {
		s.reason(Reason{ID: state.NoFigures, What: "the spool's figures cannot be read"})
		return
	}
	c := s.Spool.Condition
	r := Reason{ID: state.Spool(string(c.State)), Since: c.Since}
	waits := fmt.Sprintf("the spool holds %s of %s", size(s.Spool.Bytes), size(s.Spool.MaxBytes))
	switch c.State {
	case spool.StateFilling:
		r.What = waits + "; when it is full, reading stops"
	case spool.StateFull:
		r.What = waits + ": it is full and reading has stopped until at most 70 % waits"
	case spool.StateLowDisk:
		r.What = fmt.Sprintf("only %s of the disk are free, %s are to stay free: reading has stopped", size(s.Spool.FreeBytes), size(s.Spool.MinFree))
	case spool.StateDisk:
		r.What = "the spool cannot be written, nothing is captured: " + c.Cause
	case spool.StateDamaged:
		r.What = "the spool was found damaged and is about to be healed: " + c.Cause
	default:
		return
	}
	s.reason(r)
}

// SpoolAt is where the spool is, and what it takes to verify and salvage it, which is
// nothing before this device is enrolled.
func SpoolAt(c *config.Config) (path string, o spool.Options, err error) {
	path = filepath.Join(c.StateDir, spoolFile)
	e, err := readEnrolment(c)
	if err != nil {
		return path, o, err
	}
	return path, spool.Options{Identity: e.identity, Archive: e.archive, Lasting: lastingCursors}, nil
}

// lastingCursors pass no record: when capture began (collector/cursor.go), without
// which history: none would begin anew.
var lastingCursors = []string{"h"}
