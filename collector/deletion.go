package collector

import (
	"context"
	"maps"
	"slices"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// deletions records the captured rows of a table that are gone: with their whole
// conversation, when nothing is left of it, or alone.
func (r *reader) deletions(v *sqlcipher.View, change *tableChange) error {
	cleared := map[int64]bool{} // by talker
	for _, id := range change.gone {
		was := change.table.window[id]
		all, asked := cleared[was.talker]
		if !asked {
			var err error
			if all, err = r.emptied(v, change, was.talker); err != nil {
				return err
			}
			cleared[was.talker] = all
		}
		how := record.ChangeDeleted
		if all {
			how = record.ChangeCleared
		}
		r.deletion(change.table, id, was, how)
		change.expired = append(change.expired, id)
	}
	return nil
}

// emptied says whether none of the captured rows is left of the conversation whose rows
// went; it may have got new ones since.
func (r *reader) emptied(v *sqlcipher.View, change *tableChange, talker int64) (bool, error) {
	return change.table.Silent(v, r.s.names[talker], change.table.cursor)
}

// tellDropped records the captured rows that went with their tables, and forgets these.
func (s *shard) tellDropped(ctx context.Context) error {
	for name, t := range s.tables {
		if !t.dropped {
			continue
		}
		b := batch{at: s.a.c.now()}
		cursors := append(s.leave(t, &b), spool.Cursor{Key: tableKey(s.id, t.Key)}, spool.Cursor{Key: holesKey(s.id, t.Key)})
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...); err != nil {
			return err
		}
		s.watch.drop(t)
		if len(t.dirty) > 0 {
			t.gone = true
			s.gone = append(s.gone, t)
		}
		delete(s.tables, name)
	}
	return nil
}

// leave puts into b that the captured rows of a table that is not there any more, or
// was made anew, are gone, and returns what takes them out of the state.
func (s *shard) leave(t *table, b *batch) (cursors []spool.Cursor) {
	r, told := s.newReader(b), s.inScope(t)
	for _, id := range slices.Sorted(maps.Keys(t.window)) {
		if told {
			r.deletion(t, id, t.window[id], record.ChangeCleared)
		}
		cursors = append(cursors, spool.Cursor{Key: windowKey(s.id, t.Key, id)})
	}
	return cursors
}
