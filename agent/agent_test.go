package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/spool"
	"tidemark/uploader"
	"tidemark/uploader/archivetest"
)

// Promise: enrolling leaves an identity, the archive's document and the enrolment,
// readable by this user alone, and may be repeated with the same identity.
func TestEnrol(t *testing.T) {
	w := newWorld(t)
	first := w.enrol()
	before := files(t, w.config.StateDir)
	again := w.enrol()
	if first.Device != again.Device || before[identityFile] != files(t, w.config.StateDir)[identityFile] {
		t.Errorf("enrolled as %s, then as %s", first.Device, again.Device)
	}
	for _, name := range []string{identityFile, archiveFile, enrolmentFile} {
		info, err := os.Stat(filepath.Join(w.config.StateDir, name))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if before[archiveFile] != string(w.archive.Keys.Document) {
		t.Error("the key document is not kept byte by byte")
	}
	e, err := readEnrolment(w.config)
	if err != nil || e.identity.ID().String() != first.Device || e.url != w.server.URL {
		t.Fatalf("%+v, %v", e, err)
	}
	w.config.ArchiveURL = "https://elsewhere.example.com"
	if e, err = readEnrolment(w.config); err != nil || e.url != w.config.ArchiveURL {
		t.Errorf("the configuration's address does not win: %v", err)
	}
	w.config.ArchiveKey = seal.ArchiveKey{1}.String()
	if _, err = readEnrolment(w.config); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("the configuration names another archive: %v", err)
	}
}

// Promise: an archive that is busy is asked again, never before it said, until it takes
// the device; a refusal and an interruption end it.
func TestEnrolWaits(t *testing.T) {
	w := newWorld(t)
	busy := 3
	behind := w.server.Config.Handler
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == protocol.PathEnroll && busy > 0 {
			busy--
			rw.Header().Set("Content-Type", protocol.TypeProblem)
			rw.Header().Set("Retry-After", "7")
			rw.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(rw, `{"type":"`+protocol.ProblemBusy+`","title":"busy","status":429}`)
			return
		}
		behind.ServeHTTP(rw, r)
	})
	var waits, told []time.Duration
	o := w.enrolOptions()
	o.Waiting = func(d time.Duration) { told = append(told, d) }
	o.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	if _, err := Enrol(context.Background(), w.config, o); err != nil {
		t.Fatal(err)
	}
	if len(waits) != 3 || !slices.Equal(waits, told) || slices.Min(waits) < 7*time.Second {
		t.Errorf("waited %v, told %v", waits, told)
	}

	busy = 1
	o.wait = func(context.Context, time.Duration) error { return context.Canceled }
	if _, err := Enrol(context.Background(), w.config, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	busy, waits = 0, nil
	o.Token = "tmt1unknown"
	if _, err := Enrol(context.Background(), w.config, o); err == nil || len(waits) > 0 {
		t.Errorf("a refused token: %v after waiting %v", err, waits)
	}
}

// Promise: when the archive's answer to the enrolment is lost, the device is not
// enrolled, and the next attempt uses the same identity.
func TestEnrolLostAnswer(t *testing.T) {
	w := newWorld(t)
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.URL.Path == protocol.PathEnroll {
				panic(http.ErrAbortHandler)
			}
			return false
		}
	})
	var f *uploader.Failure
	if _, err := Enrol(context.Background(), w.config, w.enrolOptions()); !errors.As(err, &f) || f.State != uploader.StateUnreachable {
		t.Fatalf("error %v", err)
	}
	if _, err := readEnrolment(w.config); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("enrolment after a lost answer: %v", err)
	}
	id, err := readIdentity(w.config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	w.archive.Do(func() { w.archive.Intercept = nil })
	if e := w.enrol(); e.Device != id.ID().String() {
		t.Errorf("enrolled as %s, first tried as %s", e.Device, id.ID())
	}
}

