package sqlcipher

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// cell is a leaf's cell of the schema.
func cell(rowID byte, kind, name, table, sql string) []byte {
	text := func(s string) byte { return byte(13 + 2*len(s)) } // short ones only
	types := []byte{text(kind), text(name), text(table), 1}
	if sql == "" {
		types = append(types, 0)
	} else {
		types = append(types, text(sql))
	}
	body := kind + name + table + "\x07" + sql
	payload := append([]byte{byte(1 + len(types))}, types...)
	payload = append(payload, body...)
	return append([]byte{byte(len(payload)), rowID}, payload...)
}

func leafOf(cells ...[]byte) []byte {
	page := make([]byte, 1024)
	page[0] = tableLeaf
	binary.BigEndian.PutUint16(page[3:], uint16(len(cells)))
	end := len(page)
	for i, c := range cells {
		end -= len(c)
		copy(page[end:], c)
		binary.BigEndian.PutUint16(page[8+2*i:], uint16(end))
	}
	return page
}

// rowIDs are the cells that a leaf still points to.
func rowIDs(page []byte) (out []byte) {
	for i := range int(binary.BigEndian.Uint16(page[3:])) {
		out = append(out, page[int(binary.BigEndian.Uint16(page[8+2*i:]))+1])
	}
	return out
}

// Promise: of a leaf of the schema only entries of indexes are left out that are not
// needed; tables, other indexes, those without a CREATE text and what is no entry at all
// stay, in their order, and one entry in any case.
func TestDropIndexes(t *testing.T) {
	table, index := cell(1, "table", "Msg_a", "Msg_a", "CREATE TABLE Msg_a(x)"), cell(2, "index", "i", "Msg_a", "CREATE INDEX i ON Msg_a(x)")
	auto, other := cell(3, "index", "sqlite_auto", "Msg_a", ""), cell(4, "index", "o", "Other", "CREATE INDEX o ON Other(x)")
	row := append([]byte{9, 5, 3, 13 + 2*2, 1}, "ab\x07...."...) // a row of two columns
	for _, c := range []struct {
		name  string
		cells [][]byte
		want  []byte
	}{
		{"a table and its index", [][]byte{table, index}, []byte{1}},
		{"all that there may be", [][]byte{index, table, auto, index, other, row}, []byte{1, 3, 4, 5}},
		{"nothing but indexes", [][]byte{index, index, index}, []byte{2}},
		{"one cell", [][]byte{index}, []byte{2}},
		{"no cell", nil, nil},
	} {
		page := leafOf(c.cells...)
		dropIndexes(page, func(table, sql string) bool {
			if !strings.HasPrefix(sql, "CREATE INDEX ") {
				t.Errorf("%s: CREATE text %q", c.name, sql)
			}
			return table == "Msg_a"
		})
		if got := rowIDs(page); !slices.Equal(got, c.want) {
			t.Errorf("%s: rows %v, want %v", c.name, got, c.want)
		}
	}
}

// Promise: whatever a page holds, no entry is invented, none is moved, and nothing but
// the list of cells is touched.
func FuzzDropIndexes(f *testing.F) {
	f.Add(leafOf(cell(1, "table", "Msg_a", "Msg_a", "CREATE TABLE Msg_a(x)"), cell(2, "index", "i", "Msg_a", "CREATE INDEX i ON Msg_a(x)")))
	f.Add([]byte{tableLeaf, 0, 0, 0xff, 0xff, 0, 0, 0, 1, 2})
	f.Fuzz(func(t *testing.T, page []byte) {
		was := bytes.Clone(page)
		dropIndexes(page, func(string, string) bool { return true })
		if len(page) < 8 || bytes.Equal(page, was) {
			return
		}
		before, after := int(binary.BigEndian.Uint16(was[3:])), int(binary.BigEndian.Uint16(page[3:]))
		if after < 1 || after > before {
			t.Fatalf("%d cells became %d", before, after)
		}
		at := 0 // the cells that are left are a part of those there were, in order
		for i := range after {
			for at < before && !bytes.Equal(was[8+2*at:10+2*at], page[8+2*i:10+2*i]) {
				at++
			}
			if at++; at > before {
				t.Fatal("a cell is there that was not")
			}
		}
		if rest := 8 + 2*before; !bytes.Equal(was[:3], page[:3]) || !bytes.Equal(was[5:8], page[5:8]) || !bytes.Equal(was[rest:], page[rest:]) {
			t.Fatal("more than the list of cells was touched")
		}
	})
}
