package agent

import (
	"encoding/json"
	"strconv"
	"time"

	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// forkToldEvery is how often a fork of one lane becomes an event. Two clones of one
// device that both go on disagree again at each delivery, and each event is another.
const forkToldEvery = 24 * time.Hour

// forkToldCursor holds when a fork of the lane was recorded last.
func forkToldCursor(lane seal.Lane) string { return "agent/fork-told/" + lane.String() }

// noteFork makes watchSpool look for a fork to record.
func (p *pipeline) noteFork() {
	select {
	case p.forked <- struct{}{}:
	default:
	}
}

// forks makes the events of forks that have not been recorded, and the cursors to keep
// with them.
func (p *pipeline) forks(now time.Time) (records []*record.Record, cursors []spool.Cursor, err error) {
	for _, lane := range []seal.Lane{seal.Messages, seal.Media} {
		value, err := p.spool.Cursor(spool.ForkCursor(lane))
		if err != nil || value == nil {
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		cursors = append(cursors, spool.Cursor{Key: spool.ForkCursor(lane)})
		told, err := p.spool.Cursor(forkToldCursor(lane))
		if err != nil {
			return nil, nil, err
		}
		var last time.Time
		if last.UnmarshalText(told) == nil && !last.After(now) && now.Sub(last) < forkToldEvery {
			p.log.Warn("the archive's chain is another again, which is recorded once a day", "lane", lane)
			continue
		}
		text, err := now.UTC().MarshalText()
		if err != nil {
			return nil, nil, err
		}
		cursors = append(cursors, spool.Cursor{Key: forkToldCursor(lane), Value: text})
		var f spool.Fork
		if json.Unmarshal(value, &f) != nil {
			f = spool.Fork{At: now, Lane: lane.String()}
		}
		e := p.event(record.EventFork, record.SeverityDegraded, now)
		e.Since, e.Detail = f.At, forkDetail(&f)
		records = append(records, e)
	}
	return records, cursors, nil
}

// forkDetail says where the two histories part.
func forkDetail(f *spool.Fork) map[string]string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	d := map[string]string{
		"lane": f.Lane, "archive_seq": number(f.ArchiveSeq), "receipt_seq": number(f.Receipt), "device_seq": number(f.Last),
		"next_seq": number(f.Next), "renumbered": strconv.Itoa(f.Batches), "means": "the device was restored or cloned, or the archive was; both histories are kept",
	}
	if f.ArchiveHash != "" {
		d["archive_hash"] = f.ArchiveHash
	}
	if f.LostTo > 0 {
		d["means"] = "the archive was restored: it gave receipts for the lost numbers and has their batches no more"
		d["lost_from"], d["lost_to"] = number(f.LostFrom), number(f.LostTo)
	}
	return d
}
