package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/agent/config"
	"tidemark/agent/events"
	"tidemark/collector"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader/archivetest"
)

// world is a device with a state folder, and an archive.
type world struct {
	refused *atomic.Int32 // requests that met a silent archive, see down
	t       *testing.T
	archive *archivetest.Archive
	server  *httptest.Server
	config  *config.Config
	log     *logBuffer
	source  *fakeSource
}

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// A short path: a socket's has a limit that t.TempDir's names reach on some systems.
	dir, err := os.MkdirTemp("", "tm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{refused: new(atomic.Int32), t: t, archive: archivetest.New(t, "archive.test"), log: new(logBuffer), source: newFakeSource()}
	w.archive.Token = "tmt1token"
	w.server = httptest.NewServer(w.archive)
	t.Cleanup(w.server.Close)
	absent := func(string) (string, bool) { return "", false }
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("state_dir: '"+filepath.Join(dir, "state")+"'\ncapture: {notice: off}\nlog: {level: debug}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w.config, _, err = config.Load(config.Options{File: file, PolicyDir: filepath.Join(dir, "none"), LookupEnv: absent}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) enrolOptions() EnrolOptions {
	return EnrolOptions{URL: w.server.URL, Key: w.archive.Keys.Archive.Key.String(), Token: w.archive.Token, Version: "test", Client: w.server.Client()}
}

func (w *world) enrol() *Enrolled {
	w.t.Helper()
	e, err := Enrol(context.Background(), w.config, w.enrolOptions())
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// agent makes an agent whose collector is the world's fake.
func (w *world) agent() *Agent {
	a := New(Options{
		Config: w.config, Version: "test", Client: w.server.Client(), Grace: time.Minute, // no test waits for it
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	a.enrolPoll, a.openPoll, a.followAgain = time.Millisecond, time.Millisecond, time.Millisecond
	a.openEvents = func() *events.Log { return nil }
	a.newSource = func(o collector.Options) (source, error) {
		w.source.options = o
		return w.source, nil
	}
	return a
}

// running is an agent in Run.
type running struct {
	t    *testing.T
	a    *Agent
	stop context.CancelCauseFunc
	done chan error
}

func (w *world) run(a *Agent) *running {
	ctx, stop := context.WithCancelCause(context.Background())
	r := &running{w.t, a, stop, make(chan error, 1)}
	go func() { r.done <- a.Run(ctx) }()
	return r
}

// end asks the agent to stop, for the reason, and waits for it.
func (r *running) end(reason string) {
	r.t.Helper()
	r.stop(errors.New(reason))
	if err := <-r.done; err != nil {
		r.t.Fatalf("Run: %v", err)
	}
}

// events lists what the archive keeps of events, as their names.
func (w *world) events() []string {
	w.t.Helper()
	var out []string
	for _, r := range w.archive.Records() {
		if r.Kind == record.KindEvent {
			out = append(out, r.Event)
		}
	}
	return out
}

// waitRecords waits until the archive keeps batches of n records.
func (w *world) waitRecords(n int) {
	w.archive.WaitKept(func(kept []*seal.Batch) bool {
		have := 0
		for _, b := range kept {
			have += int(b.Records)
		}
		return have >= n
	})
}

// fakeSource is a collector without WeChat. It appends what it is told to.
type fakeSource struct {
	options collector.Options
	running chan struct{} // closed when Run or Once is called
	once    sync.Once
	tell    chan string // texts to capture, see say
	told    chan error
	fail    error  // what Run and Once return
	pass    string // what Once captures

	mu     sync.Mutex
	status collector.Status
}

func newFakeSource() *fakeSource {
	f := &fakeSource{running: make(chan struct{}), tell: make(chan string), told: make(chan error), pass: "once"}
	f.status = collector.Status{Passes: 1, LastPass: time.Now(), Accounts: []collector.AccountStatus{
		{Account: "wxid_a", Generation: "4", State: collector.StateCurrent, Severity: record.SeverityInfo, Since: time.Now()},
	}}
	return f
}

func (f *fakeSource) Run(ctx context.Context) error {
	f.once.Do(func() { close(f.running) })
	for f.fail == nil {
		select {
		case <-ctx.Done():
			return nil
		case text := <-f.tell:
			f.told <- f.capture(ctx, text)
		}
	}
	return f.fail
}

// say captures a text through the running source; it is in the spool afterwards.
func (f *fakeSource) say(t *testing.T, text string) {
	t.Helper()
	f.tell <- text
	if err := <-f.told; err != nil {
		t.Fatal(err)
	}
}

func (f *fakeSource) Once(ctx context.Context) error {
	f.once.Do(func() { close(f.running) })
	if f.fail != nil {
		return f.fail
	}
	return f.capture(ctx, f.pass)
}

func (f *fakeSource) capture(ctx context.Context, text string) error {
	r := record.Record{
		V: record.Version, Kind: record.KindMessage, ID: record.MessageID("wxid_a", "c", text), Device: f.options.Device.String(), CapturedAt: time.Now(),
		Account: &record.Party{ID: "wxid_a"}, Conversation: &record.Conversation{ID: "c"}, Source: &record.Source{File: "message/message_0.db"}, Text: &text,
	}
	return f.options.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: append(r.AppendJSON(nil), '\n'), Count: 1})
}

func (f *fakeSource) Status() collector.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fakeSource) set(change func(s *collector.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// files reads every file below the folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		out[filepath.Base(path)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// write puts a file into the state folder.
func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.config.StateDir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}
