package wechat

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/sqlcipher"
)

// Sequences reads the greatest row id that each numbered table of a database ever had,
// which SQLite keeps in sqlite_sequence. It remembers on which page which table stands,
// so that after a commit only the pages written need to be read, however many tables
// there are. It belongs to one goroutine; its zero value knows nothing yet.
type Sequences struct {
	leaves map[uint32]rowIDs // nil: not known
	inner  []uint32          // pages above the leaves: written when tables move between leaves
}

type rowIDs struct{ from, to int64 }

// Read returns the sequences that may differ from those of the last call, given the
// pages written since; known is false when these cannot be told. all says that
// every sequence was returned. What a call learnt in a view that did not hold must be
// dropped: by Forget, or for a clone made before.
func (q *Sequences) Read(v *sqlcipher.View, pages map[uint32]struct{}, known bool) (found map[string]int64, all bool, err error) {
	if known = known && q.leaves != nil; known {
		for _, p := range q.inner {
			if _, hit := pages[p]; hit {
				known = false
			}
		}
	}
	if !known {
		q.Forget()
		leaves := map[uint32]rowIDs{}
		found, err := q.read(v, rowIDs{math.MinInt64, math.MaxInt64}, leaves)
		if err == nil && len(leaves) > 0 { // an empty table's page is not known
			q.leaves = leaves
		}
		return found, true, err
	}
	var hit []rowIDs
	last := int64(math.MinInt64)
	for page, ids := range q.leaves {
		last = max(last, ids.to)
		if _, ok := pages[page]; ok {
			hit = append(hit, ids)
		}
	}
	found = map[string]int64{}
	for _, ids := range hit {
		if ids.to == last {
			ids.to = math.MaxInt64 // new tables are entered behind
		}
		more, err := q.read(v, ids, q.leaves)
		if err != nil {
			return nil, false, err
		}
		maps.Copy(found, more)
	}
	return found, false, nil
}

// Clone returns a copy, to go back to when a view did not hold.
func (q *Sequences) Clone() Sequences {
	return Sequences{leaves: maps.Clone(q.leaves), inner: slices.Clone(q.inner)}
}

// Forget drops what is known of pages.
func (q *Sequences) Forget() { *q = Sequences{} }

// read reads the rows with the given ids and notes where they stand.
func (q *Sequences) read(v *sqlcipher.View, ids rowIDs, leaves map[uint32]rowIDs) (map[string]int64, error) {
	out := map[string]int64{}
	stmt, err := v.Prepare("SELECT rowid, name, seq FROM sqlite_sequence WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return out, nil // no table numbers its rows
		}
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	defer stmt.Reset()
	if err := errors.Join(stmt.BindInt64(1, ids.from), stmt.BindInt64(2, ids.to)); err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	stop := v.Trace()
	defer stop()
	for stmt.Step() {
		id, leaf := stmt.ColumnInt64(0), v.Leaf()
		on, ok := leaves[leaf]
		if !ok {
			on = rowIDs{id, id}
		}
		leaves[leaf] = rowIDs{min(on.from, id), max(on.to, id)}
		out[stmt.ColumnText(1)] = stmt.ColumnInt64(2)
	}
	if err := stmt.Err(); err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	q.inner = append(q.inner, v.Inner()...)
	return out, nil
}

// Sequence returns one table's, and whether it has one.
func Sequence(v *sqlcipher.View, table string) (seq int64, ok bool, err error) {
	stmt, err := v.Prepare("SELECT max(seq) FROM sqlite_sequence WHERE name = ?1")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return 0, false, nil
		}
		return 0, false, fmt.Errorf("read sequence: %w", err)
	}
	defer stmt.Reset()
	if err := stmt.BindText(1, table); err != nil {
		return 0, false, fmt.Errorf("read sequence: %w", err)
	}
	if stmt.Step() && stmt.ColumnType(0) != sqlite3.NULL {
		return stmt.ColumnInt64(0), true, nil
	}
	return 0, false, stmt.Err()
}