// Promise: a device does not enrol with an archive whose key is not the one given,
// nor with a page, nor with a token that is refused, nor a second archive on top of
// the first; the enrolment there was stays.
func TestEnrolRefusals(t *testing.T) {
	w := newWorld(t)
	o := w.enrolOptions()
	o.Key = seal.ArchiveKey{9}.String()
	if _, err := Enrol(context.Background(), w.config, o); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another archive's key: %v", err)
	}
	if w.archive.Enrolling != 0 || files(t, w.config.StateDir)[identityFile] != "" {
		t.Error("a stranger heard of this device")
	}
	o = w.enrolOptions()
	o.Token = "wrong"
	var f *uploader.Failure
	if _, err := Enrol(context.Background(), w.config, o); !errors.As(err, &f) || f.State != uploader.StateNotEnrolled {
		t.Errorf("wrong token: %v", err)
	}
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			io.WriteString(rw, "<html>sign in</html>")
			return true
		}
	})
	if _, err := Enrol(context.Background(), w.config, w.enrolOptions()); !errors.Is(err, seal.ErrForged) {
		t.Errorf("portal: %v", err)
	}
	if _, err := readEnrolment(w.config); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("enrolled after refusals: %v", err)
	}
	w.archive.Do(func() { w.archive.Intercept = nil })
	w.enrol()
	before := files(t, w.config.StateDir)
	o = w.enrolOptions()
	o.Key = seal.ArchiveKey{9}.String()
	if _, err := Enrol(context.Background(), w.config, o); !errors.Is(err, ErrEnrolledElsewhere) {
		t.Errorf("second archive: %v", err)
	}
	for name, content := range files(t, w.config.StateDir) {
		if before[name] != content {
			t.Errorf("%s changed", name)
		}
	}
}

// Promise: an agent delivers what is captured, says when it started and stopped and
// why, and stops in good order with nothing left behind.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	r := w.run(w.agent())
	w.source.say(t, "hello")
	w.waitRecords(2)
	s, err := FetchStatus(context.Background(), w.config.StateDir)
	if err != nil || s.Overall != Healthy || !s.Running || !s.Enrolled || s.PID != os.Getpid() || s.Archive.Name != "archive.test" {
		t.Errorf("status %+v, %v", s, err)
	}
	r.end("signal: test")
	records := w.archive.Records()
	last := records[len(records)-1]
	if last.Event != record.EventStopped || last.Detail["reason"] != "signal: test" {
		t.Errorf("last record %s %v", last.Event, last.Detail)
	}
	if got := w.events(); !slices.Equal(got, []string{record.EventStarted, record.EventStopped}) || records[0].Detail["mode"] != "service" {
		t.Errorf("events %v", got)
	}
	if _, err := FetchStatus(context.Background(), w.config.StateDir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("status after the stop: %v", err)
	}
	r = w.run(w.agent())
	w.waitRecords(4)
	r.end("x")
	if slices.Contains(w.events(), record.EventGap) {
		t.Error("a stop in good order was followed by a gap")
	}
}

