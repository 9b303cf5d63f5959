package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/record"
)

// policed is a world whose policy is a folder that the agent reads again and again.
type policed struct {
	*world
	file, policy string
	sessions     chan collector.Options // of each source that is made
	changed      chan *config.Config
}

func newPoliced(t *testing.T) (*policed, *Agent) {
	p := &policed{world: newWorld(t), sessions: make(chan collector.Options, 10), changed: make(chan *config.Config, 10)}
	dir := filepath.Dir(p.config.StateDir)
	p.file, p.policy = filepath.Join(dir, "c.yaml"), filepath.Join(dir, "policy.d")
	if err := os.Mkdir(p.policy, 0o700); err != nil {
		t.Fatal(err)
	}
	p.enrol()
	return p, p.agent()
}

func (p *policed) load() (*config.Config, error) {
	c, _, err := config.Load(config.Options{File: p.file, PolicyDir: p.policy, LookupEnv: func(string) (string, bool) { return "", false }})
	return c, err
}

func (p *policed) agent() *Agent {
	p.t.Helper()
	c, err := p.load()
	if err != nil {
		p.t.Fatal(err)
	}
	p.config = c
	a := p.world.agent()
	a.opts.Reload, a.opts.Changed = p.load, func(c *config.Config) { p.changed <- c }
	a.opts.ReloadEvery, a.settle = time.Millisecond, time.Millisecond
	a.newSource = func(o collector.Options) (source, error) {
		s := newFakeSource()
		s.options = o
		p.sessions <- o
		return s, nil
	}
	return a
}

// set puts a policy in place.
func (p *policed) set(content string) { p.write(filepath.Join(p.policy, "50.yaml"), content) }

// write puts a file in place at once, as an administrator's tool does.
func (p *policed) write(path, content string) {
	p.t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
}

// event waits until the archive keeps the nth event of a name.
func (p *policed) event(name string, nth int) *record.Record {
	p.t.Helper()
	var found *record.Record
	p.waitFor(name, func() bool {
		n := 0
		for _, r := range p.archive.Records() {
			if r.Kind == record.KindEvent && r.Event == name {
				if n++; n == nth {
					found = r
				}
			}
		}
		return found != nil
	})
	return found
}

