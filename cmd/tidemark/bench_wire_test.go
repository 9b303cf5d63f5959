//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/agent"
	"tidemark/collector"
	"tidemark/collector/simtest"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/spool"
	"tidemark/uploader"
)

// captured is a spool in memory that keeps what it is given.
type captured struct {
	memory
	batches []spool.Records
}

func (c *captured) Append(ctx context.Context, lane seal.Lane, r spool.Records, cursors ...spool.Cursor) error {
	c.mu.Lock()
	if lane == seal.Messages && r.Count > 0 {
		c.batches = append(c.batches, spool.Records{NDJSON: bytes.Clone(r.NDJSON), Count: r.Count})
	}
	c.mu.Unlock()
	return c.memory.Append(ctx, lane, r, cursors...)
}

// captured returns the batches of a small account's history, as the collector makes them.
func (b *bench) captured(w *simtest.World) []spool.Records {
	b.t.Helper()
	c := &captured{memory: memory{cursors: map[string][]byte{}}}
	b.check(b.collector(w, c, seal.NewIdentity(), collector.History{}).Once(b.t.Context()))
	return c.batches
}

// messages are single message records, n of them, from everywhere in the batches.
func messages(batches []spool.Records, n int) (out []spool.Records) {
	var all [][]byte
	for _, r := range batches {
		for line := range bytes.Lines(r.NDJSON) {
			if sourceKey(line) != "" {
				all = append(all, line)
			}
		}
	}
	n = min(n, len(all))
	for i := range n {
		out = append(out, spool.Records{NDJSON: all[i*len(all)/n], Count: 1})
	}
	return out
}

// counter passes connections on and counts their bytes, all that is above TCP.
type counter struct {
	net.Listener
	up, down atomic.Int64
}

func (b *bench) counter(to string) *counter {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.check(err)
	b.t.Cleanup(func() { l.Close() })
	r := &counter{Listener: l}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				on, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer on.Close()
				go func() {
					io.Copy(from, counted{on, &r.down})
					from.Close()
				}()
				io.Copy(on, counted{from, &r.up})
			}()
		}
	}()
	return r
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// wire is an agent's delivery over a relay to an archive in another process.
type wire struct {
	b        *bench
	spool    *spool.Spool
	relay    *counter
	uploader *uploader.Uploader
	archive  *process
}

// wire makes one whose spool holds nothing yet.
func (b *bench) wire() *wire {
	b.t.Helper()
	site := newSite(b.t)
	site.serve()
	id, archive, _ := b.enrolled(site)
	r := b.counter(site.addr)
	remote, err := uploader.NewRemote("http://"+r.Addr().String(), agent.UserAgent("1.0.0"), nil)
	b.check(err)
	s, err := spool.Open(site.path("spool.db"), spool.Options{Identity: id, Archive: archive, MaxBytes: 8 << 30})
	b.check(err)
	u, err := uploader.New(uploader.Options{Queue: s, Archive: archive, Identity: id, Remote: remote})
	b.check(err)
	b.t.Cleanup(func() { s.Close() })
	return &wire{b, s, r, u, site.archive}
}

// start delivers until the benchmark's end.
func (w *wire) start() {
	ctx, cancel := context.WithCancel(w.b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.uploader.Run(ctx) })
	w.b.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// deliver appends a batch, waits for its receipt, and returns its size and the bytes
// on the wire.
func (w *wire) deliver(r spool.Records) (sealed, up, down int64) {
	w.b.t.Helper()
	before, after := w.relay.up.Load(), w.relay.down.Load()
	w.b.check(w.spool.Append(w.b.t.Context(), seal.Messages, r))
	st, err := w.spool.Stats()
	w.b.check(err)
	sealed = st.Bytes
	for st.Bytes > 0 {
		time.Sleep(time.Millisecond)
		st, err = w.spool.Stats()
		w.b.check(err)
	}
	return sealed, w.relay.up.Load() - before, w.relay.down.Load() - after
}

func gzipped(data []byte) int64 {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(data)
	z.Close()
	return int64(buf.Len())
}

// bytesOnTheWire compares what deliveries cost with gzipped NDJSON of the same records:
// with its bytes alone, and with posting them over HTTP by themselves.
func (b *bench) bytesOnTheWire(w *simtest.World) {
	batches := b.captured(w)
	to := b.wire()
	to.start()
	first := messages(batches, 1)[0]
	_, up, down := to.deliver(first)
	b.say("(f) the first message of a connection and a data key: %d bytes up, %d down", up, down)
	for _, c := range []struct {
		name  string
		units []spool.Records
	}{{"live, each message alone", messages(batches, 400)}, {"history, batches as the collector makes them", batches}} {
		var plain, sealed, up, down, packed int64
		n := 0
		for _, r := range c.units {
			s, u, d := to.deliver(r)
			plain, sealed, up, down, packed, n = plain+int64(len(r.NDJSON)), sealed+s, up+u, down+d, packed+gzipped(r.NDJSON), n+r.Count
		}
		per := func(x int64) float64 { return float64(x) / float64(n) }
		post := b.posted(c.units)
		b.say("(f) %s: %d records of %.0f bytes of JSON; gzipped %.0f, sealed %.0f = %.2f; on the wire %.0f up, %.0f down: %.2f of the gzipped bytes alone, %.2f of posting those (%.0f)",
			c.name, n, per(plain), per(packed), per(sealed), float64(sealed)/float64(packed), per(up), per(down),
			float64(up+down)/float64(packed), float64(up+down)/float64(post), per(post))
	}
}

