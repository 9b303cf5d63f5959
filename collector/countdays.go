package collector

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// countsBatch is how many tables' counts are committed at once.
const countsBatch = 200

// due is a month of which some day is over and not recorded as it is.
type due struct {
	*table
	key  bucketKey
	days bucket
	over []int32
}

// countDays records, for the days that are over and have changed since they were
// recorded, how many rows stand in the database, by a query that counts them anew, and
// how many were sealed. What was out of scope is recorded for the database as a whole,
// naming nobody. A table is counted in a snapshot of its own, up to its cursor.
func (s *shard) countDays(ctx context.Context) error {
	tables := slices.Clone(s.gone)
	for _, name := range sortedKeys(s.tables) {
		tables = append(tables, s.tables[name])
	}
	var all []due
	for _, t := range tables {
		months, err := s.dueMonths(t)
		if err != nil {
			return err
		}
		all = append(all, months...)
	}
	for len(all) > 0 {
		n := min(len(all), countsBatch)
		for n < len(all) && all[n].table == all[n-1].table {
			n++
		}
		if err := s.recordCounts(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	s.gone = slices.DeleteFunc(s.gone, func(t *table) bool { return len(t.dirty) == 0 })
	return nil
}

func (s *shard) dueMonths(t *table) (out []due, err error) {
	s.nameDirty(t)
	now := s.a.c.now()
	for _, key := range slices.SortedFunc(maps.Keys(t.dirty), func(a, b bucketKey) int {
		return cmp.Or(cmp.Compare(a.conversation, b.conversation), cmp.Compare(a.month, b.month))
	}) {
		b, err := s.bucket(t, key)
		if err != nil {
			return nil, err
		}
		t.buckets[key] = b
		d := due{table: t, key: key, days: b}
		for _, day := range sortedDays(b) {
			if b[day].dirty && over(day, now) {
				d.over = append(d.over, day)
			}
		}
		if len(d.over) > 0 {
			out = append(out, d)
		}
	}
	return out, nil
}

// recordCounts records months, all those of a table together.
func (s *shard) recordCounts(ctx context.Context, months []due) error {
	var events []*record.Record
	var cursors []spool.Cursor
	outside := bucket{}
	var seen map[tallyKey]int64
	var counted *table
	for i, m := range months {
		fresh := maps.Clone(m.days)
		var days []record.DayCount
		for _, day := range m.over {
			d := fresh[day]
			o := outside[day]
			o.outside += d.outside - d.told
			outside[day] = o
			if d.sealed+d.skipped > 0 || s.a.inScope(m.key.conversation) {
				if m.table != counted {
					var err error
					if seen, err = s.countTable(ctx, m.table); err != nil {
						return err
					}
					counted = m.table
				}
				days = append(days, record.DayCount{Date: dateOf(day), Seen: s.seenOf(m, day, seen), Sealed: d.sealed, Skipped: d.skipped})
			}
			d.told, d.dirty = d.outside, false
			fresh[day] = d
		}
		months[i].days = fresh
		if len(days) > 0 {
			events = append(events, s.counts(s.a.conversation(m.key.conversation), days))
		}
		name := s.id + "/" + m.key.name(m.table)
		cursors = append(cursors, spool.Cursor{Key: "k/" + name, Value: fresh.encode()})
		if !dirty(fresh) {
			cursors = append(cursors, spool.Cursor{Key: "y/" + name})
		}
	}
	more, kept, err := s.recordOutside(outside)
	if err != nil {
		return err
	}
	if err := s.a.c.emit(ctx, append(events, more...), append(cursors, kept...)...); err != nil {
		return err
	}
	for _, m := range months {
		if dirty(m.days) {
			m.buckets[m.key] = m.days
			continue
		}
		delete(m.buckets, m.key) // until it is touched again
		delete(m.dirty, m.key)
	}
	return nil
}

func dirty(b bucket) bool {
	for _, d := range b {
		if d.dirty {
			return true
		}
	}
	return false
}

// seenOf is the count of one conversation's rows: of the rows in a table, those are
// not meant that were met out of scope, or while nobody knew whose they are.
func (s *shard) seenOf(m due, day int32, seen map[tallyKey]int64) int64 {
	if seen == nil {
		return -1
	}
	if s.a.schema.PerRow {
		return max(0, seen[tallyKey{m.key.conversation, day}]-m.days[day].outside)
	}
	n := seen[tallyKey{"", day}] - m.days[day].outside
	for _, other := range []string{s.talker(m.table), wechat.UnresolvedPrefix + m.table.Key} {
		if other == m.key.conversation {
			continue
		}
		if b, err := s.bucket(m.table, bucketKey{other, m.key.month}); err == nil {
			n -= b[day].sealed + b[day].skipped + b[day].outside
		}
	}
	return max(0, n)
}

// countTable counts a table's rows by day, and by conversation where it holds many;
// nil when damage keeps them from being counted.
func (s *shard) countTable(ctx context.Context, t *table) (map[tallyKey]int64, error) {
	out := map[tallyKey]int64{}
	if t.gone {
		return out, nil // none of its rows is there
	}
	err := sqlcipher.Retry(ctx, attempts, func() error {
		out = map[tallyKey]int64{}
		return s.db.View(ctx, func(v *sqlcipher.View) error {
			if err := s.same(v); err != nil {
				return err
			}
			return t.CountDays(v, s.names, t.cursor, func(talker string, day, n int64) {
				out[tallyKey{talker, int32(day)}] += n
			})
		})
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case damaged(err):
		return nil, nil
	case err != nil:
		return nil, databaseError{err}
	}
	return out, nil
}

// recordOutside adds rows out of scope to the database's own count of each day.
func (s *shard) recordOutside(more bucket) (events []*record.Record, cursors []spool.Cursor, err error) {
	byMonth := map[int]bucket{}
	var days []record.DayCount
	for _, day := range sortedDays(more) {
		if more[day].outside == 0 {
			continue
		}
		month := monthOf(day)
		if byMonth[month] == nil {
			value, err := s.a.c.opts.Spool.Cursor(s.outsideKey(month))
			if err != nil {
				return nil, nil, err
			}
			if byMonth[month], err = decodeBucket(value); err != nil {
				return nil, nil, err
			}
		}
		d := byMonth[month][day]
		d.outside += more[day].outside
		byMonth[month][day] = d
		days = append(days, record.DayCount{Date: dateOf(day), OutOfScope: d.outside})
	}
	for month, b := range byMonth {
		cursors = append(cursors, spool.Cursor{Key: s.outsideKey(month), Value: b.encode()})
	}
	if len(days) > 0 {
		events = append(events, s.counts(nil, days))
	}
	return events, cursors, nil
}

func (s *shard) outsideKey(month int) string { return "k/" + s.id + "//" + strconv.Itoa(month) }

// counts makes a counts event.
func (s *shard) counts(conversation *record.Conversation, days []record.DayCount) *record.Record {
	e := s.a.c.event(record.EventCounts, record.SeverityInfo)
	e.Account, e.Client, e.Conversation = s.a.party(), s.a.client(), conversation
	e.Detail = map[string]string{"file": s.file, "database": s.id, "days": record.FormatDays(days)}
	return e
}
