package collector

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// lack is a range of ids that a gap record told as missing. A client may put rows back
// there, from a backup or another device, and nothing that is watched says so: such ranges
// are read again. A row that is found is captured, the gap is closed by a record, and what
// is still missing of it is told anew.
type lack struct {
	idRange
	event string // id of the gap record
	told  int64  // seconds
}

const (
	lackAge  = 30 * 24 * time.Hour // how long it is looked at again
	lacksMax = 256                 // of a table
	lackRows = 4096                // rows put back that are captured at once
	eventID  = 28                  // bytes
)

func lacksKey(database, hash string) string { return "q/" + database + "/" + hash }

// youngest are those lacks that are still looked at.
func (s *shard) youngest(lacks []lack) []lack {
	oldest := s.a.c.now().Add(-lackAge).Unix()
	lacks = slices.DeleteFunc(slices.Clone(lacks), func(l lack) bool { return l.told < oldest })
	return lacks[max(0, len(lacks)-lacksMax):]
}

// lacksCursor: of each its first and last id and when it was told, 8 bytes each, and the
// record's id.
func (s *shard) lacksCursor(t *table, lacks []lack) spool.Cursor {
	c := spool.Cursor{Key: lacksKey(s.id, t.Key)}
	for _, l := range s.youngest(lacks) {
		for _, n := range []int64{l.from, l.to, l.told} {
			c.Value = append(c.Value, encodeID(n)...)
		}
		c.Value = append(c.Value, l.event...)
	}
	return c
}

func (s *shard) restoreLacks(hash string) (out []lack, err error) {
	const size = 24 + eventID
	b, err := s.a.c.opts.Spool.Cursor(lacksKey(s.id, hash))
	if err == nil && len(b)%size != 0 {
		err = fmt.Errorf("gaps of %s: %d bytes", s.file, len(b))
	}
	if err != nil {
		return nil, err
	}
	for ; len(b) > 0; b = b[size:] {
		at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[8*i:])) }
		out = append(out, lack{idRange{at(0), at(1)}, string(b[24:size]), at(2)})
	}
	return out, nil
}

// retryLacks reads what was told as missing again when the database has changed since the
// last time, not more often than the poll.
func (s *shard) retryLacks(ctx context.Context) error {
	now := s.a.c.now()
	if since := now.Sub(s.lacksTried); s.mark == s.lacksMark || since >= 0 && since < s.a.c.opts.Poll {
		return nil
	}
	var tables []*table
	for _, name := range sortedKeys(s.tables) {
		t := s.tables[name]
		if t.lacks = s.youngest(t.lacks); len(t.lacks) > 0 && !t.dropped && s.inScope(t) {
			tables = append(tables, t)
		}
	}
	if len(tables) > 0 {
		if err := s.refill(ctx, tables); err != nil {
			return err
		}
	}
	s.lacksTried, s.lacksMark = now, s.mark
	return nil
}

// refill captures the rows that stand where tables lacked some.
func (s *shard) refill(ctx context.Context, tables []*table) error {
	var b batch
	var left map[*table][]lack
	err := sqlcipher.Retry(ctx, attempts, func() error {
		return s.db.View(ctx, func(v *sqlcipher.View) error {
			b, left = batch{at: s.a.c.now(), mark: v.Commit()}, map[*table][]lack{}
			r := s.newReader(&b)
			r.all = true
			for _, t := range tables {
				w := work{table: t}
				for _, l := range t.lacks {
					w.ranges = append(w.ranges, l.idRange)
				}
				if err := r.table(v, w, lackRows); err != nil {
					return err
				}
				if c := b.tables[len(b.tables)-1]; len(c.present) > 0 {
					left[t] = r.closeGaps(t, c.present)
				}
			}
			return nil
		})
	})
	if damaged(err) || err == nil && len(left) == 0 {
		return nil // damage is told elsewhere
	}
	if err != nil {
		return err
	}
	cursors, err := s.cursors(&b)
	for t, lacks := range left {
		cursors = append(cursors, s.lacksCursor(t, lacks))
	}
	if err == nil {
		err = s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...)
	}
	if err != nil {
		return committed{err}
	}
	s.apply(&b)
	for t, lacks := range left {
		t.lacks = lacks
	}
	return nil
}

// closeGaps records that gaps are over in whose ranges rows are present now, and tells
// what is still missing of them as new ones. It returns what is to be looked at again.
func (r *reader) closeGaps(t *table, present []int64) (left []lack) {
	slices.Sort(present)
	rows := map[string]int64{} // by gap: how many are back
	for _, l := range t.lacks {
		from, _ := slices.BinarySearch(present, l.from)
		to, _ := slices.BinarySearch(present, l.to+1)
		rows[l.event] += int64(to - from)
	}
	var missing []idRange
	var over []string
	for _, l := range t.lacks {
		if rows[l.event] == 0 {
			left = append(left, l)
			continue
		}
		if !slices.Contains(over, l.event) {
			over = append(over, l.event)
		}
		missing = append(missing, l.without(present)...)
	}
	for _, event := range over {
		e := r.s.a.c.event(record.EventRecovered, record.SeverityInfo)
		e.Of, e.Account, e.Client, e.Conversation = event, r.account, r.client, r.s.conversation(t)
		e.Detail = map[string]string{"file": r.s.file, "table": t.Name, "cause": "rows were put back", "rows": strconv.FormatInt(rows[event], 10)}
		r.append(e)
	}
	return append(left, r.tell(t, missing)...)
}

// without is what is left of a range when ids, in order, are taken out of it.
func (ids idRange) without(present []int64) (out []idRange) {
	for _, id := range present {
		if id < ids.from || id > ids.to {
			continue
		}
		if id > ids.from {
			out = append(out, idRange{ids.from, id - 1})
		}
		if id == math.MaxInt64 {
			return out
		}
		ids.from = id + 1
	}
	if ids.from <= ids.to {
		out = append(out, ids)
	}
	return out
}
