package index

import (
	"context"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/record"
)

// Arrival is how many message records of one day of a conversation came from one
// device, repeats of the same record included.
type Arrival struct {
	Device, Account, Conversation string
	Date                          string // of sent_at in UTC, or record.Undated
	Records                       int64
}

// Arrivals calls f for each day of each conversation, of one account or, when it is
// empty, of all, of what was sent then or later.
func (r *Reader) Arrivals(ctx context.Context, account string, since time.Time, f func(Arrival) error) error {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	where, args := Query{Account: account, Kind: string(record.KindMessage), Since: since}.where()
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		return f(Arrival{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3), s.ColumnInt64(4)})
	}, `WITH arrived AS (SELECT n AS record, batch FROM records UNION ALL SELECT record, batch FROM sightings)
		SELECT b.device, m.account, m.conversation, coalesce(date(m.sent_at / 1000, 'unixepoch'), '`+record.Undated+`') AS day, count(*)
		FROM (SELECT * FROM records WHERE `+where+`) m JOIN arrived a ON a.record = m.n JOIN batches b ON b.n = a.batch
		GROUP BY b.device, m.account, m.conversation, day`, args...)
	if err != nil {
		return fmt.Errorf("read arrivals: %w", err)
	}
	return nil
}
