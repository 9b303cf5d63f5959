package sqlcipher

// Traced returns the pages that SQLite has read since the trace began or since the
// last call of Traced, in the order of reading, and goes on noting. So a caller that
// steps through rows learns which pages each row took. It is nil without a trace.
func (v *View) Traced() []uint32 {
	f := v.conn.file
	if !f.tracing || len(f.trace) == 0 {
		return nil
	}
	pages := f.trace
	f.trace = nil
	return pages
}
