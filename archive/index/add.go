package index

import (
	"bytes"
	"errors"
	"fmt"

	"tidemark/archive/internal/sqlite"
	"tidemark/seal"
)

// Add adds batches with their records, all or none.
func (x *Index) Add(entries ...Entry) (err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("add to index: %w", err)
		}
	}()
	tx, err := x.conn.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	for i := range entries {
		if err := x.addEntry(&entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) addEntry(e *Entry) error {
	device, lane := e.Lane.Device.String(), e.Lane.Lane.String()
	err := sqlite.Exec(x.conn, `INSERT INTO batches (`+batchColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		device, lane, int64(e.Seq), e.Hash[:], int64(e.Log), e.Received.UnixMilli(), e.Sealed.UnixMilli(),
		int64(e.Records), e.Bytes, e.Opened)
	if err != nil {
		return err
	}
	batch := x.conn.LastInsertRowID()
	if len(e.KeyHeader) > 0 {
		if err := sqlite.Exec(x.conn, `INSERT OR IGNORE INTO keys (id, header) VALUES (?, ?)`, e.KeyID[:], e.KeyHeader); err != nil {
			return err
		}
	}
	for _, h := range e.Headers {
		id := seal.KeyIDOf(h)
		if err := sqlite.Exec(x.conn, `INSERT OR IGNORE INTO keys (id, header) VALUES (?, ?)`, id[:], h); err != nil {
			return err
		}
	}
	for i := range e.Rows {
		if err := x.addRow(batch, &e.Rows[i]); err != nil {
			return err
		}
	}
	for _, f := range e.Faults {
		var line any
		if f.Line >= 0 {
			line = int64(f.Line)
		}
		err := sqlite.Exec(x.conn, `INSERT INTO faults (device, lane, seq, line, fault) VALUES (?,?,?,?,?)`,
			device, lane, int64(e.Seq), line, f.What)
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) addRow(batch int64, r *Row) error {
	variant := false
	key := r.Key()
	if err := errors.Join(x.find.BindInt64(1, key), x.find.BindText(2, r.ID)); err != nil {
		return err
	}
	for x.find.Step() {
		variant = true
		if bytes.Equal(x.find.ColumnRawBlob(1), r.Digest[:]) {
			n := x.find.ColumnInt64(0)
			if err := x.find.Reset(); err != nil {
				return err
			}
			return sqlite.Exec(x.conn, `INSERT INTO sightings (record, batch, line) VALUES (?,?,?)`, n, batch, int64(r.Line))
		}
	}
	if err := errors.Join(x.find.Err(), x.find.Reset()); err != nil {
		return err
	}
	s := x.add
	var err error
	bind := func(e error) {
		if err == nil {
			err = e
		}
	}
	text := func(i int, v string) {
		if v == "" { // absent
			bind(s.BindNull(i))
			return
		}
		bind(s.BindText(i, v))
	}
	integer := func(i int, v *int64) {
		if v == nil {
			bind(s.BindNull(i))
			return
		}
		bind(s.BindInt64(i, *v))
	}
	bind(s.BindInt64(1, batch))
	bind(s.BindInt(2, r.Line))
	bind(s.BindBool(3, variant))
	bind(s.BindText(4, r.ID))
	bind(s.BindInt64(5, key))
	bind(s.BindBlob(6, r.Digest[:]))
	bind(s.BindText(7, r.Kind))
	text(8, r.Account)
	text(9, r.Conversation)
	text(10, r.Sender)
	integer(11, r.SentAt)
	bind(s.BindInt64(12, r.CapturedAt))
	integer(13, r.Order)
	integer(14, r.LocalID)
	text(15, r.Type)
	text(16, r.Of)
	if r.Text == nil {
		bind(s.BindNull(17))
	} else {
		bind(s.BindText(17, *r.Text))
	}
	bind(s.BindRawText(18, r.JSON))
	if err != nil {
		return err
	}
	return s.Exec()
}
