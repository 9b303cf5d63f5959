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

// former is a table of the database that stood at the file's path before: what of its
// captured rows could still change, and how far it was read. What became of these rows
// shows in the new database, where the same messages stand under other ids.
type former struct {
	cursor int64
	rows   map[string]formerRow // by record
	met    map[int64]bool       // talkers of rows that were met so far
}

type formerRow struct {
	id     int64
	talker int64 // by the former database's names
	*windowRow
}

func fileKey(folder, file string) string { return "f/" + folder + "/" + file }

// succeed finds out which database was last read here to its end and, when it was
// another one, takes in what is still to be learnt of its rows.
func (s *shard) succeed() error {
	b, err := s.a.c.opts.Spool.Cursor(fileKey(s.a.folder(), s.file))
	if err != nil {
		return err
	}
	s.prior, s.former = string(b), nil
	if s.prior == "" || s.prior == s.id {
		return nil
	}
	s.former = map[string]*former{}
	of := func(hash string) *former {
		if s.former[hash] == nil {
			s.former[hash] = &former{rows: map[string]formerRow{}, met: map[int64]bool{}}
		}
		return s.former[hash]
	}
	tables, rows := "t/"+s.prior+"/", "w/"+s.prior+"/"
	err = s.a.c.opts.Spool.Cursors(tables, func(key string, value []byte) (err error) {
		of(strings.TrimPrefix(key, tables)).cursor, err = decodeID(value)
		return err
	})
	if err != nil {
		return fmt.Errorf("cursor of %s: %w", s.file, err)
	}
	oldest := s.a.c.now().Add(-windowAge).Unix()
	return s.a.c.opts.Spool.Cursors(rows, func(key string, value []byte) error {
		hash, number, _ := strings.Cut(strings.TrimPrefix(key, rows), "/")
		id, err := strconv.ParseUint(number, 16, 64)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		w, ours, err := decodeWindowRow(value, s.check)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		if ours && w.seen >= oldest {
			of(hash).rows[w.record] = formerRow{int64(id), w.talker, w}
			w.talker = -1 // says nothing by this database's names
		}
		return nil
	})
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
	if len(t.holes) > 0 || t.barred || !r.s.inScope(t) {
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

// settle is what ends the former database's part in the state: the new one was read to
// its end.
func (s *shard) settle() (out []spool.Cursor, err error) {
	out = append(out, spool.Cursor{Key: fileKey(s.a.folder(), s.file), Value: []byte(s.id)})
	if s.prior == "" {
		return out, nil
	}
	for _, kind := range []string{"t/", "w/", "d/"} {
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
