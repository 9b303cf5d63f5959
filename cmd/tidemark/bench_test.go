//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/collector"
	"tidemark/collector/discover"
	"tidemark/collector/simtest"
	"tidemark/collector/sqlcipher"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/spool"
	"tidemark/uploader"
)

// TestBench prints the figures of docs/benchmarks.md, as ratios within one run. It
// runs when TIDEMARK_BENCH names a folder for its accounts, which it makes once
// (make bench); it measures and judges nothing, for timing never decides a test.
func TestBench(t *testing.T) {
	dir := os.Getenv("TIDEMARK_BENCH")
	if dir == "" {
		t.Skip("make bench runs it")
	}
	b := &bench{t: t, dir: dir}
	t.Run("conversations", func(*testing.T) {
		const messages = 100_000
		few, many := b.message(b.account("50-conversations", messages, 50)), b.message(b.account("5000-conversations", messages, 5000))
		for _, c := range []struct {
			name string
			cost
		}{{"50", few}, {"5,000", many}} {
			b.say("(e) one new message, %s conversations: %.1f KB read, %.2f ms CPU, delay p50 %.1f ms; against 50: bytes %.2f, CPU %.2f, delay %.2f",
				c.name, c.bytes/1e3, c.cpu*1e3, c.delay*1e3, c.bytes/few.bytes, c.cpu/few.cpu, c.delay/few.delay)
		}
	})
	t.Run("wire", func(*testing.T) { b.bytesOnTheWire(b.account("10MB", 16_000, 200)) })
	t.Run("fleet", func(*testing.T) { b.fleet() })
	t.Run("drain", func(*testing.T) { b.drain(b.account("10MB", 16_000, 200)) })
	big := sync.OnceValue(func() *simtest.World { return b.account("1GB", 2_000_000, 200) })
	t.Run("history", func(*testing.T) { b.history(big()) })
	t.Run("message", func(*testing.T) {
		var base cost
		for i, a := range []struct {
			name     string
			messages int
		}{{"10MB", 16_000}, {"300MB", 540_000}, {"1GB", 2_000_000}} {
			c := b.message(b.account(a.name, a.messages, 200))
			if i == 0 {
				base = c
			}
			b.say("(b) one new message, %s: %.1f KB read, %.2f ms CPU, delay p50 %.1f ms; against 10MB: bytes %.2f, CPU %.2f, delay %.2f",
				a.name, c.bytes/1e3, c.cpu*1e3, c.delay*1e3, c.bytes/base.bytes, c.cpu/base.cpu, c.delay/base.delay)
		}
	})
	t.Run("receipt", func(*testing.T) { b.receipt(big()) })
	t.Run("idle", func(*testing.T) { b.idle(big()) })
}

type bench struct {
	t   *testing.T
	dir string
}

func (b *bench) say(format string, args ...any) { fmt.Printf("bench: "+format+"\n", args...) }

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// account makes an account of a size once.
func (b *bench) account(name string, messages, conversations int) *simtest.World {
	b.t.Helper()
	w := simtest.New(b.t)
	dir := filepath.Join(b.dir, name)
	done := filepath.Join(dir, "made")
	if _, err := os.Stat(done); err != nil {
		b.say("making the %s account (%d messages)", name, messages)
		b.check(os.RemoveAll(dir))
		b.check(os.MkdirAll(dir, 0o755))
		w.Use(dir)
		w.Run("make", "--root", w.Root, "--keys-out", w.Keys, "--messages", strconv.Itoa(messages), "--conversations", strconv.Itoa(conversations))
		b.check(os.WriteFile(done, nil, 0o644))
	}
	w.Use(dir)
	// What a benchmark writes must not be the next one's account.
	w.Oracle = filepath.Join(b.t.TempDir(), "oracle.ndjson")
	return w
}

// memory is a spool that keeps cursors and counts what it is given.
type memory struct {
	mu      sync.Mutex
	cursors map[string][]byte
	count   int
	seen    map[string]time.Time // record id -> when it was appended
}

func (m *memory) Append(_ context.Context, _ seal.Lane, r spool.Records, cursors ...spool.Cursor) error {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count += r.Count
	if m.seen != nil {
		for line := range strings.Lines(string(r.NDJSON)) {
			m.seen[sourceKey([]byte(line))] = now
		}
	}
	for _, c := range cursors {
		if m.cursors[c.Key] = c.Value; c.Value == nil {
			delete(m.cursors, c.Key)
		}
	}
	return nil
}