// Promise: after a session that did not end in good order, the next start records a
// gap that begins when the agent was last known to run, and ends it.
func TestGapAfterCrash(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	clock := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	crash := func() { // opens a session and leaves it as SIGKILL would
		a := w.agent()
		a.opts.Now = func() time.Time { return clock }
		e, err := readEnrolment(w.config)
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.open(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.begin(context.Background(), "service"); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(10 * time.Minute)
		p.beat()
		if err := p.spool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	crash()
	alive := clock
	clock = clock.Add(time.Hour)
	crash()
	clock = clock.Add(time.Hour)
	os.Remove(filepath.Join(w.config.StateDir, heartbeatFile)) // a power cut may lose it
	lost := clock.Add(-time.Hour - 10*time.Minute)
	r := w.run(w.agent())
	w.waitRecords(7)
	r.end("x")
	var gaps []*record.Record
	recovered := map[string]bool{}
	for _, rec := range w.archive.Records() {
		if rec.Event == record.EventGap {
			gaps = append(gaps, rec)
		}
		recovered[rec.Of] = true
	}
	if len(gaps) != 2 || !gaps[0].Since.Equal(alive) || !gaps[1].Since.Equal(lost) || gaps[0].Detail["reason"] != "service stopped" {
		t.Errorf("gaps %+v, want since %v and %v", gaps, alive, lost)
	}
	for _, g := range gaps {
		if !recovered[g.ID] {
			t.Error("a gap has no end")
		}
	}
}

// Promise: an agent that is not enrolled runs, says so, and begins as soon as it is.
func TestRunWaitsForEnrolment(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.agent())
	for {
		s, err := FetchStatus(context.Background(), w.config.StateDir)
		if errors.Is(err, ErrNotRunning) {
			runtime.Gosched() // the endpoint is about to be there
			continue
		}
		if err != nil || s.Overall != Blind || s.Enrolled || !strings.Contains(s.Reasons[0].What, "not enrolled") {
			t.Fatalf("status %+v, %v", s, err)
		}
		break
	}
	w.enrol()
	<-w.source.running
	w.source.say(t, "now")
	w.waitRecords(2)
	r.end("x")
}

// Promise: what is captured while the archive is away is kept over a stop, the agent
// does not wait longer than it was told, and the next start delivers it.
func TestStopWithoutArchive(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	down := func(rw http.ResponseWriter, r *http.Request, _ []byte) bool { panic(http.ErrAbortHandler) }
	w.archive.Do(func() { w.archive.Intercept = down })
	a := w.agent()
	a.opts.Grace = time.Millisecond
	r := w.run(a)
	w.source.say(t, "kept")
	w.source.say(t, "kept too")
	r.end("x")
	w.archive.Do(func() { w.archive.Intercept = nil })
	w.source = newFakeSource()
	r = w.run(w.agent())
	w.waitRecords(5) // started, 2 texts, stopped, started
	r.end("x")
	if got := w.events(); !slices.Equal(got, []string{"started", "stopped", "started", "stopped"}) {
		t.Errorf("events %v", got)
	}
}

// Promise: when the collector cannot go on, the agent stops in good order and says
// that it failed.
func TestRunFails(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.source.fail = errors.New("disk is gone")
	if err := w.agent().Run(context.Background()); !errors.Is(err, w.source.fail) {
		t.Fatalf("Run: %v", err)
	}
	records := w.archive.Records()
	if last := records[len(records)-1]; last.Event != record.EventStopped || last.Detail["reason"] != "failed" {
		t.Errorf("last record %s %v", last.Event, last.Detail)
	}
}

// Promise: two agents never share a state folder.
func TestSecondAgent(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	r := w.run(w.agent())
	<-w.source.running
	if err := w.agent().Run(context.Background()); !errors.Is(err, ErrRunning) {
		t.Errorf("second agent: %v", err)
	}
	if _, err := w.agent().Once(context.Background()); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("single pass beside the agent: %v", err)
	}
	if s, err := FetchStatus(context.Background(), w.config.StateDir); err != nil || !s.Running {
		t.Errorf("the first agent's endpoint is gone: %v", err)
	}
	r.end("x")
}

