package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// How many records were sealed of which day of which conversation is kept in the
// transactions that seal them, by table, conversation and month. When a day is over it
// is held against a count of the rows that stand in the database, see countDays.
const (
	undatedDay = -1 // of rows without a time
	daySeconds = 24 * 60 * 60
	dayGrace   = 10 * time.Minute // how long after its end a day is counted
)

func dayOf(created int64) int32 {
	if created <= 0 {
		return undatedDay
	}
	return int32(created / daySeconds)
}

func dateOf(day int32) string {
	if day < 0 {
		return record.Undated
	}
	return time.Unix(int64(day)*daySeconds, 0).UTC().Format(time.DateOnly)
}

// monthOf groups days: 202611, 0 for what is undated.
func monthOf(day int32) int {
	if day < 0 {
		return 0
	}
	t := time.Unix(int64(day)*daySeconds, 0).UTC()
	return t.Year()*100 + int(t.Month())
}

// over says that nothing of the day is written any more but what comes late.
func over(day int32, now time.Time) bool {
	return now.Add(-dayGrace).Unix() >= (int64(day)+1)*daySeconds
}

// tally is what became of the rows of one day.
type tally struct{ sealed, skipped, outside int64 }

// dayTally is a tally with what was recorded of it.
type dayTally struct {
	tally
	told  int64 // of outside, already in the database's own count
	dirty bool  // not recorded as it is
}

// tallyKey is a day of a conversation in one table.
type tallyKey struct {
	conversation string
	day          int32
}

// bucketKey is a month of a conversation in one table.
type bucketKey struct {
	conversation string
	month        int
}

// bucket is the days of a month. It is replaced, not changed.
type bucket map[int32]dayTally

// name is a bucket's place below its database in the spool.
func (k bucketKey) name(t *table) string {
	return t.Key + "/" + wechat.Hash(k.conversation) + "/" + strconv.Itoa(k.month)
}

// encode: version 1, then for each day its number, whether it is dirty, and the
// counts, as variable-length integers.
func (b bucket) encode() []byte {
	out := []byte{1}
	for _, day := range sortedDays(b) {
		d := b[day]
		out = binary.AppendVarint(out, int64(day))
		dirty := int64(0)
		if d.dirty {
			dirty = 1
		}
		for _, n := range []int64{dirty, d.sealed, d.skipped, d.outside, d.told} {
			out = binary.AppendVarint(out, n)
		}
	}
	return out
}

var errBucket = errors.New("counts are not of their form")

func decodeBucket(b []byte) (bucket, error) {
	out := bucket{}
	if len(b) == 0 {
		return out, nil
	}
	if b[0] != 1 {
		return nil, errBucket
	}
	for b = b[1:]; len(b) > 0; {
		var n [6]int64
		for i := range n {
			v, size := binary.Varint(b)
			if size <= 0 {
				return nil, errBucket
			}
			n[i], b = v, b[size:]
		}
		out[int32(n[0])] = dayTally{tally{n[2], n[3], n[4]}, n[5], n[1] != 0}
	}
	return out, nil
}

func sortedDays(b bucket) []int32 {
	days := make([]int32, 0, len(b))
	for d := range b {
		days = append(days, d)
	}
	slices.Sort(days)
	return days
}

// tally gives the count of the day that the current row is of.
func (r *reader) tally(change *tableChange, conversation string, created int64) *tally {
	key := tallyKey{conversation, dayOf(created)}
	if r.lastTally != nil && r.lastChange == change && r.lastKey == key {
		return r.lastTally
	}
	if change.tallies == nil {
		change.tallies = map[tallyKey]*tally{}
	}
	n := change.tallies[key]
	if n == nil {
		n = new(tally)
		change.tallies[key] = n
	}
	r.lastTally, r.lastChange, r.lastKey = n, change, key
	return n
}

// bucket gives a table's month as it is committed.
func (s *shard) bucket(t *table, key bucketKey) (bucket, error) {
	if b, ok := t.buckets[key]; ok {
		return b, nil
	}
	value, err := s.a.c.opts.Spool.Cursor("k/" + s.id + "/" + key.name(t))
	if err != nil {
		return nil, err
	}
	b, err := decodeBucket(value)
	if err != nil {
		return nil, fmt.Errorf("counts of %s: %w", s.file, err)
	}
	return b, nil
}

// settleTallies makes a change's tallies the months that will be committed with it.
func (s *shard) settleTallies(change *tableChange) error {
	for key, n := range change.tallies {
		at := bucketKey{key.conversation, monthOf(key.day)}
		b := change.buckets[at]
		if b == nil {
			have, err := s.bucket(change.table, at)
			if err != nil {
				return committed{err}
			}
			if change.buckets == nil {
				change.buckets = map[bucketKey]bucket{}
			}
			b = bucket{}
			for day, d := range have {
				b[day] = d
			}
			change.buckets[at] = b
		}
		d := b[key.day]
		d.sealed, d.skipped, d.outside, d.dirty = d.sealed+n.sealed, d.skipped+n.skipped, d.outside+n.outside, true
		b[key.day] = d
	}
	return nil
}

// bucketCursors are the cursors of a change's months.
func (s *shard) bucketCursors(c *tableChange) (out []spool.Cursor) {
	for key, b := range c.buckets {
		name := s.id + "/" + key.name(c.table)
		out = append(out, spool.Cursor{Key: "k/" + name, Value: b.encode()})
		if _, dirty := c.table.dirty[key]; !dirty {
			out = append(out, spool.Cursor{Key: "y/" + name, Value: []byte{1}})
		}
	}
	return out
}

// applyBuckets takes in the months that have been committed.
func (c *tableChange) applyBuckets() {
	t := c.table
	if len(c.buckets) > 0 && t.dirty == nil {
		t.dirty, t.buckets = map[bucketKey]struct{}{}, map[bucketKey]bucket{}
	}
	for key, b := range c.buckets {
		t.buckets[key], t.dirty[key] = b, struct{}{}
	}
}

// keptDirty is a month that an earlier run left to be counted; whose it is shows when
// the username is known.
type keptDirty struct {
	hash  string
	month int
}

// restoreDirty reads which months of the database's tables are to be counted.
func (s *shard) restoreDirty() (map[string][]keptDirty, error) {
	out := map[string][]keptDirty{}
	prefix := "y/" + s.id + "/"
	err := s.a.c.opts.Spool.Cursors(prefix, func(key string, _ []byte) error {
		parts := strings.Split(strings.TrimPrefix(key, prefix), "/")
		if len(parts) != 3 {
			return nil
		}
		month, err := strconv.Atoi(parts[2])
		if err == nil {
			out[parts[0]] = append(out[parts[0]], keptDirty{parts[1], month})
		}
		return nil
	})
	return out, err
}

// nameDirty finds whose the months are that an earlier run left.
func (s *shard) nameDirty(t *table) {
	t.kept = slices.DeleteFunc(t.kept, func(k keptDirty) bool {
		conversation, ok := s.a.hashes[k.hash]
		if unresolved := wechat.UnresolvedPrefix + t.Key; !ok && wechat.Hash(unresolved) == k.hash {
			conversation, ok = unresolved, true
		}
		if !ok {
			return false
		}
		if t.dirty == nil {
			t.dirty, t.buckets = map[bucketKey]struct{}{}, map[bucketKey]bucket{}
		}
		t.dirty[bucketKey{conversation, k.month}] = struct{}{}
		return true
	})
}
