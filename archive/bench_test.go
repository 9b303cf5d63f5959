//go:build !windows

package archive_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/index"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func benchArchive(b *testing.B) (*archive.Archive, *archivetest.Device) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "a")
	if _, err := archive.Init(b.Context(), dir, "archive.test", archivetest.Time); err != nil {
		b.Fatal(err)
	}
	a, err := archive.Open(context.Background(), dir, archive.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	keys, err := archive.Folder(dir).LoadKeys()
	if err != nil {
		b.Fatal(err)
	}
	d := archivetest.NewDevice(b, keys.Archive)
	token, err := a.Registry().NewToken(1, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	var e protocol.Enrollment
	protocol.SignEnrollment(&e, d.Identity, a.Key())
	if _, err := a.Enroll(token, &e); err != nil {
		b.Fatal(err)
	}
	return a, d
}

// BenchmarkAppendOne measures one new message: from the batch to its receipt.
func BenchmarkAppendOne(b *testing.B) {
	a, d := benchArchive(b)
	var took []time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		batch := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", n, fmt.Sprint(n)))
		b.StartTimer()
		start := time.Now()
		if _, err := a.Append(context.Background(), messages(d), []*seal.Batch{batch}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "ms/p50")
	b.ReportMetric(took[len(took)*95/100].Seconds()*1e3, "ms/p95")
}

// historyBatch is how many messages a batch of a history has.
const historyBatch = 4096

// BenchmarkAppendHistory measures a history: batches of 4096 messages, in an
// archive that grows, with signatures, chain, log, receipts and index. The rival, in
// the same run, is SQLite by itself: the same rows inserted into one table with the same
// columns, no index besides and nothing looked up, in transactions of as many.
func BenchmarkAppendHistory(b *testing.B) {
	a, d := benchArchive(b)
	rival := newPlain(b)
	n := 0
	var ours, theirs time.Duration
	for b.Loop() {
		b.StopTimer()
		lines := make([][]byte, historyBatch)
		for i := range lines {
			n++
			lines[i] = archivetest.Text(d.ID(), fmt.Sprintf("%d@chatroom", n%200), n, fmt.Sprintf("明天上午十点在三楼会议室开会，请大家准时参加。 %d", n))
		}
		batch := d.Seal(seal.Messages, lines...)
		rows := make([]index.Row, len(lines))
		for i, l := range lines {
			var err error
			if rows[i], err = index.Derive(l); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		if err := rival.insert(rows); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
		b.StartTimer()
		start = time.Now()
		if _, err := a.Append(context.Background(), messages(d), []*seal.Batch{batch}); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
	}
	b.ReportMetric(float64(n)/ours.Seconds(), "records/s")
	b.ReportMetric(float64(n)/theirs.Seconds(), "sqlite-records/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}

// plain is a table of records in SQLite and nothing more.
type plain struct {
	conn *sqlite3.Conn
	add  *sqlite3.Stmt
}

func newPlain(b *testing.B) *plain {
	b.Helper()
	conn, err := sqlite3.Open(filepath.Join(b.TempDir(), "plain.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	err = conn.Exec(`PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-49152;
		CREATE TABLE records (id TEXT, key INTEGER, digest BLOB, kind TEXT, account TEXT, conversation TEXT, sender TEXT,
		sent_at INTEGER, captured_at INTEGER, ord INTEGER, local_id INTEGER, type TEXT, text TEXT, json TEXT)`)
	if err != nil {
		b.Fatal(err)
	}
	add, _, err := conn.Prepare(`INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	if err != nil {
		b.Fatal(err)
	}
	return &plain{conn, add}
}

func (p *plain) insert(rows []index.Row) (err error) {
	defer p.conn.Begin().End(&err)
	s := p.add
	for i := range rows {
		r := &rows[i]
		err := errors.Join(s.BindText(1, r.ID), s.BindInt64(2, r.Key()), s.BindBlob(3, r.Digest[:]), s.BindText(4, r.Kind),
			s.BindText(5, r.Account), s.BindText(6, r.Conversation), s.BindText(7, r.Sender), s.BindInt64(8, *r.SentAt),
			s.BindInt64(9, r.CapturedAt), s.BindInt64(10, *r.Order), s.BindInt64(11, *r.LocalID), s.BindText(12, r.Type),
			s.BindText(13, *r.Text), s.BindRawText(14, r.JSON))
		if err != nil {
			return err
		}
		if err := s.Exec(); err != nil {
			return err
		}
	}
	return nil
}
