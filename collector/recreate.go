package collector

import (
	"context"
	"strconv"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// replaced records that another database took the file's place, and begins anew.
func (s *shard) replaced(ctx context.Context) error {
	e := s.a.c.event(record.EventDatabaseReplaced, record.SeverityInfo)
	e.Account, e.Client = s.a.party(), s.a.client()
	e.Detail = map[string]string{"file": s.file}
	s.forget()
	return s.a.c.emit(ctx, []*record.Record{e})
}

// tellOlder records that an older state of the same database stands at its place: its
// schema's counter, which only ever grows, has gone down. What was captured since and is
// not there any more was not deleted by anybody.
func (s *shard) tellOlder(ctx context.Context) error {
	if !s.older || s.olderTold {
		return nil
	}
	e := s.a.c.event(record.EventDatabaseRecreated, record.SeverityDegraded)
	e.Account, e.Client = s.a.party(), s.a.client()
	e.Detail = map[string]string{"file": s.file, "cause": "an older state of the database stands there"}
	if err := s.a.c.emit(ctx, []*record.Record{e}); err != nil {
		return err
	}
	s.olderTold = true
	return nil
}

// madeAnew says whether a table is another than the one that was read under its name. Its
// ids went down, or, when the schema has changed since the database was read to its end,
// the row last met is another one now: a table that was dropped and has grown past the
// cursor since.
func (s *shard) madeAnew(v *sqlcipher.View, t *table, last int64) (bool, error) {
	if last < t.cursor {
		return true, nil
	}
	if s.cookie == s.schema || t.last.id == 0 {
		return false, nil
	}
	row, found, err := t.RowUpTo(v, t.last.id)
	switch {
	case err != nil || !found:
		return false, err
	case row.ID != t.last.id: // it was deleted; a later row below it can only be another table's
		return row.Created > t.last.created, nil
	case row.ServerID != 0 && t.last.server != 0:
		return row.ServerID != t.last.server, nil
	}
	return row.Created != t.last.created, nil
}

// recreate handles tables that were made anew, as after a conversation was cleared. They
// are read from their beginning; what has become of their former rows shows at the end of
// that, and that something may have vanished in between is a record.
func (s *shard) recreate(ctx context.Context, b *batch) error {
	for _, t := range b.recreated {
		var records []*record.Record
		told := s.inScope(t) // of another conversation nobody is to hear
		if told && !s.older {
			e := s.a.c.event(record.EventDatabaseRecreated, record.SeverityDegraded)
			e.Account, e.Client, e.Conversation = s.a.party(), s.a.client(), s.conversation(t)
			e.Detail = map[string]string{"file": s.file, "table": t.Name, "captured_to": strconv.FormatInt(t.cursor, 10)}
			records = append(records, e)
		}
		cursors := []spool.Cursor{
			{Key: tableKey(s.id, t.Key), Value: position{}.encode()}, {Key: holesKey(s.id, t.Key)}, {Key: lacksKey(s.id, t.Key)},
		}
		for id := range t.window {
			cursors = append(cursors, spool.Cursor{Key: windowKey(s.id, t.Key, id)})
		}
		var f *former
		if told {
			var kept []spool.Cursor
			f, kept = s.formerOf(t)
			cursors = append(cursors, kept...)
		}
		var ndjson []byte
		for _, e := range records {
			ndjson = append(e.AppendJSON(ndjson), '\n')
		}
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: ndjson, Count: len(records)}, cursors...); err != nil {
			return err
		}
		if f != nil {
			if s.former == nil {
				s.former = map[string]*former{}
			}
			s.former[t.Key] = f
		}
		s.watch.drop(t)
		t.position, t.holes, t.lacks, t.barred = position{}, nil, nil, false
	}
	return nil
}
