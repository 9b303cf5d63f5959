package spool_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// ndjson is records as capture makes them, each another.
func ndjson(n, seed int) []byte {
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, `{"v":1,"kind":"message","id":"m_%026x","device":"d_5zpwflwtnhbcwtamqi2pgywoyy","captured_at":"2026-11-23T08:00:%02d.123Z","account":{"id":"wxid_me","name":"Me"},"client":{"app":"weixin","generation":"4","os":"windows"},"conversation":{"id":"%d@chatroom","kind":"room","name":"Room %d"},"sender":{"id":"wxid_%d","name":"Somebody","self":false},"sent_at":"2026-11-23T07:59:59Z","server_id":"76134%d","local_id":"%d","order":"1763884799000","type":"text","text":"words number %x of %x, said again and again","native":{"type":1,"subtype":0},"decoder":"weixin4/1","source":{"file":"message/message_0.db","table":"Msg_9e20f478899dc29eb19741386f9343c8","row":{"local_id":%d,"server_id":76134%d,"local_type":1,"sort_seq":1763884799000,"real_sender_id":%d,"create_time":1763884799,"status":3,"message_content":"words number %x of %x, said again and again"}}}`+"\n",
			seed*7919+i, i%60, seed%40, seed%40, (seed+i)%300, seed*1000+i, i, (seed+i)*2654435761, i*40503, i, seed*1000+i, (seed+i)%300, (seed+i)*2654435761, i*40503)
	}
	return b
}

// The bar of the benchmarks: records per second into the spool, sealed, against the
// same sealed bytes into plain bbolt, one transaction a batch, by as many writers.
// TIDEMARK_BENCH runs it; the figures are of one run and in turns.
func TestAppendRatio(t *testing.T) {
	if os.Getenv("TIDEMARK_BENCH") == "" {
		t.Skip("set TIDEMARK_BENCH to measure")
	}
	o := spool.Options{Identity: seal.NewIdentity(), Archive: sealtest.New(t).Archive}
	for _, c := range []struct{ writers, records, batches int }{{1, 100, 300}, {1, 1000, 60}, {3, 100, 300}, {3, 1000, 60}} {
		t.Run(fmt.Sprintf("%d writers, %d records", c.writers, c.records), func(t *testing.T) {
			var mine, plain time.Duration
			var ndjsons [][]byte
			for i := range c.writers * c.batches {
				ndjsons = append(ndjsons, ndjson(c.records, i))
			}
			for range 3 {
				path := filepath.Join(t.TempDir(), "spool.db")
				s, err := spool.Open(path, o)
				if err != nil {
					t.Fatal(err)
				}
				mine += together(t, c.writers, func(w int) error {
					for i := range c.batches {
						n := w*c.batches + i
						err := s.Append(t.Context(), seal.Messages, spool.Records{NDJSON: ndjsons[n], Count: c.records},
							spool.Cursor{Key: fmt.Sprint("t/", w), Value: binary.BigEndian.AppendUint64(nil, uint64(i))})
						if err != nil {
							return err
						}
					}
					return nil
				})
				sealed, err := s.Peek(seal.Messages, 1<<40)
				if err != nil || len(sealed) != c.writers*c.batches {
					t.Fatalf("%d batches, %v", len(sealed), err)
				}
				s.Close()
				db, err := bbolt.Open(filepath.Join(t.TempDir(), "plain.db"), 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err }); err != nil {
					t.Fatal(err)
				}
				plain += together(t, c.writers, func(w int) error {
					for i := range c.batches {
						n := w*c.batches + i
						err := db.Update(func(tx *bbolt.Tx) error {
							return tx.Bucket([]byte("b")).Put(binary.BigEndian.AppendUint64(nil, uint64(n)), sealed[n].Raw)
						})
						if err != nil {
							return err
						}
					}
					return nil
				})
				db.Close()
			}
			records := float64(3 * c.writers * c.batches * c.records)
			t.Logf("sealed %.0f records/s, plain bbolt %.0f records/s: ratio %.2f", records/mine.Seconds(), records/plain.Seconds(), plain.Seconds()/mine.Seconds())
		})
	}
}

// together runs fn in so many goroutines and says how long all took.
func together(t *testing.T, n int, fn func(i int) error) time.Duration {
	var g sync.WaitGroup
	began := time.Now()
	for i := range n {
		g.Go(func() {
			if err := fn(i); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	return time.Since(began)
}
