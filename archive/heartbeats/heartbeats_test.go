package heartbeats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/seal/protocol"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func beat() *protocol.Heartbeat {
	return &protocol.Heartbeat{
		V: 1, At: noon, Cause: protocol.BeatInterval, Interval: 300, Overall: protocol.Healthy, Version: "1.0.0", Started: noon.Add(-time.Hour),
		Machine:  protocol.Machine{Hostname: "laptop", OS: "linux", Arch: "amd64"},
		Accounts: []protocol.HeartbeatAccount{{ID: "wxid_a", Generation: "4", InScope: true, State: "account_current", Severity: protocol.Healthy, LastRead: noon.Add(-10 * time.Second), ReadWithin: 600}},
	}
}

func openStore(t *testing.T) (*Store, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "health.db")
	s, err := Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, name
}

// A device is healthy only if its heartbeat is fresh, it found nothing wrong itself, and
// every account in scope was read within its interval. Everything else has a name and a
// reason.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *Beat)
		now    time.Time
		want   string
		why    string
	}{
		{"all is well", func(*Beat) {}, noon, protocol.Healthy, ""},
		{"one heartbeat is lost", func(*Beat) {}, noon.Add(10 * time.Minute), protocol.Healthy, ""},
		{"two are", func(*Beat) {}, noon.Add(11*time.Minute + time.Second), Silent, "no heartbeat for 11m1s"},
		{"its clock is two hours slow", func(b *Beat) { b.Received = noon.Add(2 * time.Hour) }, noon.Add(2*time.Hour + time.Minute), protocol.Healthy, ""},
		{"it has stopped", func(b *Beat) { b.Cause = protocol.BeatStopped }, noon, Stopped, "stopped"},
		{"an account is not read", func(b *Beat) { b.Accounts[0].LastRead = noon.Add(-11 * time.Minute) }, noon, protocol.Degraded, "not read for 11m0s (wxid_a)"},
		{"an account was never read", func(b *Beat) { b.Accounts[0].LastRead = time.Time{} }, noon, protocol.Degraded, "not read yet"},
		{"one out of scope is not", func(b *Beat) { b.Accounts[0].InScope, b.Accounts[0].LastRead = false, time.Time{} }, noon, protocol.Healthy, ""},
		{"it claims a year for an interval", func(b *Beat) {
			b.Accounts[0].ReadWithin, b.Accounts[0].LastRead = 365*86400, noon.Add(-25*time.Hour)
		}, noon, protocol.Degraded, "not read for 25h"},
		{"it says healthy with a state that is not", func(b *Beat) {
			b.States = []protocol.HeartbeatState{{ID: "account_key_missing", Severity: protocol.Blind, Account: "wxid_a"}}
		}, noon, protocol.Blind, "account_key_missing (wxid_a)"},
		{"the worst state is the reason", func(b *Beat) {
			b.States = []protocol.HeartbeatState{{ID: "spool_filling", Severity: protocol.Degraded}, {ID: "spool_full", Severity: protocol.Blind}}
		}, noon, protocol.Blind, "spool_full"},
		{"it only says degraded", func(b *Beat) { b.Overall = protocol.Degraded }, noon, protocol.Degraded, "it says so"},
	} {
		b := &Beat{Received: noon, Heartbeat: *beat()}
		c.change(b)
		health, why := Judge(b, c.now)
		if health != c.want || !strings.Contains(why, c.why) || (health == protocol.Healthy) != (why == "") {
			t.Errorf("%s: %s because of %q, want %s, %q", c.name, health, why, c.want, c.why)
		}
	}
	if health, _ := Judge(nil, noon); health != Unreported {
		t.Errorf("none has come: %s", health)
	}
}

// The last heartbeat of each device is kept, and of the history what changed, bounded.
func TestKeep(t *testing.T) {
	s, _ := openStore(t)
	a, b := seal.NewIdentity().ID(), seal.NewIdentity().ID()
	for i := range 3 { // the same again is no change
		h := beat()
		h.At = noon.Add(time.Duration(i) * time.Minute)
		if err := s.Keep(a, h, h.At); err != nil {
			t.Fatal(err)
		}
	}
	renamed := beat()
	renamed.Machine.Hostname = "renamed"
	if err := s.Keep(a, renamed, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(b, beat(), noon); err != nil {
		t.Fatal(err)
	}
	last, err := s.Last(t.Context())
	if err != nil || len(last) != 2 {
		t.Fatalf("%+v, %v", last, err)
	}
	got, err := s.Of(t.Context(), a)
	if err != nil || got == nil || got.Machine.Hostname != "renamed" || !got.Received.Equal(noon.Add(time.Hour)) || got.Skew() != -time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	changes, err := s.Changes(t.Context(), a)
	if err != nil || len(changes) != 2 || changes[0].Hostname != "renamed" || changes[1].Hostname != "laptop" {
		t.Errorf("%+v, %v", changes, err)
	}
	if got, err := s.Of(t.Context(), seal.NewIdentity().ID()); got != nil || err != nil {
		t.Errorf("a stranger: %+v, %v", got, err)
	}
	for i := range ChangesKept + 20 {
		h := beat()
		h.Version = fmt.Sprint(i)
		if err := s.Keep(b, h, noon); err != nil {
			t.Fatal(err)
		}
	}
	changes, err = s.Changes(t.Context(), b)
	if err != nil || len(changes) != ChangesKept || changes[0].Version != fmt.Sprint(ChangesKept+19) {
		t.Errorf("%d changes, %v", len(changes), err)
	}
}

// A damaged file keeps nobody from delivering: it is set aside and made anew.
func TestDamaged(t *testing.T) {
	s, name := openStore(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	told := false
	s, err := Open(name, func(error) { told = true })
	if err != nil || !told {
		t.Fatalf("%v, told: %v", err, told)
	}
	defer s.Close()
	if err := s.Keep(seal.NewIdentity().ID(), beat(), noon); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name + ".damaged"); err != nil {
		t.Error(err)
	}
}
