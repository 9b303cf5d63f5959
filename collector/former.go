package collector

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// former is a table of the database that stood at the file's path before, or of this one
// before the table was made anew: what of its captured rows could still change, and how
// far it was read. What became of these rows shows in the new table, where the same
// messages may stand under other ids.
type former struct {
	cursor int64                // gaps up to it were told when the former table was read
	silent bool                 // nobody deleted what the new table lacks: it is an older state
	rows   map[string]formerRow // by record
	met    map[int64]bool       // talkers of rows that were met so far
}

type formerRow struct {
	id     int64
	talker int64  // by the former database's names
	key    string // where the row is kept
	*windowRow
}

func newFormer() *former { return &former{rows: map[string]formerRow{}, met: map[int64]bool{}} }

func fileKey(folder, file string) string { return "f/" + folder + "/" + file }

// anew marks the keys under which the rows of a table are kept that was made anew.
const anew = "~"

// readKey is what stands under fileKey.
func (s *shard) readKey() spool.Cursor {
	return spool.Cursor{Key: fileKey(s.a.folder(), s.file), Value: fmt.Appendf(nil, "%s %d", s.id, s.schema)}
}

// unsettled says whether the end of a pass that has seen everything is to be kept.
func (s *shard) unsettled() bool {
	return s.prior != s.id || s.cookie != s.schema || len(s.former) > 0
}

// succeed finds out which database was last read here to its end and, when it was
// another one, or tables of it were made anew, takes in what is still to be learnt of
// their rows.
func (s *shard) succeed() error {
	b, err := s.a.c.opts.Spool.Cursor(fileKey(s.a.folder(), s.file))
	if err != nil {
		return err
	}
	prior, cookie, _ := strings.Cut(string(b), " ")
	s.prior, s.former, s.cookie = prior, nil, 0
	if prior == s.id {
		s.cookie, _ = strconv.ParseInt(cookie, 10, 64) // one that is not there says nothing
	} else if prior != "" {
		s.former = map[string]*former{}
		if err := s.readFormer(prior, false); err != nil {
			return err
		}
	}
	return s.readFormer(s.id, true)
}

