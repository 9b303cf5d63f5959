package sqlcipher

import "encoding/binary"

// SQLite reads the whole schema into memory when a connection is opened and whenever it
// changes, and that takes more than proportionally longer the more entries there are. A
// database of 5,000 conversations has a table of each with several indexes, none of which
// a reader that goes by row ids needs. So such entries are left out of the leaves of the
// schema's b-tree while SQLite reads it, see [Options].Unseen; the database itself is of
// course not touched, and its tables are read through the pages they are on.

// dropIndexes takes entries of indexes out of a leaf of the schema's b-tree: those that
// unseen says are not needed. One entry always stays, for a leaf without any is damage to
// SQLite. What is not as expected stays as it is.
//
// A leaf is (SQLite file format, 1.6): the byte 0x0d; at 3 the number of cells, at 8
// the offsets of the cells, 2 bytes each. A cell is the size of the payload, the row id,
// and the payload, whose rest may be on other pages. The payload of the schema is a
// record of five columns: type, name, table, root page, CREATE text (2.1, 2.6).
func dropIndexes(page []byte, unseen func(table, sql string) bool) {
	if len(page) < 8 || page[0] != tableLeaf {
		return
	}
	cells := int(binary.BigEndian.Uint16(page[3:]))
	if cells < 2 || 8+2*cells > len(page) {
		return
	}
	pointers := page[8 : 8+2*cells]
	kept := 0
	for i := range cells {
		pointer := pointers[2*i : 2*i+2]
		table, sql, ok := indexEntry(page, int(binary.BigEndian.Uint16(pointer)))
		if last := i == cells-1 && kept == 0; !last && ok && unseen(table, sql) {
			continue
		}
		copy(pointers[2*kept:], pointer)
		kept++
	}
	binary.BigEndian.PutUint16(page[3:], uint16(kept))
}

// indexEntry reads a cell that is an index's entry of the schema, as far as it is on
// this page: the table's name must be, of the text there may be less.
func indexEntry(page []byte, at int) (table, sql string, ok bool) {
	next := func() (v uint64) {
		v, n := varint(page, at)
		if n == 0 {
			at = len(page) + 1
		}
		at += n
		return v
	}
	payload := next()
	next() // the row id
	begin := at
	header := next()
	if at > len(page) || header > uint64(len(page)-begin) {
		return "", "", false
	}
	end := begin + int(header)
	var sizes [5]int
	for i := range sizes {
		t := next()
		switch {
		case at > end:
			return "", "", false
		case i == 3: // the root page, an integer
			if t < 1 || t > 9 || t == 7 {
				return "", "", false
			}
			sizes[i] = []int{0, 1, 2, 3, 4, 6, 8, 0, 0, 0}[t]
		case t < 13 || t%2 == 0: // not a text; an index that a table brings along has no CREATE text
			return "", "", false
		default:
			sizes[i] = int(min((t-13)/2, uint64(len(page))))
		}
	}
	if at != end || uint64(sizes[0]+sizes[1]+sizes[2]+sizes[3]+sizes[4])+header != payload {
		return "", "", false
	}
	text := at + sizes[0] + sizes[1]
	if sizes[0] != len("index") || text+sizes[2] > len(page) || string(page[at:at+sizes[0]]) != "index" {
		return "", "", false
	}
	table = string(page[text : text+sizes[2]])
	from := min(text+sizes[2]+sizes[3], len(page))
	return table, string(page[from:min(from+sizes[4], len(page))]), true
}

// varint reads SQLite's integer of variable length (file format, 1.6); 0 bytes are none.
func varint(b []byte, at int) (v uint64, n int) {
	for n < 9 {
		if at < 0 || at+n >= len(b) {
			return 0, 0
		}
		c := b[at+n]
		n++
		if n == 9 {
			return v<<8 | uint64(c), n
		}
		v = v<<7 | uint64(c&0x7f)
		if c&0x80 == 0 {
			return v, n
		}
	}
	return 0, 0
}