// posted is what the rival costs on the wire: the records gzipped, in a POST with a
// bearer token of 32 random bytes, answered by nothing but a 200.
func (b *bench) posted(units []spool.Records) int64 {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })}
	go server.Serve(l)
	defer server.Close()
	r := b.counter(l.Addr().String())
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, u := range units {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		z.Write(u.NDJSON)
		z.Close()
		req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+r.Addr().String()+"/v1/records", &buf)
		b.check(err)
		req.Header.Set("User-Agent", agent.UserAgent("1.0.0"))
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Content-Encoding", "gzip")
		req.Header.Set("Authorization", "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		resp, err := client.Do(req)
		b.check(err)
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return r.up.Load() + r.down.Load()
}

// backlogBytes is how many sealed bytes the drained backlog has unless
// TIDEMARK_BENCH_BACKLOG says otherwise, in MB: with 1024 it takes minutes.
const backlogBytes = 64

// drain delivers backlogs and copies the same bytes over loopback HTTP into a file, with
// one connection.
func (b *bench) drain(w *simtest.World) {
	size := int64(backlogBytes)
	if text := os.Getenv("TIDEMARK_BENCH_BACKLOG"); text != "" {
		var err error
		size, err = strconv.ParseInt(text, 10, 64)
		b.check(err)
	}
	size <<= 20
	batches := b.captured(w)
	for _, c := range []struct {
		name string
		lane seal.Lane
		next func() spool.Records
		size int64
	}{
		{"history", seal.Messages, renamed(batches), size},
		{"live messages, a batch each", seal.Messages, renamed(messages(batches, 4096)), size / 32},
		{"media", seal.Media, b.pieces(), size},
	} {
		to := b.wire()
		records := 0
		for stats := b.stats(to.spool); stats.Bytes < c.size; stats = b.stats(to.spool) {
			r := c.next()
			records += r.Count
			b.check(to.spool.Append(b.t.Context(), c.lane, r))
		}
		backlog := b.stats(to.spool)
		count := backlog.Lanes[c.lane.String()].Batches
		copied := b.copied(to.spool, c.lane)
		mine, its := b.usage(), procCPU(b, to.archive.cmd.Process.Pid)
		start := time.Now()
		b.check(to.uploader.Drain(b.t.Context()))
		took := time.Since(start).Seconds()
		mine, its = b.usage()-mine, procCPU(b, to.archive.cmd.Process.Pid)-its
		mb := float64(backlog.Bytes) / 1e6
		b.say("(g) backlog of %s, %.1f MB sealed, %d batches, %d records: drained in %.2f s (%.1f MB/s, %.0f records/s; CPU: agent %.2f s, archive %.2f s), copied over loopback HTTP in %.2f s (%.0f MB/s): ratio %.3f",
			c.name, mb, count, records, took, mb/took, float64(records)/took, mine, its, copied, mb/copied, copied/took)
	}
}

func (b *bench) stats(s *spool.Spool) spool.Stats {
	b.t.Helper()
	st, err := s.Stats()
	b.check(err)
	return st
}

// renamed goes through the batches again and again and gives each record an id of its
// own, for an archive does not keep a record twice.
func renamed(batches []spool.Records) func() spool.Records {
	n, i := 0, 0
	return func() spool.Records {
		r := batches[i%len(batches)]
		i++
		out := spool.Records{NDJSON: bytes.Clone(r.NDJSON), Count: r.Count}
		for rest := out.NDJSON; len(rest) > 0; {
			line, after, _ := bytes.Cut(rest, []byte{'\n'})
			if _, id, ok := bytes.Cut(line, []byte(`"id":"`)); ok {
				const digits = "abcdefghijklmnopqrstuvwxyz234567"
				n++
				for k, left := 2, n; left > 0; k, left = k+1, left/32 { // behind m_
					id[k] = digits[left%32]
				}
			}
			rest = after
		}
		return out
	}
}

// pieces are of files that do not compress, as pictures and videos do not.
func (b *bench) pieces() func() spool.Records {
	random := mathrand.NewChaCha8([32]byte{})
	return func() spool.Records {
		data := make([]byte, 1<<20)
		random.Read(data)
		hash := sha256.Sum256(data)
		sum := hex.EncodeToString(hash[:])
		r := record.Record{
			V: record.Version, Kind: record.KindMedia, ID: record.PieceID("wxid_me", sum, 0), CapturedAt: time.Now(),
			Device: seal.NewIdentity().ID().String(), Account: &record.Party{ID: "wxid_me"},
			Piece: &record.Piece{SHA256: sum, Size: int64(len(data)), Data: data},
		}
		return spool.Records{NDJSON: append(r.AppendJSON(nil), '\n'), Count: 1}
	}
}

// copied is how many seconds it takes to post what waits in the lane, in one request,
// to a server that writes it into a file.
func (b *bench) copied(s *spool.Spool, lane seal.Lane) float64 {
	b.t.Helper()
	batches, err := s.Peek(lane, 1<<40)
	b.check(err)
	bodies := make([]io.Reader, len(batches))
	for i, batch := range batches {
		bodies[i] = bytes.NewReader(batch.Raw)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(filepath.Join(b.t.TempDir(), "copy"))
		if err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	start := time.Now()
	resp, err := http.Post(server.URL, protocol.TypeBatches, io.MultiReader(bodies...))
	b.check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatal(resp.Status)
	}
	return time.Since(start).Seconds()
}
