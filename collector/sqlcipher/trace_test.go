package sqlcipher

import (
	"slices"
	"testing"
)

// Stepping through rows, Traced names the pages that each row took, so that a later
// commit's pages tell which rows to read again: the row that changed is always among
// them, whether it fits its leaf or overflows it.
func TestTracedFindsChangedRows(t *testing.T) {
	const rows, long = 40, 20 // the row long has one page besides its place on a leaf
	src := newSource(t, V4)
	src.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
	for id := 1; id <= rows; id++ {
		size := "300"
		if id == long {
			size = "4200"
		}
		src.exec("INSERT INTO t VALUES(" + itoa(id) + ", zeroblob(" + size + "))")
	}
	src.mirror()
	db := src.db()

	var mark Mark
	pages := map[int][]uint32{} // by row: of its leaf, and those it overflows to
	leaves := 0
	err := db.View(t.Context(), func(v *View) error {
		mark = v.Commit()
		stmt, err := v.Prepare("SELECT id, body FROM t ORDER BY id")
		if err != nil {
			return err
		}
		stop := v.Trace()
		var leaf, all []uint32
		for stmt.Step() {
			id, took := stmt.ColumnInt(0), v.Traced()
			all = append(all, took...)
			if first := slices.Contains(took, 1); first != (id == 1) {
				t.Errorf("page 1 is named by the step to row %d: %t", id, first)
			}
			switch {
			case id == long && len(took) != 1:
				t.Fatalf("the long row took %d pages, want the one it overflows to, its leaf being read", len(took))
			case id == long:
				pages[id] = append(slices.Clone(leaf), took...)
			case took != nil:
				leaf = took
				leaves++
				fallthrough
			default:
				pages[id] = leaf
			}
			if stmt.ColumnRawBlob(1); v.Traced() != nil {
				t.Errorf("row %d's columns took pages that the step had not", id)
			}
		}
		if err := stmt.Err(); err != nil {
			return err
		}
		if p := v.Traced(); p != nil {
			t.Errorf("pages %v after the last row", p)
		}
		if rest := stop(); len(rest) != 0 {
			t.Errorf("stop returned %v, which Traced had returned", rest)
		}

		// The same rows at once: stop names what Traced named, sorted.
		if err := stmt.Reset(); err != nil {
			return err
		}
		stop = v.Trace()
		if _, err := query(v, "SELECT body FROM t ORDER BY id"); err != nil {
			return err
		}
		again := stop()
		if slices.Sort(all); !slices.Equal(slices.Compact(all), again) {
			t.Errorf("row by row %v, at once %v", all, again)
		}
		if _, err := query(v, "SELECT body FROM t ORDER BY id DESC"); err != nil {
			return err
		}
		if p := v.Traced(); p != nil {
			t.Errorf("pages %v named without a trace", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if leaves < 3 {
		t.Fatalf("%d leaves show little", leaves)
	}

	for _, changed := range []int{1, long, long + 1, rows} {
		src.exec("UPDATE t SET body = randomblob(length(body)) WHERE id = " + itoa(changed))
		src.mirror()
		err := db.View(t.Context(), func(v *View) error {
			written, known := v.ChangedSince(mark)
			if !known {
				t.Fatal("what changed is not known")
			}
			mark = v.Commit()
			again := 0
			for id, took := range pages {
				touched := slices.ContainsFunc(took, func(p uint32) bool { _, ok := written[p]; return ok })
				if touched {
					again++
				} else if id == changed {
					t.Errorf("row %d changed on none of the pages it took", id)
				}
			}
			if again > rows/2 {
				t.Errorf("a change of one row touches %d of %d", again, rows)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