func (m *memory) Cursor(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursors[key], nil
}

func (m *memory) Cursors(prefix string, fn func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.cursors {
		if strings.HasPrefix(k, prefix) {
			if err := fn(k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// sourceKey names a message record by its row, "" for any other record.
func sourceKey(line []byte) string {
	var r struct {
		Kind    string
		LocalID string `json:"local_id"`
		Source  struct{ Table string }
	}
	if json.Unmarshal(line, &r) != nil || r.Kind != "message" {
		return ""
	}
	return r.Source.Table + "/" + r.LocalID
}

type fileKeys struct{ key sqlcipher.Key }

func (k fileKeys) Keys(context.Context, string) ([]sqlcipher.Key, error) {
	return []sqlcipher.Key{k.key}, nil
}

func (b *bench) collector(w *simtest.World, s collector.Spool, id *seal.Identity, h collector.History) *collector.Collector {
	b.t.Helper()
	key, err := sqlcipher.ParseKey(w.Key())
	b.check(err)
	c, err := collector.New(collector.Options{
		Device: id.ID(), Secret: id.Secret("digest"), Spool: s, Keys: fileKeys{key}, History: h,
		Find: func() ([]discover.Account, []discover.Problem) { return discover.Find([]string{w.Root}) },
	})
	b.check(err)
	return c
}

// cool drops the account's files from the system's cache.
func (b *bench) cool(w *simtest.World) {
	unix.Sync()
	filepath.Walk(w.Root, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			f, err := os.Open(path)
			b.check(err)
			defer f.Close()
			b.check(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		}
		return nil
	})
}

func (b *bench) warm(w *simtest.World) {
	b.check(exec.Command("sh", "-c", "cat "+w.DB("message/message_0.db")+" >/dev/null").Run())
}

// rival reads every column of every message with go-sqlcipher.
func (b *bench) rival(w *simtest.World) (rows int, seconds float64) {
	b.t.Helper()
	var out struct {
		Rows    int
		Elapsed float64 `json:"elapsed_s"`
		Open    float64 `json:"open_s"`
	}
	b.check(json.Unmarshal([]byte(w.Run("scan", "--db", w.DB("message/message_0.db"), "--key", w.Key())), &out))
	return out.Rows, out.Elapsed + out.Open
}

func (b *bench) history(w *simtest.World) {
	for _, cold := range []bool{false, true} {
		prepare, name := b.warm, "warm"
		if cold {
			prepare, name = b.cool, "cold"
		}
		prepare(w)
		rows, rival := b.rival(w)
		prepare(w)
		start := time.Now()
		m := &memory{cursors: map[string][]byte{}}
		b.check(b.collector(w, m, seal.NewIdentity(), collector.History{}).Once(b.t.Context()))
		alone := time.Since(start).Seconds()
		prepare(w)
		decode := b.decode(w)
		prepare(w)
		site := newSite(b.t)
		site.serve()
		id, archive, _ := b.enrolled(site)
		s, err := spool.Open(site.path("spool.db"), spool.Options{Identity: id, Archive: archive, MaxBytes: 8 << 30})
		b.check(err)
		start = time.Now()
		b.check(b.collector(w, s, id, collector.History{}).Once(b.t.Context()))
		whole := time.Since(start).Seconds()
		st, err := s.Stats()
		b.check(err)
		s.Close()
		b.say("(a) history %s: %d rows; go-sqlcipher %.1f s; decoded into records %.1f s = %.1f times as fast; and written as JSON %.1f s = %.1f times; into the spool %.1f s = %.1f times (%d records, %.0f bytes each sealed)",
			name, rows, rival, decode, rival/decode, alone, rival/alone, whole, rival/whole, m.count, float64(st.Bytes)/float64(m.count))
		debug.FreeOSMemory()
	}
}

// decode runs the collector's own benchmark of decoding, which alone can tell it from
// the writing of JSON.
func (b *bench) decode(w *simtest.World) float64 {
	b.t.Helper()
	bin := filepath.Join(b.t.TempDir(), "collector.test")
	b.check(exec.Command("go", "test", "-c", "-o", bin, "tidemark/collector").Run())
	cmd := exec.Command(bin, "-test.run", "^$", "-test.bench", "^BenchmarkHistory$/^decode$", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), "TIDEMARK_BENCH_DIR="+w.Dir)
	out, err := cmd.Output()
	b.check(err)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 4 && strings.HasPrefix(f[0], "BenchmarkHistory/decode") && f[3] == "ns/op" {
			ns, err := strconv.ParseFloat(f[2], 64)
			b.check(err)
			return ns / 1e9
		}
	}
	b.t.Fatalf("no figure in %q", out)
	return 0
}

func (b *bench) enrolled(s *site) (*seal.Identity, *seal.Archive, *uploader.Remote) {
	b.t.Helper()
	remote, err := uploader.NewRemote("http://"+s.addr, "bench", nil)
	b.check(err)
	doc, err := remote.Document(b.t.Context())
	b.check(err)
	pin, err := seal.ParseArchiveKey(s.key)
	b.check(err)
	a, err := seal.OpenArchiveDocument(doc, pin)
	b.check(err)
	id := seal.NewIdentity()
	e := &protocol.Enrollment{Hostname: "bench", OS: "linux", Arch: "amd64", Version: "bench"}
	protocol.SignEnrollment(e, id, pin)
	_, err = remote.Enroll(b.t.Context(), strings.TrimSpace(s.must("tidemark-archive", "token")), e)
	b.check(err)
	return id, a, remote
}

// cost is what one new message took.
type cost struct{ bytes, cpu, delay float64 }

// chatted is what the oracle says was committed: row -> time.
func (b *bench) chatted(w *simtest.World) map[string]time.Time {
	b.t.Helper()
	f, err := os.Open(w.Oracle)
	b.check(err)
	defer f.Close()
	begun, out := map[int]string{}, map[string]time.Time{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var l struct {
			Op     string
			N      int
			At     time.Time
			Change struct {
				Op, Table string
				LocalID   string `json:"local_id"`
			}
		}
		b.check(json.Unmarshal(sc.Bytes(), &l))
		switch {
		case l.Op == "begin" && l.Change.Op == "insert":
			begun[l.N] = l.Change.Table + "/" + l.Change.LocalID
		case l.Op == "commit" && begun[l.N] != "":
			out[begun[l.N]] = l.At
		}
	}
	return out
}

const chatFor = 30 * time.Second

func chatArgs() []string {
	return []string{"--rate", "10", "--for", chatFor.String(), "--recall", "0.01", "--compress", "0.2"}
}

func (b *bench) message(w *simtest.World) cost {
	m := &memory{cursors: map[string][]byte{}, seen: map[string]time.Time{}}
	c := b.collector(w, m, seal.NewIdentity(), collector.History{None: true})
	b.check(c.Once(b.t.Context()))
	c.Close()
	c = b.collector(w, m, seal.NewIdentity(), collector.History{None: true})
	ctx, cancel := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	for c.Status().Passes == 0 { // the collector's own start
		time.Sleep(100 * time.Millisecond)
	}
	chat := w.Chat(chatArgs()...)
	for m.messages() == 0 { // the client's start
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	cpu, bytes, count := b.usage(), b.readBytes(), m.messages()
	time.Sleep(chatFor - 8*time.Second)
	n := float64(m.messages() - count)
	// Before the client is waited for: the system adds a child's reading to ours then.
	out := cost{bytes: (b.readBytes() - bytes) / n, cpu: (b.usage() - cpu) / n}
	chat.Wait()
	time.Sleep(300 * time.Millisecond)
	cancel()
	wg.Wait()
	out.delay = quantile(b.delays(w, m.seen), 0.5)
	return out
}

func (m *memory) messages() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen)
}

