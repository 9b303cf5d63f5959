package sqlcipher

// Traced returns the pages that SQLite has read since the trace began or since the
// last call of Traced, in the order of reading, and goes on noting; what it has
// returned, stop leaves out. It is nil when no page was read, and without a trace.
//
// So a caller that steps through rows learns which pages each row took. The step to
// a row reads, in this order, its leaf, if the row before stood on another, and the
// pages that its selected values overflow to; reading the columns afterwards reads
// none. Rows after one that overflows may thus stand on a leaf named before it. Page
// 1, which Trace notes by itself, is in the first call only.
func (v *View) Traced() []uint32 {
	f := v.conn.file
	if !f.tracing || len(f.trace) == 0 {
		return nil
	}
	pages := f.trace
	f.trace = nil
	return pages
}

// Leaf is the page that the current row of a table stands on, for a caller that steps
// through a table's rows in the order of their ids, with nothing else running, since
// the trace began: the last leaf that was read. It is 0 before the first.
func (v *View) Leaf() uint32 { return v.conn.file.leaf }

// Inner returns the pages above leaves, of tables, that SQLite has read since the trace
// began or since the last call of Inner. They are written when rows move between
// leaves. It is nil without a trace.
func (v *View) Inner() []uint32 {
	f := v.conn.file
	pages := f.inner
	f.inner = nil
	return pages
}
