package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/archive/store"
)

// Checker compares an index with what the batches say it should hold. It sees one
// state of the index, that of when it was made, and reports each difference.
type Checker struct {
	r         *Reader
	find      *sqlite3.Stmt
	sighting  *sqlite3.Stmt
	batches   int64
	records   int64
	sightings int64
	faults    int64
}

// NewChecker begins a check. Close ends it; the reader is its own until then.
func (r *Reader) NewChecker() (*Checker, error) {
	c := &Checker{r: r}
	// The first read of a transaction decides what it sees.
	err := r.conn.Exec(`BEGIN; SELECT n FROM batches LIMIT 1`)
	if err == nil {
		c.find, _, err = r.conn.Prepare(`SELECT n, batch, line, variant, digest, kind, account, conversation, sender,
			sent_at, captured_at, ord, local_id, type, of, text, json FROM records WHERE key = ? AND id = ? ORDER BY n`)
	}
	if err == nil {
		c.sighting, _, err = r.conn.Prepare(`SELECT record FROM sightings WHERE batch = ? AND line = ?`)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("check index: %w", err)
	}
	return c, nil
}

// Close ends the check.
func (c *Checker) Close() error {
	for _, s := range []*sqlite3.Stmt{c.find, c.sighting} {
		if s != nil {
			s.Close()
		}
	}
	return c.r.conn.Exec(`ROLLBACK`)
}

// Head returns the sequence number of the lane's last batch in the index.
func (c *Checker) Head(l store.Lane) (seq uint64, err error) {
	err = sqlite.Query(c.r.conn, func(s *sqlite3.Stmt) error { seq = uint64(s.ColumnInt64(0)); return nil },
		`SELECT coalesce(max(seq), 0) FROM batches WHERE device = ? AND lane = ?`, l.Device.String(), l.Lane.String())
	return seq, err
}

// Batch compares one batch and its records. The entry is whole, with place and
// time. Report gets each difference, with the line or -1.
func (c *Checker) Batch(e *Entry, report func(line int, what string)) error {
	var n int64
	var have Batch
	found := false
	device, lane := e.Lane.Device.String(), e.Lane.Lane.String()
	err := sqlite.Query(c.r.conn, func(s *sqlite3.Stmt) (err error) {
		found = true
		have, err = scanBatch(s)
		n = s.ColumnInt64(10)
		return err
	}, `SELECT `+batchColumns+`, n FROM batches WHERE device = ? AND lane = ? AND seq = ?`, device, lane, int64(e.Seq))
	if err != nil {
		return fmt.Errorf("check index: %w", err)
	}
	if !found {
		report(-1, "index: the batch is missing")
		return nil
	}
	c.batches++
	want := e.Batch
	want.Sealed = time.UnixMilli(want.Sealed.UnixMilli()).UTC()
	want.Received = time.UnixMilli(want.Received.UnixMilli()).UTC()
	if have != want {
		report(-1, "index: the batch's row differs")
	}
	if len(e.KeyHeader) > 0 {
		same := false
		err := sqlite.Query(c.r.conn, func(s *sqlite3.Stmt) error { same = bytes.Equal(s.ColumnRawBlob(0), e.KeyHeader); return nil },
			`SELECT header FROM keys WHERE id = ?`, e.KeyID[:])
		if err != nil {
			return fmt.Errorf("check index: %w", err)
		}
		if !same {
			report(-1, "index: the data key's header differs")
		}
	}
	faults := 0
	err = sqlite.Query(c.r.conn, func(s *sqlite3.Stmt) error { faults = s.ColumnInt(0); return nil },
		`SELECT count(*) FROM faults WHERE device = ? AND lane = ? AND seq = ?`, device, lane, int64(e.Seq))
	if err != nil {
		return fmt.Errorf("check index: %w", err)
	}
	c.faults += int64(faults)
	if faults != len(e.Faults) {
		report(-1, fmt.Sprintf("index: %d faults noted, %d found", faults, len(e.Faults)))
	}
	for i := range e.Rows {
		what, err := c.row(n, &e.Rows[i])
		if err != nil {
			return fmt.Errorf("check index: %w", err)
		}
		if what != "" {
			report(e.Rows[i].Line, "index: "+what)
		}
	}
	return nil
}