// Promise: a policy that comes while the agent runs is obeyed without a restart of the
// agent: the scope narrows, an event names the keys and their values, the status
// endpoint answers all the time.
func TestPolicyNarrowsWhileRunning(t *testing.T) {
	p, a := newPoliced(t)
	r := p.run(a)
	if first := <-p.sessions; len(first.Scope.Conversations.Exclude) != 0 {
		t.Fatalf("%+v", first.Scope)
	}
	p.set("capture: {conversations: {exclude: ['kind:direct']}}\narchive: {proxy: 'http://anna:hunter2@127.0.0.1:1'}\n")
	if next := <-p.sessions; !slices.Equal(next.Scope.Conversations.Exclude, []string{"kind:direct"}) {
		t.Fatalf("%+v", next.Scope)
	}
	e := p.event(record.EventSettingsChanged, 1)
	if e.Detail["keys"] != "archive.proxy capture.conversations.exclude" || !strings.Contains(e.Detail["capture.conversations.exclude"], `["kind:direct"] (policy `) ||
		strings.Contains(e.Detail["archive.proxy"], "hunter2") {
		t.Errorf("%v", e.Detail)
	}
	if s := r.a.Status(); !s.Running || s.Overall != Healthy {
		t.Errorf("%+v", s.Reasons)
	}
	r.end("test ends")
	want := []string{record.EventStarted, record.EventStopped, record.EventStarted, record.EventSettingsChanged, record.EventStopped}
	if got := p.events(); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// Promise: a value that cannot be taken is named in the status and in an event, and its
// default is in force; one that decides the scope holds capture, and nothing is read
// until it is put right.
func TestPolicyHoldsCapture(t *testing.T) {
	p, a := newPoliced(t)
	p.set("spool: {max_bytes: lots}\n")
	r := p.run(a)
	<-p.sessions
	e := p.event(record.EventSettingsInvalid, 1)
	if e.Severity != record.SeverityDegraded || !strings.Contains(e.Detail["problems"], `spool.max_bytes: "lots"`) || e.Detail["capture"] != "goes on" {
		t.Errorf("%s %v", e.Severity, e.Detail)
	}
	p.waitFor("the state is degraded", func() bool {
		s := r.a.Status()
		return s.Overall == Degraded && strings.Contains(s.Reasons[0].What, "spool.max_bytes")
	})
	p.set("capture: {conversations: {exclude: ['kind:privat']}}\n")
	<-p.sessions // whose source is not run
	if e = p.event(record.EventSettingsInvalid, 2); e.Severity != record.SeverityBlind || e.Detail["capture"] != "held" {
		t.Errorf("%s %v", e.Severity, e.Detail)
	}
	p.waitFor("the state is blind", func() bool {
		s := r.a.Status()
		return s.Overall == Blind && strings.Contains(s.Reasons[0].What, "capture is held") && strings.Contains(s.Reasons[0].What, "capture.conversations.exclude")
	})
	p.set("capture: {conversations: {exclude: ['kind:direct']}}\n")
	if next := <-p.sessions; !slices.Equal(next.Scope.Conversations.Exclude, []string{"kind:direct"}) {
		t.Errorf("%+v", next.Scope)
	}
	if over := p.event(record.EventRecovered, 2); over.Of != e.ID {
		t.Errorf("recovered of %s, want %s", over.Of, e.ID)
	}
	p.waitFor("the state is healthy", func() bool { return r.a.Status().Overall == Healthy })
	r.end("test ends")
}

// Promise: while capture is held, the source is not run at all.
func TestHeldSourceIsNotRun(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.config.Problems = []*config.Error{{Where: "policy", Key: "capture.history", Rule: "must be all", Holds: true}}
	r := w.run(w.agent())
	w.waitRecords(1) // it is started
	select {
	case <-w.source.running:
		t.Error("the source was run")
	case <-time.After(20 * time.Millisecond):
	}
	r.end("test ends")
	if _, err := w.agent().Once(t.Context()); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "capture.history") {
		t.Errorf("Once: %v", err)
	}
	select {
	case <-w.source.running:
		t.Error("the source made a pass")
	default:
	}
}

// Promise: what needs no new session gets none, and is recorded; what the agent itself
// cannot obey ends it in good order with ErrRestart and the new settings.
func TestPolicyAtOnceAndRestart(t *testing.T) {
	p, a := newPoliced(t)
	r := p.run(a)
	<-p.sessions
	p.set("log: {level: error}\n")
	if c := <-p.changed; c.LogLevel.String() != "ERROR" {
		t.Errorf("%v", c.LogLevel)
	}
	if e := p.event(record.EventSettingsChanged, 1); e.Detail["keys"] != "log.level" {
		t.Errorf("%v", e.Detail)
	}
	p.set("log: {level: error, format: json}\n")
	if err := <-r.done; !errors.Is(err, ErrRestart) {
		t.Fatalf("Run: %v", err)
	}
	if c := r.a.Config(); c.LogFormat != "json" {
		t.Errorf("%+v", c)
	}
	if len(p.sessions) != 0 {
		t.Error("a session began anew")
	}
	// The change is recorded at the next start, as is one made while no agent ran.
	p.set("log: {level: info}\n")
	r = p.run(p.agent())
	if e := p.event(record.EventSettingsChanged, 2); e.Detail["keys"] != "log.level" || e.Detail["log.level"] != `"info" (policy `+filepath.Join(p.policy, "50.yaml")+":1)" {
		t.Errorf("%v", e.Detail)
	}
	r.end("test ends")
}

// Promise: a configuration file that becomes wrong while the agent runs changes nothing
// and is told, until it is put right.
func TestFileBecomesWrong(t *testing.T) {
	p, a := newPoliced(t)
	r := p.run(a)
	<-p.sessions
	good, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	p.write(p.file, "no_such: 1\n")
	p.waitFor("the state is degraded", func() bool {
		s := r.a.Status()
		return s.Overall == Degraded && strings.Contains(s.Reasons[0].What, "no_such")
	})
	p.write(p.file, string(good))
	p.waitFor("the state is healthy", func() bool { return r.a.Status().Overall == Healthy })
	r.end("test ends")
	if got := p.events(); !slices.Equal(got, []string{record.EventStarted, record.EventStopped}) {
		t.Errorf("events %v", got)
	}
}
