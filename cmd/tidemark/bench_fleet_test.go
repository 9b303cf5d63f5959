//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/spool"
	"tidemark/uploader"
)

// fleetLaptop is one agent of the simulated fleet: the real spool and uploader, and records
// made here in place of a collector.
type fleetLaptop struct {
	id       *seal.Identity
	spool    *spool.Spool
	uploader *uploader.Uploader
	remote   *uploader.Remote

	mu     sync.Mutex
	waits  map[uint64]time.Time // batches by number, and when each was captured
	delays []float64            // seconds from capture to verified receipt
}

// AckAll notes how long a batch has waited.
func (q *laptopQueue) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	receipts, err := q.Spool.AckAll(notes)
	now := time.Now()
	q.l.mu.Lock()
	defer q.l.mu.Unlock()
	for _, r := range receipts {
		if at, ok := q.l.waits[r.Seq]; ok {
			q.l.delays = append(q.l.delays, now.Sub(at).Seconds())
			delete(q.l.waits, r.Seq)
		}
	}
	return receipts, err
}

type laptopQueue struct {
	*spool.Spool
	l *fleetLaptop
}

// capture keeps one message in the laptop's spool.
func (l *fleetLaptop) capture(ctx context.Context, n int64) error {
	text := fmt.Sprintf("message %d of this laptop, as long as people write them in a chat about their work", n)
	r := record.Record{
		V: record.Version, Kind: record.KindMessage, ID: record.MessageID("wxid_fleet", "c@chatroom", l.id.ID().String()+strconv.FormatInt(n, 10)),
		Device: l.id.ID().String(), CapturedAt: time.Now(), Account: &record.Party{ID: "wxid_fleet"}, Conversation: &record.Conversation{ID: "c@chatroom", Kind: "room"},
		Sender: &record.Sender{ID: "wxid_x"}, Type: record.TypeText, Text: &text,
		Source: &record.Source{File: "message/message_0.db", Table: "Msg_00000000000000000000000000000000"},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seq, _ := l.spool.Head(seal.Messages)
	l.waits[seq+1] = time.Now()
	return l.spool.Append(ctx, seal.Messages, spool.Records{NDJSON: append(r.AppendJSON(nil), '\n'), Count: 1})
}

func (l *fleetLaptop) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waits)
}

