package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/archive/store"
)

// Reader reads an index while a server may be writing it. It sees what had been
// added when a call began. It is not safe for concurrent use.
type Reader struct{ conn *sqlite3.Conn }

// OpenReader opens the index for reading, or returns ErrMissing. It needs the
// right to write beside the file: readers and the writer meet in shared memory.
func OpenReader(name string) (*Reader, error) {
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open index %s: %w", name, ErrMissing)
	}
	conn, err := sqlite3.OpenFlags(name, sqlite3.OPEN_READWRITE)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	conn.BusyTimeout(time.Minute)
	err = conn.Exec(`PRAGMA query_only=1`)
	if err == nil {
		var v int64
		if v, err = userVersion(conn); err == nil && v != version {
			if err = ErrNewer; v < version {
				err = errOlder
			}
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open index: %w", err)
	}
	return &Reader{conn}, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.conn.Close() }

// Query selects records. Zero fields select all.
type Query struct {
	Account      string
	Conversation string
	Kind         string
	Since        time.Time // sent then or later; records that were not sent count by their capture
	Until        time.Time // sent before
	Pieces       bool      // the pieces of contents too, each without its data
	// ByConversation orders by account, conversation and the client's order in it;
	// otherwise records come in the order they arrived.
	ByConversation bool
}

func (q Query) where() (string, []any) {
	terms, args := []string{"1"}, []any(nil)
	add := func(term string, arg any) {
		terms = append(terms, term)
		args = append(args, arg)
	}
	if q.Account != "" {
		add("account = ?", q.Account)
	}
	if q.Conversation != "" {
		add("conversation = ?", q.Conversation)
	}
	if q.Kind != "" {
		add("kind = ?", q.Kind)
	}
	if !q.Pieces {
		add("type IS NOT ?", TypePiece)
	}
	if !q.Since.IsZero() {
		add("coalesce(sent_at, captured_at) >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		add("coalesce(sent_at, captured_at) < ?", q.Until.UnixMilli())
	}
	return strings.Join(terms, " AND "), args
}

// Record is a kept record with where it stands.
type Record struct {
	N       int64 // order of arrival
	JSON    []byte
	Variant bool
	Line    int
	Batch   *Batch // shared by the records of one batch
}

// Records calls f for each record that the query selects. JSON is valid until f
// returns. Memory does not grow with the number of records.
func (r *Reader) Records(ctx context.Context, q Query, f func(Record) error) error {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	// One read transaction, so that the statements below see one state.
	if err := r.conn.Exec(`BEGIN`); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer r.conn.Exec(`ROLLBACK`)

	body, _, err := r.conn.Prepare(`SELECT json, variant, line, batch FROM records WHERE n = ?`)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer body.Close()
	var batch *Batch
	var batchN int64
	where, args := q.where()
	// Only row numbers are sorted; what they stand for is fetched one by one.
	order := `n`
	if q.ByConversation {
		order = `account, conversation, ord, local_id, n`
	}
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		rec := Record{N: s.ColumnInt64(0)}
		body.BindInt64(1, rec.N)
		if !body.Step() {
			return errors.Join(body.Err(), fmt.Errorf("record %d is gone", rec.N))
		}
		if n := body.ColumnInt64(3); batch == nil || n != batchN {
			b, err := r.batchByNumber(n)
			if err != nil {
				return err
			}
			batch, batchN = &b, n
		}
		rec.Batch = batch
		rec.JSON, rec.Variant, rec.Line = body.ColumnRawText(0), body.ColumnBool(1), body.ColumnInt(2)
		if err := f(rec); err != nil {
			return err
		}
		return body.Reset()
	}, `SELECT n FROM records WHERE `+where+` ORDER BY `+order, args...)
	if err != nil {
		return fmt.Errorf("read records: %w", errors.Join(ctx.Err(), err))
	}
	return nil
}

func (r *Reader) batchByNumber(n int64) (b Batch, err error) {
	found := false
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) (err error) {
		found = true
		b, err = scanBatch(s)
		return err
	}, `SELECT `+batchColumns+` FROM batches WHERE n = ?`, n)
	if err == nil && !found {
		err = fmt.Errorf("batch %d is gone from the index", n)
	}
	return b, err
}

// LaneSummary is what the index knows of batches of one lane.
type LaneSummary struct {
	Lane     store.Lane
	Batches  int64
	Last     uint64 // sequence number
	Records  int64  // as the batches' headers count them
	Bytes    int64
	Received time.Time // of the last batch
}

// LastBatch is the number of the batch that was indexed last, 0 when there is none.
// Numbers go up, until an index is made anew.
func (r *Reader) LastBatch(ctx context.Context) (n int64, err error) {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) error { n = s.ColumnInt64(0); return nil }, `SELECT max(n) FROM batches`)
	if err != nil {
		return 0, fmt.Errorf("read index: %w", err)
	}
	return n, nil
}

// Lanes summarises, for each lane, the batches after that number and up to the other.
func (r *Reader) Lanes(ctx context.Context, after, upTo int64) ([]LaneSummary, error) {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	var out []LaneSummary
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		l, err := scanLane(s)
		if err != nil {
			return err
		}
		out = append(out, LaneSummary{
			Lane: l, Batches: s.ColumnInt64(2), Last: uint64(s.ColumnInt64(3)),
			Records: s.ColumnInt64(4), Bytes: s.ColumnInt64(5), Received: time.UnixMilli(s.ColumnInt64(6)).UTC(),
		})
		return nil
	}, `SELECT device, lane, count(*), max(seq), sum(records), sum(bytes), max(received)
		FROM batches WHERE n > ? AND n <= ? GROUP BY device, lane`, after, upTo)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return out, nil
}

// Faults counts, for each device, the batches and records that could not be read.
func (r *Reader) Faults(ctx context.Context) (map[string]int64, error) {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	out := map[string]int64{}
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error { out[s.ColumnText(0)] = s.ColumnInt64(1); return nil },
		`SELECT device, count(*) FROM faults GROUP BY device`)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return out, nil
}

// Events calls f for each event record of the batches after that number and up to the
// other, in the order of arrival, with the batch's device. JSON is valid until f returns.
func (r *Reader) Events(ctx context.Context, after, upTo int64, f func(device string, json []byte) error) error {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		return f(s.ColumnText(0), s.ColumnRawText(1))
	}, `SELECT b.device, r.json FROM records r JOIN batches b ON b.n = r.batch WHERE r.kind = 'event' AND r.batch > ? AND r.batch <= ? ORDER BY r.n`, after, upTo)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}