// delays are the seconds from each commit to when the row was seen.
func (b *bench) delays(w *simtest.World, seen map[string]time.Time) (out []float64) {
	for key, at := range b.chatted(w) {
		if got, ok := seen[key]; ok {
			out = append(out, got.Sub(at).Seconds())
		}
	}
	if len(out) == 0 {
		b.t.Fatalf("nothing was captured of %d messages; %d were seen", len(b.chatted(w)), len(seen))
	}
	slices.Sort(out)
	return out
}

func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// usage is the CPU time of this process, seconds.
func (b *bench) usage() float64 {
	var r unix.Rusage
	b.check(unix.Getrusage(unix.RUSAGE_SELF, &r))
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// readBytes is what this process has read so far by system calls.
func (b *bench) readBytes() float64 {
	data, err := os.ReadFile("/proc/self/io")
	b.check(err)
	var n float64
	fmt.Sscanf(string(data), "rchar: %f", &n)
	return n
}

// timed notes when a batch's receipt had verified and the batch was let go.
type timed struct {
	*spool.Spool
	mu    sync.Mutex
	acked map[uint64]time.Time
}

func (q *timed) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	r, err := q.Spool.AckAll(notes)
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, receipt := range r {
		if receipt.Lane == seal.Messages {
			q.acked[receipt.Seq] = now
		}
	}
	return r, err
}

