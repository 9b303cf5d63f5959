package spool_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// ndjson is records as capture makes them, each another: about 1,500 bytes of JSON, and
// some 130 in a large batch that is sealed, much as those of the simulated client.
func ndjson(n, seed int) []byte {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	var b, text []byte
	for i := range n {
		text = text[:0]
		for range 4 + rng.IntN(10) {
			text = fmt.Appendf(text, "%s %d ", []string{"invoice", "订单", "see ticket", "请查收", "container", "已经发出", "approved", "thanks", "预计周五到", "for the details"}[rng.IntN(10)], rng.IntN(1000))
		}
		who, room, server := rng.IntN(300), seed%40, rng.Uint64()>>1
		b = fmt.Appendf(b, `{"v":1,"kind":"message","id":"m_%013x%013x","device":"d_5zpwflwtnhbcwtamqi2pgywoyy","captured_at":"2026-11-23T08:00:%02d.123Z","account":{"id":"wxid_me","name":"Me"},"client":{"app":"weixin","generation":"4","os":"windows"},"conversation":{"id":"%d@chatroom","kind":"room","name":"Room %d"},"sender":{"id":"wxid_%d","name":"Somebody","self":false},"sent_at":"2026-11-23T07:%02d:%02dZ","server_id":"%d","local_id":"%d","order":"17638%05d000","type":"text","text":"%s","native":{"type":1,"subtype":0},"decoder":"weixin4/1","source":{"file":"message/message_0.db","table":"Msg_9e20f478899dc29eb19741386f93%04x","row":{"local_id":%d,"server_id":{"int":"%d"},"local_type":1,"sort_seq":17638%05d000,"real_sender_id":%d,"create_time":17638%05d,"status":3,"upload_status":0,"download_status":0,"server_seq":%d,"origin_source":1,"source":"<msgsource><bizflag>0</bizflag><pua>1</pua><eggIncluded>0</eggIncluded><silence>0</silence><membercount>8</membercount><signature>N0_V1_%08x|v1_%08x</signature><tmp_node><publisher-id></publisher-id></tmp_node><sec_msg_node><uuid>%016x%016x_</uuid><alnode><fr>1</fr></alnode></sec_msg_node></msgsource>","message_content":"%s","compress_content":null,"packed_info_data":{"blob":"CGoQDg=="},"WCDB_CT_message_content":null,"WCDB_CT_source":null}}}`+"\n",
			rng.Uint64()>>12, rng.Uint64()>>12, i%60, room, room, who, i/60%60, i%60, server, i, i, text, room, i, server, i, who, i, i,
			rng.Uint32(), rng.Uint32(), rng.Uint64(), rng.Uint64(), text)
	}
	return b
}

// TestAppendRatio measures records per second into the spool, sealed, against plain
// bbolt with one transaction a batch, by as many writers: given the same sealed bytes,
// as if somebody else had compressed and sealed them; and given the
// records as they are. The three take turns, a few batches each, and the ratio is that of the rounds'
// median, for other load on the machine comes and goes. TIDEMARK_BENCH runs it.
func TestAppendRatio(t *testing.T) {
	if os.Getenv("TIDEMARK_BENCH") == "" {
		t.Skip("set TIDEMARK_BENCH to measure")
	}
	o := spool.Options{Identity: seal.NewIdentity(), Archive: sealtest.New(t).Archive}
	for _, c := range []struct{ writers, records, batches, rounds int }{{1, 100, 10, 30}, {1, 1000, 5, 20}, {3, 100, 10, 30}, {3, 1000, 5, 20}} {
		t.Run(fmt.Sprintf("%d writers, %d records", c.writers, c.records), func(t *testing.T) {
			s, err := spool.Open(filepath.Join(t.TempDir(), "spool.db"), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			key, err := seal.NewDataKey(o.Archive, o.Identity.ID(), seal.Messages, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			records, sealed := newPlain(t), newPlain(t)
			n := c.writers * c.batches
			plain, raw := make([][]byte, n), make([][]byte, n)
			base := 0 // of the round's batches
			turns := []struct {
				name   string
				append func(writer, i int) error
				took   []float64 // seconds of each round
				cpu    float64   // seconds of all rounds
			}{
				{name: "spool", append: func(w, i int) error {
					return s.Append(t.Context(), seal.Messages, spool.Records{NDJSON: plain[i], Count: c.records},
						spool.Cursor{Key: fmt.Sprint("t/", w), Value: number(base + i)})
				}},
				{name: "plain bbolt, sealed bytes", append: func(w, i int) error { return sealed.put(w, base+i, raw[i]) }},
				{name: "plain bbolt, records", append: func(w, i int) error { return records.put(w, base+i, plain[i]) }},
			}
			for round := range c.rounds {
				base = round * n
				for i := range n {
					plain[i] = ndjson(c.records, base+i)
					x, err := key.SealRecords(plain[i])
					if err != nil {
						t.Fatal(err)
					}
					b, err := x.Batch(o.Identity, seal.Header{Seq: uint64(base + i + 1), Sealed: time.Now(), Records: uint32(c.records), Previous: seal.Hash{0: bit(base+i > 0)}}, false)
					if err != nil {
						t.Fatal(err)
					}
					raw[i] = bytes.Clone(b.Raw)
					x.Release()
				}
				for k := range turns {
					turn := &turns[(k+round)%len(turns)]
					cpu, start := usage(t), time.Now()
					together(t, c.writers, func(w int) error {
						for i := range c.batches {
							if err := turn.append(w, w*c.batches+i); err != nil {
								return err
							}
						}
						return nil
					})
					turn.took = append(turn.took, time.Since(start).Seconds())
					turn.cpu += usage(t) - cpu
				}
			}
			for _, turn := range turns {
				ratio := make([]float64, c.rounds)
				for k := range ratio {
					ratio[k] = turn.took[k] / turns[0].took[k]
				}
				slices.Sort(ratio)
				t.Logf("%s: %.0f records/s, %.2f ms of CPU a batch; the spool's rate to it %.2f (quartiles %.2f, %.2f)", turn.name,
					float64(n*c.records)/slices.Sorted(slices.Values(turn.took))[c.rounds/2], turn.cpu/float64(c.rounds*n)*1e3,
					ratio[c.rounds/2], ratio[c.rounds/4], ratio[c.rounds*3/4])
			}
			t.Logf("a record: %d bytes of JSON, %d sealed", len(plain[0])/c.records, len(raw[0])/c.records)
		})
	}
}

func number(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// usage is the CPU time of this process, seconds.
func usage(t *testing.T) float64 {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// plain is a bbolt file with batches and one cursor a writer, and nothing more.
type plain struct{ db *bbolt.DB }

func newPlain(t *testing.T) plain {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "plain.db"), 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"batches", "cursors"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return plain{db}
}

func (p plain) put(writer, i int, value []byte) error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte("cursors")).Put(fmt.Append(nil, "t/", writer), number(i)); err != nil {
			return err
		}
		return tx.Bucket([]byte("batches")).Put(number(i), value)
	})
}

// together runs fn in so many goroutines.
func together(t *testing.T, n int, fn func(i int) error) {
	var g sync.WaitGroup
	for i := range n {
		g.Go(func() {
			if err := fn(i); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
}
