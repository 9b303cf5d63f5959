package collector_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/discover"
	"tidemark/collector/simtest"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// sink takes records and forgets them: what is measured is the collector alone.
type sink struct{ records, bytes atomic.Int64 }

func (s *sink) Append(_ context.Context, _ seal.Lane, r spool.Records, _ ...spool.Cursor) error {
	s.records.Add(int64(r.Count))
	s.bytes.Add(int64(len(r.NDJSON)))
	return nil
}
func (s *sink) Cursor(string) ([]byte, error)                    { return nil, nil }
func (s *sink) Cursors(string, func(string, []byte) error) error { return nil }

// world is the account of TIDEMARK_BENCH_DIR, as the simulator's make left it, or a
// small one made now.
func benchWorld(b *testing.B) *simtest.World {
	w := simtest.New(b)
	if dir := os.Getenv("TIDEMARK_BENCH_DIR"); dir != "" {
		w.Use(dir)
	} else {
		w.Make(100_000, 100)
	}
	return w
}

// BenchmarkHistory reads an account's whole history: decrypt, verify, decode, write
// records. "sink" drops the records, "spool" seals and commits them.
func BenchmarkHistory(b *testing.B) {
	w := benchWorld(b)
	b.Run("sink", func(b *testing.B) {
		for b.Loop() {
			var s sink
			history(b, w, &s, seal.NewIdentity())
			b.ReportMetric(float64(s.records.Load())/b.Elapsed().Seconds()*float64(b.N), "rows/s")
			b.ReportMetric(float64(s.bytes.Load())/float64(s.records.Load()), "B/row")
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			var n atomic.Int64
			c := historian(b, w, &sink{}, seal.NewIdentity())
			c.TakeDecoded(func(*record.Record) { n.Add(1) })
			if err := c.Once(b.Context()); err != nil {
				b.Fatal(err)
			}
			if n.Load() == 0 {
				b.Fatal("nothing was decoded")
			}
		}
	})
	b.Run("spool", func(b *testing.B) {
		for b.Loop() {
			d := newDevice(b, w)
			history(b, w, d.spool, d.id)
			b.StopTimer()
			st, _ := d.spool.Stats()
			b.ReportMetric(float64(st.Bytes)/float64(st.Lanes["messages"].Records), "sealedB/row")
			b.StartTimer()
		}
	})
}

func history(b *testing.B, w *simtest.World, s collector.Spool, id *seal.Identity) {
	if err := historian(b, w, s, id).Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func historian(b *testing.B, w *simtest.World, s collector.Spool, id *seal.Identity) *collector.Collector {
	keys := &keyring{}
	keys.set(w.Key())
	c, err := collector.New(collector.Options{
		Device: id.ID(), Secret: id.Secret("digest"), Spool: s, Keys: keys,
		Find: func() ([]discover.Account, []discover.Problem) { return only(w.Root) },
	})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkFiles captures a history of pictures, 1,000 or as many as TIDEMARK_BENCH_FILES
// says, each of 20 KB in the client's form V2: found, decoded, hashed and written as
// records. "again" is a pass that finds nothing new.
func BenchmarkFiles(b *testing.B) {
	n := 1000
	if s := os.Getenv("TIDEMARK_BENCH_FILES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	a := newAttached(b)
	sent := time.Now().Add(-48 * time.Hour)
	plain := picture(1, 190)
	for i := range n {
		data := append(bytes.Clone(plain[:len(plain)-2]), byte(i), byte(i>>8), 0xff, 0xd9)
		a.put(a.img(sent, stem(i)+"_h.dat"), v2(data), old)
	}
	rewrite(a.w, fmt.Sprintf(`WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < %d)
		INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content, packed_info_data)
		SELECT 900000 + i, 3, i, 1, %d, '<msg><img length="1"/></msg>', CAST(x'1a222220' || printf('%%032x', i) AS BLOB) FROM c`, n, a.table, sent.Unix()))
	for b.Loop() {
		o := a.options
		s := &sink{}
		o.Spool = s
		c, err := collector.New(o)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
		first := b.Elapsed()
		if s.records.Load() < int64(3*n) { // message, piece and link
			b.Fatalf("%d records of %d pictures", s.records.Load(), n)
		}
		if err := c.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n)/first.Seconds(), "files/s")
		b.ReportMetric(float64(n*len(plain))/1e6/first.Seconds(), "MB/s")
		b.ReportMetric(float64((b.Elapsed() - first).Milliseconds()), "ms/again")
		c.Close()
	}
}