// row looks for the record of one line, or for its sighting.
func (c *Checker) row(batch int64, r *Row) (fault string, err error) {
	s := c.find
	if err := errors.Join(s.BindInt64(1, r.Key()), s.BindText(2, r.ID)); err != nil {
		return "", err
	}
	defer s.Reset()
	kept := int64(0) // the record of the same content that came first
	other := false   // a record of other content came before this row
	for s.Step() {
		if s.ColumnInt64(1) == batch && s.ColumnInt(2) == r.Line {
			c.records++
			if what := differs(s, r, other); what != "" {
				return "the record's " + what + " differs", nil
			}
			return "", nil
		}
		if bytes.Equal(s.ColumnRawBlob(4), r.Digest[:]) && kept == 0 {
			kept = s.ColumnInt64(0)
		} else {
			other = true
		}
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	seen := int64(0)
	c.sighting.BindInt64(1, batch)
	c.sighting.BindInt(2, r.Line)
	defer c.sighting.Reset()
	if c.sighting.Step() {
		seen = c.sighting.ColumnInt64(0)
		c.sightings++
	}
	switch {
	case c.sighting.Err() != nil:
		return "", c.sighting.Err()
	case seen == 0:
		return "the record is missing", nil
	case seen != kept:
		return "the record is noted as seen before, which it was not", nil
	}
	return "", nil
}

// differs names the first column that is not what the record says.
func differs(s *sqlite3.Stmt, r *Row, variant bool) string {
	text := func(col int, want string) bool { return s.ColumnText(col) == want }
	integer := func(col int, want *int64) bool {
		if s.ColumnType(col) == sqlite3.NULL {
			return want == nil
		}
		return want != nil && s.ColumnInt64(col) == *want
	}
	body := s.ColumnType(15) == sqlite3.NULL && r.Text == nil || r.Text != nil && s.ColumnType(15) != sqlite3.NULL && text(15, *r.Text)
	for _, c := range []struct {
		name string
		same bool
	}{
		{"variant", s.ColumnBool(3) == variant},
		{"digest", bytes.Equal(s.ColumnRawBlob(4), r.Digest[:])},
		{"kind", text(5, r.Kind)},
		{"account", text(6, r.Account)},
		{"conversation", text(7, r.Conversation)},
		{"sender", text(8, r.Sender)},
		{"sent_at", integer(9, r.SentAt)},
		{"captured_at", integer(10, &r.CapturedAt)},
		{"order", integer(11, r.Order)},
		{"local_id", integer(12, r.LocalID)},
		{"type", text(13, r.Type)},
		{"of", text(14, r.Of)},
		{"text", body},
		{"json", bytes.Equal(s.ColumnRawText(16), r.JSON)},
	} {
		if !c.same {
			return c.name
		}
	}
	return ""
}

// Rest reports what the index holds beyond the batches that were compared. It
// makes sense only when every batch that the index knows was.
func (c *Checker) Rest(ctx context.Context, report func(what string)) error {
	for _, t := range []struct {
		table string
		want  int64
	}{{"batches", c.batches}, {"records", c.records}, {"sightings", c.sightings}, {"faults", c.faults}} {
		var have int64
		err := sqlite.Query(c.r.conn, func(s *sqlite3.Stmt) error { have = s.ColumnInt64(0); return ctx.Err() },
			`SELECT count(*) FROM `+t.table)
		if err != nil {
			return fmt.Errorf("check index: %w", err)
		}
		if have != t.want {
			report(fmt.Sprintf("index: table %s has %d rows, %d come from the batches", t.table, have, t.want))
		}
	}
	return nil
}
