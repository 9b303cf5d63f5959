package collector

import (
	"slices"
	"time"
)

// watch finds, of all captured rows that may still change, those of which a page was
// written. The rows themselves are in their tables' windows. It is used under the same
// rules as the tables; its zero value holds none.
type watch struct {
	rows     map[uint32]map[place]struct{} // by page
	inner    map[uint32][]*table           // by page above leaves
	untraced map[*table]struct{}           // with rows whose pages are not known
}

// place is a captured row.
type place struct {
	table *table
	id    int64
}

// restored takes in a table whose window came from the spool: nobody knows yet where
// its rows stand.
func (w *watch) restored(t *table) {
	if len(t.window) == 0 {
		return
	}
	if w.untraced == nil {
		w.untraced = map[*table]struct{}{}
	}
	w.untraced[t] = struct{}{}
}

// set puts a row into its table's window, or anew.
func (w *watch) set(t *table, id int64, row *windowRow) {
	w.remove(t, id)
	t.window[id] = row
	if row.pages == nil {
		w.restored(t)
		return
	}
	if w.rows == nil {
		w.rows = map[uint32]map[place]struct{}{}
	}
	for _, p := range row.pages {
		if w.rows[p] == nil {
			w.rows[p] = map[place]struct{}{}
		}
		w.rows[p][place{t, id}] = struct{}{}
	}
}

// remove takes a row out of its table's window.
func (w *watch) remove(t *table, id int64) {
	row := t.window[id]
	if row == nil {
		return
	}
	for _, p := range row.pages {
		delete(w.rows[p], place{t, id})
		if len(w.rows[p]) == 0 {
			delete(w.rows, p)
		}
	}
	delete(t.window, id)
}

// drop takes out all rows of a table.
func (w *watch) drop(t *table) {
	for id := range t.window {
		w.remove(t, id)
	}
	for p := range t.inner {
		w.inner[p] = slices.DeleteFunc(w.inner[p], func(of *table) bool { return of == t })
		if len(w.inner[p]) == 0 {
			delete(w.inner, p)
		}
	}
	clear(t.inner)
	delete(w.untraced, t)
}

// above notes a page above the leaves of a table.
func (w *watch) above(t *table, page uint32) {
	if _, ok := t.inner[page]; ok {
		return
	}
	t.inner[page] = struct{}{}
	if w.inner == nil {
		w.inner = map[uint32][]*table{}
	}
	w.inner[page] = append(w.inner[page], t)
}

// hits are the ids of captured rows, by table, that may have changed: those of which
// a page was written, those that may stand on another page now, and all when that is
// not known. nil for a table means all its rows.
func (w *watch) hits(tables map[string]*table, pages map[uint32]struct{}, known bool) map[*table][]int64 {
	out := map[*table][]int64{}
	if !known {
		for _, t := range tables {
			if len(t.window) > 0 {
				out[t] = nil
			}
		}
		return out
	}
	for p := range pages {
		for at := range w.rows[p] {
			out[at.table] = append(out[at.table], at.id)
		}
	}
	for t := range w.untraced {
		out[t] = nil
	}
	for p := range pages {
		for _, t := range w.inner[p] {
			if len(t.window) > 0 {
				out[t] = nil
			}
		}
	}
	return out
}

// work is what there is to read in one table: ids up to upTo that are beyond the
// cursor, and ranges of captured rows to look at again.
type work struct {
	*table
	upTo   int64
	ranges []idRange
	ids    []int64 // of the captured rows in ranges that may have changed, in order
	passed bool    // out of scope: rows up to upTo are counted and passed
	whole  bool    // ranges hold every captured row that is young enough
}

type idRange struct{ from, to int64 }

// plan makes ranges of the captured rows to look at again. Rows past their age are
// left alone.
func (t *table) plan(ids []int64, hit bool, now time.Time) work {
	w := work{table: t}
	if !hit || t.barred {
		return w
	}
	if ids == nil {
		w.whole = true
		for id := range t.window {
			ids = append(ids, id)
		}
	}
	oldest := now.Add(-windowAge).Unix()
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if t.window[id].seen < oldest {
			continue
		}
		w.ids = append(w.ids, id)
		if n := len(w.ranges); n > 0 && id-w.ranges[n-1].to <= 8 {
			w.ranges[n-1].to = id // a few rows in between cost less than another search
			continue
		}
		w.ranges = append(w.ranges, idRange{id, id})
	}
	return w
}