// readFormer reads the former rows of a database's tables: of those that were made anew,
// or of all.
func (s *shard) readFormer(database string, onlyAnew bool) error {
	of := func(hash string) *former {
		hash = strings.TrimSuffix(hash, anew)
		if s.former == nil {
			s.former = map[string]*former{}
		}
		if s.former[hash] == nil {
			s.former[hash] = newFormer()
		}
		return s.former[hash]
	}
	ours := func(hash string) bool { return !onlyAnew || strings.HasSuffix(hash, anew) }
	tables, rows := "t/"+database+"/", "w/"+database+"/"
	err := s.a.c.opts.Spool.Cursors(tables, func(key string, value []byte) error {
		hash := strings.TrimPrefix(key, tables)
		if !ours(hash) {
			return nil
		}
		f := of(hash)
		if !strings.HasSuffix(hash, anew) {
			p, err := decodePosition(value)
			f.cursor = p.cursor
			return err
		}
		if len(value) != 9 {
			return fmt.Errorf("former cursor of %d bytes", len(value))
		}
		if onlyAnew {
			cursor, err := decodeID(value[:8])
			f.cursor, f.silent = cursor, value[8] != 0
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cursor of %s: %w", s.file, err)
	}
	oldest := s.a.c.now().Add(-windowAge).Unix()
	return s.a.c.opts.Spool.Cursors(rows, func(key string, value []byte) error {
		hash, number, _ := strings.Cut(strings.TrimPrefix(key, rows), "/")
		if !ours(hash) {
			return nil
		}
		id, err := strconv.ParseUint(number[:min(len(number), 16)], 16, 64)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		w, known, err := decodeWindowRow(value, s.check)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		if known && w.seen >= oldest {
			of(hash).rows[w.record] = formerRow{int64(id), w.talker, key, w}
			if !onlyAnew {
				w.talker = -1 // says nothing by this database's names
			}
		}
		return nil
	})
}

// formerOf makes a table's captured rows former ones, and what keeps them so. The table
// may be so for the second time.
func (s *shard) formerOf(t *table) (*former, []spool.Cursor) {
	f := newFormer()
	if was := s.former[t.Key]; was != nil {
		f.met = was.met
		maps.Copy(f.rows, was.rows)
	}
	if s.cookie == s.schema || s.older { // the table is the same, with fewer rows
		f.cursor = t.cursor
	}
	f.silent = s.older
	value := append(encodeID(f.cursor), 0)
	if f.silent {
		value[8] = 1
	}
	cursors := []spool.Cursor{{Key: tableKey(s.id, t.Key+anew), Value: value}}
	for id, w := range t.window {
		key := windowKey(s.id, t.Key+anew, id) + w.record // which tells it from that of an earlier time
		cursors = append(cursors, spool.Cursor{Key: key, Value: w.encode(s.check)})
		f.rows[w.record] = formerRow{id, w.talker, key, w}
	}
	return f, cursors
}

// settled are the former rows that a change of the new table has settled.
func (f *former) settled(c *tableChange) (out []spool.Cursor) {
	for _, id := range c.met {
		out = append(out, spool.Cursor{Key: f.rows[id].key})
	}
	if c.ended {
		for _, row := range f.rows {
			out = append(out, spool.Cursor{Key: row.key})
		}
	}
	return out
}

// formerRow is what is known of a message that the former database had in this table,
// nil when it had not.
func (r *reader) formerRow(t *table, change *tableChange, id string) *windowRow {
	f := r.s.former[t.Key]
	if f == nil {
		return nil
	}
	row, ok := f.rows[id]
	if !ok {
		return nil
	}
	change.met = append(change.met, id)
	return row.windowRow
}

// lost records the rows of the former database that the new one, read to its end, does
// not have.
func (r *reader) lost(t *table, f *former, met []string) {
	if f.silent || len(t.holes) > 0 || t.barred || !r.s.inScope(t) {
		return // nobody can tell, or is to hear
	}
	left := maps.Clone(f.met)
	for _, id := range met {
		left[f.rows[id].talker] = true
	}
	for _, id := range slices.SortedFunc(maps.Keys(f.rows), func(a, b string) int { return int(f.rows[a].id - f.rows[b].id) }) {
		if slices.Contains(met, id) {
			continue
		}
		how := record.ChangeDeleted
		if !left[f.rows[id].talker] {
			how = record.ChangeCleared // nothing of the conversation is there
		}
		r.deletion(t, f.rows[id].id, f.rows[id].windowRow, how)
	}
}

// lostTables does so for tables in which there was nothing to read.
func (r *reader) lostTables() {
	for _, hash := range sortedKeys(r.s.former) {
		if slices.ContainsFunc(r.b.tables, func(c *tableChange) bool { return c.table.Key == hash }) {
			continue
		}
		t := r.s.byHash(hash)
		if t == nil {
			t = &table{Table: wechat.Table{Key: hash, Name: r.s.nameOf(hash)}}
		}
		r.lost(t, r.s.former[hash], nil)
	}
}

func (s *shard) byHash(hash string) *table {
	for _, t := range s.tables {
		if t.Key == hash {
			return t
		}
	}
	return nil
}

// nameOf is the name of a table that is not there any more, by those that are.
func (s *shard) nameOf(hash string) string {
	for _, t := range s.tables {
		if prefix, ok := strings.CutSuffix(t.Name, t.Key); ok {
			return prefix + hash
		}
	}
	return hash
}

// settle is what ends the former database's and the former tables' part in the state: the
// new ones were read to their end.
func (s *shard) settle() (out []spool.Cursor, err error) {
	out = append(out, s.readKey())
	for hash, f := range s.former {
		out = append(out, spool.Cursor{Key: tableKey(s.id, hash+anew)})
		for _, row := range f.rows {
			out = append(out, spool.Cursor{Key: row.key})
		}
	}
	if s.prior == "" || s.prior == s.id {
		return out, nil
	}
	for _, kind := range []string{"t/", "w/", "d/", "q/"} {
		err = s.a.c.opts.Spool.Cursors(kind+s.prior+"/", func(key string, _ []byte) error {
			out = append(out, spool.Cursor{Key: key})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
