package collector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// A hole is a range of row ids that damaged pages kept from being read. Capture goes
// on behind it; the hole is a gap record and stays on the list, in the spool too,
// until it can be read.

// damaged counts the places of damage that are known and not healed.
func (s *shard) damaged() (n int) {
	for _, t := range s.tables {
		n += len(t.holes)
		if t.barred {
			n++
		}
	}
	return n
}

func holesKey(database, hash string) string { return "d/" + database + "/" + hash }

// holesCursor: each hole is its first and last id, 8 bytes each.
func (s *shard) holesCursor(t *table, holes []idRange) spool.Cursor {
	c := spool.Cursor{Key: holesKey(s.id, t.Key)}
	for _, h := range holes {
		c.Value = append(append(c.Value, encodeID(h.from)...), encodeID(h.to)...)
	}
	return c
}

func (s *shard) restoreHoles(hash string) (out []idRange, err error) {
	b, err := s.a.c.opts.Spool.Cursor(holesKey(s.id, hash))
	if err != nil || len(b)%16 != 0 {
		return nil, errors.Join(err, fmt.Errorf("holes of %s: %d bytes", s.file, len(b)))
	}
	for ; len(b) > 0; b = b[16:] {
		out = append(out, idRange{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return out, nil
}

// damaged says whether an error means damage in a snapshot that held, so that what
// was read before the damage counts.
func damaged(err error) bool {
	return errors.Is(err, sqlcipher.ErrCorrupt) && !errors.Is(err, sqlcipher.ErrMoved)
}

// isolate reads table by table after damage was met, so that one damaged page costs
// the rows on it and nothing else.
func (s *shard) isolate(ctx context.Context) error {
	var first *sqlcipher.Mark // tables are read at later and later commits; the earliest counts
	for _, name := range sortedKeys(s.tables) {
		if s.tables[name].dropped {
			continue
		}
		mark, err := s.readAround(ctx, s.tables[name])
		if err != nil {
			return s.fault(ctx, err)
		}
		if first == nil {
			first = &mark
		}
	}
	if first != nil {
		s.mark = *first
	}
	return nil
}

// readAround reads a table to its end, leaving out what is damaged: first the captured
// rows that should be looked at again, then, range by range, new ones. Each turn either
// bars the former, moves the cursor on, or is the last.
func (s *shard) readAround(ctx context.Context, t *table) (first sqlcipher.Mark, err error) {
	for {
		var b batch
		err := s.read(ctx, &b, t)
		if first == (sqlcipher.Mark{}) {
			first = b.mark
		}
		history := err == nil && b.history
		if history {
			err = s.history(ctx, &b)
			b = batch{mark: b.mark}
		}
		if err != nil && !damaged(err) {
			return first, err
		}
		mark := s.mark
		if cerr := s.commit(ctx, &b); cerr != nil {
			return first, committed{cerr}
		}
		s.mark = mark // commit moved it to this table's snapshot
		switch {
		case err == nil && !history:
			return first, nil
		case err != nil && !t.barred && len(t.window) > 0:
			t.barred = true // perhaps the damage is among these rows; the next turn tells
		case err != nil:
			if err := s.skip(ctx, t); err != nil {
				return first, err
			}
		}
	}
}

// skip moves a table's cursor behind the damage that stands after it.
func (s *shard) skip(ctx context.Context, t *table) error {
	last, err := s.lastID(ctx, t)
	if err != nil {
		return err
	}
	from := t.cursor + 1
	if last < from {
		return fmt.Errorf("%s: damage in %s where no row is expected: %w", s.file, t.Name, sqlcipher.ErrCorrupt)
	}
	next, err := s.readableFrom(ctx, t, from, last)
	if err != nil {
		return err
	}
	hole := idRange{from, next - 1}
	holes := append(append([]idRange{}, t.holes...), hole)
	e := s.a.c.event(record.EventGap, record.SeverityDegraded)
	e.Account, e.Client, e.Conversation = s.a.party(), s.a.client(), s.conversation(t)
	e.Detail = map[string]string{
		"file": s.file, "table": t.Name, "cause": "damaged pages",
		"from": strconv.FormatInt(hole.from, 10), "to": strconv.FormatInt(hole.to, 10),
	}
	if !s.inScope(t) {
		e.Conversation = nil
		delete(e.Detail, "table")
	}
	err = s.a.c.emit(ctx, []*record.Record{e}, spool.Cursor{Key: tableKey(s.id, t.Key), Value: position{hole.to, t.last}.encode()}, s.holesCursor(t, holes))
	if err != nil {
		return committed{err}
	}
	t.cursor, t.holes = hole.to, holes
	return nil
}

// lastID is the greatest id the table has had, by what can be read of it.
func (s *shard) lastID(ctx context.Context, t *table) (last int64, err error) {
	err = sqlcipher.Retry(ctx, attempts, func() error {
		return s.db.View(ctx, func(v *sqlcipher.View) (err error) {
			last, err = t.greatest(v)
			return err
		})
	})
	return last, err
}

// readableFrom finds the first id from which the table can be read again, or the one
// after last. It doubles its steps until a row reads, then halves back, so damage
// costs about the logarithm of its extent.
func (s *shard) readableFrom(ctx context.Context, t *table, from, last int64) (int64, error) {
	bad, good, found := from, int64(0), int64(0)
	for step := int64(1); ; step *= 2 {
		x := min(from+step, last)
		id, ok, err := s.probe(ctx, t, x, last)
		if err != nil {
			return 0, err
		}
		if ok {
			good, found = x, id
			break
		}
		bad = x
		if x == last {
			return last + 1, nil
		}
	}
	for good-bad > 1 {
		mid := bad + (good-bad)/2
		id, ok, err := s.probe(ctx, t, mid, last)
		if err != nil {
			return 0, err
		}
		if ok {
			good, found = mid, id
		} else {
			bad = mid
		}
	}
	return found, nil
}

// probe reads the first row at or after id x. ok is false when damage is in the way.
func (s *shard) probe(ctx context.Context, t *table, x, last int64) (id int64, ok bool, err error) {
	err = sqlcipher.Retry(ctx, attempts, func() error {
		var b batch
		return s.db.View(ctx, func(v *sqlcipher.View) error {
			b = batch{at: s.a.c.now(), mark: v.Commit()}
			r := s.newReader(&b)
			r.trace, r.all = false, true
			err := r.table(v, work{table: t, ranges: []idRange{{x, last}}}, 1)
			if len(b.tables) > 0 && b.tables[0].scanned > 0 {
				id = b.tables[0].first
			} else {
				id = last + 1
			}
			return err
		})
	})
	if damaged(err) {
		return 0, false, nil
	}
	return id, err == nil, err
}

// retryDamage reads damaged places again when the database has changed since the last
// time, not more often than the poll; what can be read now is captured.
func (s *shard) retryDamage(ctx context.Context) error {
	now := s.a.c.now()
	if since := now.Sub(s.holesTried); s.mark == s.holesMark || since >= 0 && since < s.a.c.opts.Poll {
		return nil
	}
	s.holesTried, s.holesMark = now, s.mark
	for _, name := range sortedKeys(s.tables) {
		t := s.tables[name]
		if t.barred {
			if err := s.unbar(ctx, t); err != nil {
				return err
			}
		}
		for i := 0; i < len(t.holes); {
			filled, err := s.fill(ctx, t, i)
			if err != nil {
				return err
			}
			if !filled {
				i++
			}
		}
	}
	return nil
}

// unbar looks again at a table's captured rows, all of them, and bars them anew when
// the damage is still among them.
func (s *shard) unbar(ctx context.Context, t *table) error {
	t.barred = false
	s.watch.restored(t) // all its rows
	var b batch
	err := s.read(ctx, &b, t)
	if err != nil || b.history {
		t.barred = true
		if damaged(err) {
			err = nil
		}
		return err
	}
	mark := s.mark
	err = s.commit(ctx, &b)
	s.mark = mark
	if err != nil {
		return committed{err}
	}
	return nil
}

// fill captures a hole's rows, if they can all be read.
func (s *shard) fill(ctx context.Context, t *table, i int) (bool, error) {
	rest := append(append([]idRange{}, t.holes[:i]...), t.holes[i+1:]...)
	if !s.inScope(t) { // what is out of scope is passed, healed or not
		if err := s.a.c.emit(ctx, nil, s.holesCursor(t, rest)); err != nil {
			return false, committed{err}
		}
		t.holes = rest
		return true, nil
	}
	var b batch
	err := sqlcipher.Retry(ctx, attempts, func() error {
		return s.db.View(ctx, func(v *sqlcipher.View) error {
			b = batch{at: s.a.c.now(), mark: v.Commit()}
			r := s.newReader(&b)
			r.trace, r.all = false, true
			return r.table(v, work{table: t, ranges: []idRange{t.holes[i]}}, math.MaxInt64)
		})
	})
	if damaged(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	cursors, err := s.cursors(&b)
	if err == nil {
		err = s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, append(cursors, s.holesCursor(t, rest))...)
	}
	if err != nil {
		return false, committed{err}
	}
	s.apply(&b)
	t.holes = rest
	return true, nil
}