// fleet lets 1,000 laptops deliver to one archive process; kills it, and brings it back.
// TIDEMARK_FLEET is another number of laptops.
func (b *bench) fleet() {
	n := 1000
	if v, err := strconv.Atoi(os.Getenv("TIDEMARK_FLEET")); err == nil {
		n = v
	}
	const every = 10 * time.Second // a message of each laptop
	s := newSite(b.t)
	s.serve()
	token := strings.TrimSpace(s.must("tidemark-archive", "token", "--uses", strconv.Itoa(n)))
	first, err := uploader.NewRemote("http://"+s.addr, "bench", nil)
	b.check(err)
	doc, err := first.Document(b.t.Context())
	b.check(err)
	pin, err := seal.ParseArchiveKey(s.key)
	b.check(err)
	archive, err := seal.OpenArchiveDocument(doc, pin)
	b.check(err)

	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	laptops := make([]*fleetLaptop, n)
	begun := time.Now()
	var g errgroup.Group
	g.SetLimit(64)
	for i := range laptops {
		g.Go(func() (err error) {
			laptops[i], err = b.laptop(ctx, s, archive, token, i)
			return err
		})
	}
	b.check(g.Wait())
	b.say("(f) %d laptops from one address have enrolled after %.1f s", n, time.Since(begun).Seconds())

	var running sync.WaitGroup
	var written atomic.Int64
	var capture atomic.Bool
	capture.Store(true)
	for _, l := range laptops {
		running.Go(func() { l.uploader.Run(ctx) })
		running.Go(func() {
			for k := int64(1); ; k++ {
				select {
				case <-ctx.Done():
					return
				case <-time.After(every/2 + rand.N(every)):
				}
				if capture.Load() {
					if err := l.capture(ctx, k); err != nil && !errors.Is(err, context.Canceled) {
						b.t.Error(err)
						return
					}
					written.Add(1)
				}
			}
		})
	}
	drained := func(within time.Duration) time.Duration {
		begun := time.Now()
		for time.Since(begun) < within && slices.ContainsFunc(laptops, func(l *fleetLaptop) bool { return l.waiting() > 0 }) {
			time.Sleep(100 * time.Millisecond)
		}
		return time.Since(begun)
	}
	measure := func(what string, span time.Duration) {
		for _, l := range laptops {
			l.mu.Lock()
			l.delays = nil
			l.mu.Unlock()
		}
		pid := s.archive.cmd.Process.Pid
		before, from, at := procCPU(b, pid), written.Load(), time.Now()
		time.Sleep(span)
		cpu, took, count := procCPU(b, pid)-before, time.Since(at).Seconds(), written.Load()-from
		var d []float64
		for _, l := range laptops {
			l.mu.Lock()
			d = append(d, l.delays...)
			l.mu.Unlock()
		}
		slices.Sort(d)
		if len(d) == 0 {
			b.t.Errorf("%s: nothing was receipted", what)
			return
		}
		rss, peak := procMemory(b.t, pid)
		own, _ := procMemory(b.t, os.Getpid())
		b.say("(f) %s: %.0f messages/s of %d laptops; archive %.0f %% of a core, %.2f ms a message, %.0f MB resident (peak %.0f); capture to receipt p50 %.3f s, p95 %.3f s; all laptops in one process %.0f MB",
			what, float64(count)/took, n, 100*cpu/took, 1e3*cpu/float64(count), rss, peak, quantile(d, 0.5), quantile(d, 0.95), own)
	}
	time.Sleep(every)
	measure("steady", 30*time.Second)

	s.archive.kill()
	away := 60 * time.Second
	time.Sleep(away)
	waiting := 0
	for _, l := range laptops {
		waiting += l.waiting()
	}
	s.serve()
	measure("back after a minute", 30*time.Second)
	capture.Store(false)
	took := drained(10 * time.Minute)
	b.say("(f) the archive was away for %.0f s and %d messages waited; %.0f s after its return everything was receipted", away.Seconds(), waiting, 30+took.Seconds())
	stop()
	running.Wait()
	for _, l := range laptops {
		b.check(l.spool.Close())
	}
	if got := int64(s.records()); got != written.Load() {
		b.t.Errorf("%d messages were written, and the archive has %d", written.Load(), got)
	}
}

// laptop enrols one, asking again for as long as the archive says that it is busy.
func (b *bench) laptop(ctx context.Context, s *site, archive *seal.Archive, token string, i int) (*fleetLaptop, error) {
	l := &fleetLaptop{id: seal.NewIdentity(), waits: map[uint64]time.Time{}}
	var err error
	if l.remote, err = uploader.NewRemote("http://"+s.addr, "bench", nil); err != nil {
		return nil, err
	}
	e := &protocol.Enrollment{Hostname: fmt.Sprintf("laptop-%04d", i), OS: "linux", Arch: "amd64", Version: "bench"}
	protocol.SignEnrollment(e, l.id, archive.Key)
	for {
		_, err := l.remote.Enroll(ctx, token, e)
		var f *uploader.Failure
		if err == nil {
			break
		}
		if !errors.As(err, &f) || f.State != uploader.StateBusy {
			return nil, err
		}
		time.Sleep(f.RetryAfter + rand.N(time.Second))
	}
	l.spool, err = spool.Open(filepath.Join(s.dir, fmt.Sprintf("spool-%04d.db", i)), spool.Options{Identity: l.id, Archive: archive})
	if err != nil {
		return nil, err
	}
	l.uploader, err = uploader.New(uploader.Options{Queue: &laptopQueue{l.spool, l}, Archive: archive, Identity: l.id, Remote: l.remote})
	return l, err
}
