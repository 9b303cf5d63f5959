package collector

import (
	"context"
	"slices"
	"tidemark/seal"
	"tidemark/spool"
)

// commit puts what was read into the spool together with its cursors, and makes it
// the state of memory once that is durable. The cursor and the records that it
// passes are one transaction of the spool: see spool.Append.
func (s *shard) commit(ctx context.Context, b *batch) error {
	cursors, err := s.cursors(b)
	settles := b.complete && s.unsettled()
	if err == nil && settles {
		var last []spool.Cursor
		last, err = s.settle()
		cursors = append(cursors, last...)
	}
	if err != nil {
		return err
	}
	if b.count > 0 || len(b.tables) > 0 || settles {
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...); err != nil {
			return err
		}
	}
	s.apply(b)
	if settles {
		s.prior, s.former, s.cookie, s.older, s.olderTold = s.id, nil, s.schema, false, false
	}
	s.mark = b.mark
	return nil
}

// cursors are a batch's changes of the collector's state.
func (s *shard) cursors(b *batch) ([]spool.Cursor, error) {
	out, err := s.markCursors(b)
	if err != nil {
		return nil, err
	}
	out = append(out, s.a.book.cursors(b.met)...)
	for _, it := range b.items {
		out = append(out, s.a.c.itemCursor(it))
	}
	for _, c := range b.tables {
		if c.cursor > c.table.cursor {
			out = append(out, spool.Cursor{Key: tableKey(s.id, c.table.Key), Value: c.position().encode()})
		}
		if len(c.lacks) > 0 {
			out = append(out, s.lacksCursor(c.table, append(slices.Clip(c.table.lacks), c.lacks...)))
		}
		for id, row := range c.rows {
			if was := c.table.window[id]; was != nil && was.digest == row.digest && was.record == row.record {
				continue // only its pages are news, and they are memory's alone
			}
			out = append(out, spool.Cursor{Key: windowKey(s.id, c.table.Key, id), Value: row.encode(s.check)})
		}
		for _, id := range c.expired {
			out = append(out, spool.Cursor{Key: windowKey(s.id, c.table.Key, id)})
		}
		out = append(out, s.bucketCursors(c)...)
		if f := s.former[c.table.Key]; f != nil {
			out = append(out, f.settled(c)...)
		}
	}
	return out, nil
}

// apply brings memory up to a batch that is durable. History's workers call it for
// tables that are theirs alone, under the shard's counters' lock.
func (s *shard) apply(b *batch) {
	s.a.book.apply(b.met)
	for n, count := range b.unknown {
		s.a.unknown[n] += count
	}
	for _, c := range b.tables {
		c.table.position = c.position()
		c.table.lacks = append(c.table.lacks, c.lacks...)
		c.applyBuckets()
		if !c.swept.IsZero() {
			c.table.swept = c.swept
		}
		for id, row := range c.rows {
			s.watch.set(c.table, id, row)
		}
		for _, id := range c.expired {
			s.watch.remove(c.table, id)
		}
		if c.whole {
			delete(s.watch.untraced, c.table)
		}
		if f := s.former[c.table.Key]; f != nil {
			for _, id := range c.met {
				f.met[f.rows[id].talker] = true
				delete(f.rows, id)
			}
			if c.ended {
				clear(f.rows)
			}
		}
	}
	s.a.c.attach.add(s.a.folder(), b.items)
	s.a.c.attach.refresh(s.a.folder(), b.known)
	s.a.messages += int64(b.messages)
	s.a.revisions += int64(b.revisions)
}
