package collector

import (
	"context"
	"maps"
	"slices"
	"strings"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// restoreDropped takes in the tables that were read in an earlier run and are not in the
// database any more: their conversations were cleared while nobody looked.
func (s *shard) restoreDropped(kept map[string][]keptDirty) error {
	prefix, missing := "t/"+s.id+"/", []string{}
	err := s.a.c.opts.Spool.Cursors(prefix, func(key string, _ []byte) error {
		hash := strings.TrimPrefix(key, prefix)
		if !strings.HasSuffix(hash, anew) && s.byHash(hash) == nil {
			missing = append(missing, hash)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, hash := range missing {
		t, err := s.restore(wechat.Table{Key: hash, Name: s.nameOf(hash)})
		if err != nil {
			return err
		}
		t.kept = kept[hash]
		s.tables[t.Name] = t
	}
	return nil
}

// tellDropped records the captured rows that went with their tables, and forgets these.
// Where an older state of the database stands, as after a restore, nothing was cleared:
// see tellOlder.
func (s *shard) tellDropped(ctx context.Context) error {
	for name, t := range s.tables {
		if !t.dropped {
			continue
		}
		b := batch{at: s.a.c.now()}
		var cursors []spool.Cursor
		for _, key := range []string{tableKey(s.id, t.Key), holesKey(s.id, t.Key), lacksKey(s.id, t.Key)} {
			cursors = append(cursors, spool.Cursor{Key: key})
		}
		r, told := s.newReader(&b), s.inScope(t) && !s.older
		for _, id := range slices.Sorted(maps.Keys(t.window)) {
			if told {
				r.deletion(t, id, t.window[id], record.ChangeCleared)
			}
			cursors = append(cursors, spool.Cursor{Key: windowKey(s.id, t.Key, id)})
		}
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...); err != nil {
			return err
		}
		s.watch.drop(t)
		s.nameDirty(t)
		if len(t.dirty) > 0 {
			t.gone = true
			s.gone = append(s.gone, t)
		}
		delete(s.tables, name)
	}
	return nil
}