// Promise: a single pass succeeds only if all is acknowledged and no account in
// scope is blind; what is not acknowledged stays.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	if _, err := w.agent().Once(context.Background()); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("not enrolled: %v", err)
	}
	w.enrol()
	s, err := w.agent().Once(context.Background())
	if err != nil || s.Overall != Healthy || len(w.archive.Records()) != 3 {
		t.Fatalf("%v, %+v", err, s)
	}
	w.source.set(func(s *collector.Status) {
		s.Accounts[0].State, s.Accounts[0].Severity = collector.StateKeyMissing, record.SeverityBlind
	})
	if s, err = w.agent().Once(context.Background()); !errors.Is(err, ErrIncomplete) || s.Overall != Blind {
		t.Errorf("blind account: %v", err)
	}
	w.source.set(func(s *collector.Status) { s.Accounts = nil })
	if _, err = w.agent().Once(context.Background()); !errors.Is(err, ErrIncomplete) {
		t.Errorf("no account: %v", err)
	}
	w.source = newFakeSource()
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			archivetest.WriteProblem(rw, 422, protocol.Problem{Type: protocol.ProblemBatch, Title: "no"})
			return true
		}
	})
	s, err = w.agent().Once(context.Background())
	if !errors.Is(err, ErrIncomplete) || !errors.Is(err, uploader.ErrUndelivered) || s.oldest().IsZero() {
		t.Errorf("refused: %v", err)
	}
	var text strings.Builder
	if err := s.WriteSummary(&text); err != nil || !strings.Contains(text.String(), "3 waiting") {
		t.Errorf("summary %q", text.String())
	}
}

// Promise: a full spool keeps the agent neither from starting nor from stopping in
// good order.
func TestFullSpool(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.config.SpoolMaxBytes = 1
	r := w.run(w.agent())
	<-w.source.running
	r.end("x")
	w.config.SpoolMaxBytes = 1 << 30
	r = w.run(w.agent())
	w.waitRecords(1)
	r.end("x")
	if slices.Contains(w.events(), record.EventGap) {
		t.Error("the stop with a full spool was taken for a crash")
	}
}

// Promise: neither content nor keys nor the device's seed are in logs, in the
// status, or, but for the two files made for them, in the state folder.
func TestNoContentNoKeys(t *testing.T) {
	const text, key = "canary-内容-text", "c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77c0ffee88"
	w := newWorld(t)
	w.enrol()
	if err := KeyStore(w.config).AddAccount("wxid_a", key); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "keys.json") // a key file with a slip
	if err := os.WriteFile(bad, []byte(`{"v":1,"accounts":[{"account":"wxid_a","key":"`+key+`0"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.config.Keys = []config.KeySource{{Source: "file", Path: bad}, {Source: "exec", Command: []string{bad, key}}}
	down := func(rw http.ResponseWriter, r *http.Request, _ []byte) bool { panic(http.ErrAbortHandler) }
	w.archive.Do(func() { w.archive.Intercept = down }) // so that the records stay in the spool
	a := w.agent()
	a.opts.Grace = time.Millisecond
	r := w.run(a)
	w.source.say(t, text)
	w.source.say(t, text+" again")
	if k, err := w.source.options.Keys.Keys(context.Background(), "wxid_a"); err != nil || len(k) != 1 {
		t.Fatalf("%d keys, %v", len(k), err)
	}
	s, err := FetchStatus(context.Background(), w.config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var inText bytes.Buffer
	if err := s.WriteText(&inText); err != nil {
		t.Fatal(err)
	}
	r.end("x")
	id, err := readIdentity(w.config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	seed := base64.StdEncoding.EncodeToString(id.Seed())
	places := files(t, w.config.StateDir)
	for name, secret := range map[string]string{identityFile: seed, keysFile: key} {
		if !strings.Contains(places[name], secret) {
			t.Fatalf("%s does not hold its secret: the test would find nothing", name)
		}
		delete(places, name)
	}
	places["log"], places["status JSON"], places["status text"] = w.log.String(), string(inJSON), inText.String()
	if !strings.Contains(places["status text"], "key source") {
		t.Error("the bad key file is not in the status")
	}
	for place, content := range places {
		for _, secret := range []string{text, "canary", "内容", key, key[:16], strings.ToUpper(key[:16]), seed, string(id.Seed())} {
			if strings.Contains(content, secret) {
				t.Errorf("%s holds a secret or content", place)
			}
		}
	}
}