// receipt runs the agent's parts against a real archive process, on the large
// account, and measures from the client's commit to the verified receipt.
func (b *bench) receipt(w *simtest.World) {
	site := newSite(b.t)
	site.serve()
	id, archive, remote := b.enrolled(site)
	s, err := spool.Open(site.path("spool.db"), spool.Options{Identity: id, Archive: archive})
	b.check(err)
	defer s.Close()
	q := &timed{Spool: s, acked: map[uint64]time.Time{}}
	c := b.collector(w, s, id, collector.History{None: true})
	b.check(c.Once(b.t.Context()))
	u, err := uploader.New(uploader.Options{Queue: q, Archive: archive, Identity: id, Remote: remote})
	b.check(err)
	ctx, cancel := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	wg.Go(func() { u.Run(ctx) })
	w.Chat(chatArgs()...).Wait()
	time.Sleep(2 * time.Second)
	cancel()
	wg.Wait()
	seen := map[string]time.Time{}
	for line := range strings.Lines(site.must("tidemark-archive", "records", "--kind", "message")) {
		var r struct {
			Archive struct{ Batch struct{ Seq uint64 } }
		}
		b.check(json.Unmarshal([]byte(line), &r))
		if at, ok := q.acked[r.Archive.Batch.Seq]; ok {
			seen[sourceKey([]byte(line))] = at
		}
	}
	d := b.delays(w, seen)
	b.say("(c) commit to verified receipt, 10 messages/s, 1GB: %d messages, median %.3f s, p95 %.3f s, max %.3f s", len(d), quantile(d, 0.5), quantile(d, 0.95), d[len(d)-1])
}

// idle runs the installed program over the whole history and then leaves it alone
// with a client that is open and silent.
func (b *bench) idle(w *simtest.World) {
	site := newSite(b.t)
	site.serve()
	site.world = w
	site.configure("")
	site.enroll()
	site.runAgent()
	start := time.Now()
	total := func() (records, waiting int) {
		var st struct {
			Spool struct {
				Lanes map[string]struct {
					Records int
					Acked   uint64
				}
			}
		}
		_, text := site.status()
		if json.Unmarshal([]byte(text), &st) != nil {
			return 0, 1
		}
		return int(st.Spool.Lanes["messages"].Acked), st.Spool.Lanes["messages"].Records
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Minute)
	defer cancel()
	for quietFor := 0; quietFor < 5 && ctx.Err() == nil; time.Sleep(2 * time.Second) {
		if acked, waiting := total(); acked > 0 && waiting == 0 {
			quietFor++
		} else {
			quietFor = 0
		}
	}
	b.say("(d) whole history delivered and receipted after %.0f s", time.Since(start).Seconds())
	chat := w.Chat("--rate", "0.0001", "--for", "150s")
	time.Sleep(60 * time.Second) // the client's start, its checkpoint, and ours settling
	pid := site.agent.cmd.Process.Pid
	before, at := procCPU(b, pid), time.Now()
	time.Sleep(60 * time.Second)
	used := (procCPU(b, pid) - before) / time.Since(at).Seconds()
	rss, peak := procMemory(b.t, pid)
	b.say("(d) idle with a silent client: %.1f MB resident (peak during history %.0f MB), %.2f %% of a core", rss, peak, used*100)
	chat.Kill()
	site.stop(site.agent)
}

func procCPU(b *bench, pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	b.check(err)
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	u, _ := strconv.ParseFloat(f[11], 64)
	s, _ := strconv.ParseFloat(f[12], 64)
	return (u + s) / 100
}

// procMemory is what a process has resident and the most it had, in MiB.
func procMemory(t testing.TB, pid int) (rss, peak float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fmt.Sscanf(line, "VmRSS: %f kB", &rss)
		fmt.Sscanf(line, "VmHWM: %f kB", &peak)
	}
	return rss / 1024, peak / 1024
}
