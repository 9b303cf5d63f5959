package collector

import (
	"context"
	"strconv"
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

// recreate handles tables whose greatest id went down: they were made anew, as after
// a conversation was cleared. They are read from their beginning, and what may have
// vanished in between is a record.
func (s *shard) recreate(ctx context.Context, b *batch) error {
	for _, t := range b.recreated {
		e := s.a.c.event(record.EventDatabaseRecreated, record.SeverityDegraded)
		e.Account, e.Client, e.Conversation = s.a.party(), s.a.client(), s.conversation(t)
		e.Detail = map[string]string{"file": s.file, "table": t.Name, "captured_to": strconv.FormatInt(t.cursor, 10)}
		gone := batch{at: b.at}
		cursors := append(s.leave(t, &gone), spool.Cursor{Key: tableKey(s.id, t.Key), Value: encodeID(0)})
		if s.inScope(t) { // of another conversation nobody is to hear
			gone.ndjson, gone.count = append(e.AppendJSON(gone.ndjson), '\n'), gone.count+1
		}
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: gone.ndjson, Count: gone.count}, cursors...); err != nil {
			return err
		}
		t.cursor = 0
		s.watch.drop(t)
	}
	return nil // the mark has not moved, so the next pass reads the tables
}
