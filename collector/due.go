package collector

import (
	"context"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
)

// due finds what there is to read: tables that have grown, and captured rows that may
// have changed. Its cost is that of the change, not of the number of tables.
func (s *shard) due(v *sqlcipher.View, b *batch, pages map[uint32]struct{}, known bool, only *table) (due []work, rows int64, err error) {
	hits := s.watch.hits(s.tables, pages, known)
	candidates, last := map[string]*table{}, map[string]int64{}
	if only != nil {
		candidates[only.Name] = only
		if last[only.Name], err = only.greatest(v); err != nil {
			return nil, 0, err
		}
	} else if candidates, last, err = s.grown(v, pages, known); err != nil {
		return nil, 0, err
	}
	for t := range hits {
		if only == nil {
			candidates[t.Name] = t
		}
	}
	for name := range s.undecided {
		if t := s.tables[name]; t != nil && !t.dropped && candidates[name] == nil && (only == nil || only == t) {
			candidates[name] = t
			if last[name], err = t.greatest(v); err != nil {
				return nil, 0, err
			}
		}
	}
	for _, name := range sortedKeys(candidates) {
		t := candidates[name]
		delete(s.undecided, name)
		if t.dropped {
			continue
		}
		ids, hit := hits[t]
		w := t.plan(ids, hit, b.at)
		if !s.inScope(t) {
			if undecided(s.talker(t)) {
				s.undecided[name] = struct{}{}
				continue
			}
			w = work{table: t, passed: true}
		}
		last, numbered := last[name]
		if numbered && only == nil {
			anew, err := s.madeAnew(v, t, last)
			if err != nil {
				return nil, 0, err
			}
			if anew {
				b.recreated = append(b.recreated, t)
			}
		}
		if last > t.cursor {
			w.upTo = last
			rows += last - t.cursor
		}
		if w.upTo > 0 || len(w.ranges) > 0 {
			due = append(due, w)
		}
	}
	return due, rows, nil
}

// grown gives the tables that may have got rows, and the greatest id each has had.
func (s *shard) grown(v *sqlcipher.View, pages map[uint32]struct{}, known bool) (map[string]*table, map[string]int64, error) {
	last, all, err := s.sequences.Read(v, pages, known)
	if err != nil {
		return nil, nil, err
	}
	if last == nil {
		last = map[string]int64{}
	}
	grown := map[string]*table{}
	for name := range last {
		if t := s.tables[name]; t != nil {
			grown[name] = t
		}
	}
	rest := s.unnumbered
	if all { // a table without a sequence has no row, unless a repair left it so
		rest = rest[:0:0]
		for name, t := range s.tables {
			if grown[name] == nil && !t.dropped {
				rest = append(rest, t)
			}
		}
	}
	for _, t := range rest {
		grown[t.Name] = t
		if last[t.Name], err = t.MaxID(v); err != nil {
			return nil, nil, err
		}
	}
	return grown, last, nil
}

// resolve looks for the usernames of tables that nobody met so far could name: somebody
// who was met since the pass began, or the list of conversations, may.
func (s *shard) resolve(ctx context.Context, all []work) error {
	if s.a.schema.PerRow {
		return nil
	}
	for _, w := range all {
		if _, ok := s.a.hashes[w.Key]; !ok {
			err := s.a.readPeople(ctx)
			if err == nil {
				err = s.a.readSessions(ctx)
			}
			if err != nil {
				return committed{err}
			}
			return nil
		}
	}
	return nil
}

// greatest is the greatest id that the table has had, by the sequence that numbers
// its rows, or by what is there when that does not tell.
func (t *table) greatest(v *sqlcipher.View) (int64, error) {
	last, numbered, err := wechat.Sequence(v, t.Name)
	if err != nil || numbered {
		return last, err
	}
	return t.MaxID(v)
}
