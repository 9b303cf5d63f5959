package agent

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal/protocol"
)

// noSupport says whether the archive is known to take no heartbeats.
func (v *vitals) noSupport() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.unsupported
}

// beating is an agent that looks and reports without a pause.
func (w *world) beating() *Agent {
	a := w.agent()
	a.vitals.look, a.vitals.soonest = time.Millisecond, time.Millisecond
	a.vitals.machine = func(users []string) protocol.Machine {
		return protocol.Machine{Hostname: "laptop", OS: "linux", Arch: "amd64", Users: users}
	}
	return a
}

// Promise: the archive hears of a device's health when the agent starts, when a state is
// entered or left, and when it stops in good order; with the machine, the accounts, when
// each was last read, and no path.
func TestHeartbeats(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	a := w.beating()
	now := time.Now().UTC()
	account := collector.AccountStatus{Account: "wxid_a", Name: "李", Generation: "4", Path: "/home/li/xwechat_files/wxid_a", State: collector.StateCurrent, Severity: record.SeverityInfo, Since: now, LastRead: now}
	w.source.set(func(s *collector.Status) {
		*s = collector.Status{Passes: 1, LastPass: now, Accounts: []collector.AccountStatus{account}}
	})
	r := w.run(a)
	wait := func(what string, ok func(protocol.Heartbeat) bool) (found protocol.Heartbeat) {
		t.Helper()
		w.archive.WaitHeartbeat(func(all []protocol.Heartbeat) bool {
			i := slices.IndexFunc(all, ok)
			if i >= 0 {
				found = all[i]
			}
			return i >= 0
		})
		return found
	}
	first := wait("the start", func(h protocol.Heartbeat) bool { return true })
	if first.Cause != protocol.BeatStarted || first.Version != "test" || first.Interval != 300 {
		t.Errorf("%+v", first)
	}
	blind := account
	blind.State, blind.Severity = collector.StateKeyMissing, record.SeverityBlind
	w.source.set(func(s *collector.Status) {
		*s = collector.Status{Passes: 2, LastPass: now, Accounts: []collector.AccountStatus{blind}}
	})
	h := wait("the blindness", func(h protocol.Heartbeat) bool { return h.Overall == protocol.Blind && h.Cause == protocol.BeatChanged })
	if len(h.States) == 0 || h.States[0].ID != "account_key_missing" || h.States[0].Account != "wxid_a" {
		t.Errorf("%+v", h.States)
	}
	if len(h.Accounts) != 1 || h.Accounts[0].State != "account_key_missing" || !h.Accounts[0].InScope || h.Accounts[0].ReadWithin != 600 || !h.Accounts[0].LastRead.Equal(now) {
		t.Errorf("%+v", h.Accounts)
	}
	if !slices.Equal(h.Machine.Users, []string{"li"}) {
		t.Errorf("%+v", h.Machine)
	}
	if text, err := json.Marshal(h); err != nil || strings.Contains(string(text), "xwechat_files") {
		t.Errorf("a path in %s, %v", text, err)
	}
	w.source.set(func(s *collector.Status) {
		*s = collector.Status{Passes: 3, LastPass: now, Accounts: []collector.AccountStatus{account}}
	})
	wait("the recovery", func(x protocol.Heartbeat) bool { return x.Overall == protocol.Healthy && x.At.After(h.At) })
	r.end("test")
	w.archive.Do(func() {
		if last := w.archive.Heartbeats[len(w.archive.Heartbeats)-1]; last.Cause != protocol.BeatStopped {
			t.Errorf("the last is %+v", last)
		}
	})
}

// Promise: an agent whose spool can't be opened says so to the archive.
func TestHeartbeatWithoutSpool(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	if err := os.Mkdir(filepath.Join(w.config.StateDir, spoolFile), 0o700); err != nil {
		t.Fatal(err)
	}
	a := w.beating()
	defer a.vitals.start()(false)
	e, err := readEnrolment(w.config)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.wait = os.ErrPermission
	a.mu.Unlock()
	if err := a.vitals.enrolled(e); err != nil {
		t.Fatal(err)
	}
	w.archive.WaitHeartbeat(func(all []protocol.Heartbeat) bool {
		return slices.ContainsFunc(all, func(h protocol.Heartbeat) bool {
			return h.Overall == protocol.Blind && h.States[0].ID == string(state.CannotOpen)
		})
	})
}

// Promise: an archive that knows no heartbeats costs the device nothing, not even a worse
// health; one that is asked with a wrong clock corrects the device, which says so.
func TestHeartbeatsOfAnotherArchive(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	asked := make(chan struct{}, 1)
	w.archive.Do(func() {
		w.archive.OnHeartbeat = func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Content-Type", protocol.TypeProblem)
			rw.WriteHeader(http.StatusNotFound)
			rw.Write([]byte(`{"type":"urn:tidemark:problem:request","status":404}`))
			select {
			case asked <- struct{}{}:
			default:
			}
			return true
		}
	})
	a := w.beating()
	a.vitals.interval = time.Nanosecond // long over, if it counted
	r := w.run(a)
	<-asked
	<-w.source.running
	for a.Status().Reports == nil || !a.vitals.noSupport() {
		time.Sleep(time.Millisecond)
	}
	for _, reason := range a.Status().Reasons {
		if reason.ID == state.HealthUnheard {
			t.Errorf("%+v", reason)
		}
	}
	r.end("test")

	w.source = newFakeSource()
	w.archive.Do(func() {
		w.archive.OnHeartbeat = nil
		w.archive.Clock = func() time.Time { return time.Now().Add(time.Hour) }
	})
	a = w.beating()
	r = w.run(a)
	w.archive.WaitHeartbeat(func(all []protocol.Heartbeat) bool { return len(all) > 0 })
	for !slices.ContainsFunc(a.Status().Reasons, func(r Reason) bool { return r.ID == state.ClockOff && strings.Contains(r.What, "1h0m0s") }) {
		time.Sleep(time.Millisecond)
	}
	r.end("test")
}

// Promise: the event log is told of a state once it has lasted, once, and of its end;
// what comes and goes between two looks is not told.
func TestTellStates(t *testing.T) {
	v := &watch{vitals: newVitals(newWorld(t).agent()), open: map[stateKey]*openState{}}
	bad := &Status{Reasons: []Reason{{ID: state.NoAccount, Health: Blind}, {ID: state.KeySource, Health: Degraded}, {ID: state.KeySource, Health: Degraded}}}
	good := &Status{}
	var told []bool
	for _, s := range []*Status{bad, good, bad, bad, bad, good, bad, good, good, good} {
		told = append(told, v.tell(s))
	}
	if want := []bool{false, false, false, true, false, false, false, false, true, false}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// Promise: a user is named by the profile that an account's folder is in.
// The superuser's, on every Linux, is beside the others'.
func TestUserOf(t *testing.T) {
	for path, want := range map[string]string{
		"/home/li/Documents/xwechat_files/a": "li", "/Users/li/Library/x": "li", `C:\Users\Li Lei\Documents\WeChat Files\a`: "Li Lei",
		`D:\WeChat Files\a`: "", "/root/x": "root", "/srv/wechat": "", "": "",
	} {
		if got := userOf(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// Promise: the machine is told with its name and system, and a maker's words for "none"
// are no serial number.
func TestMachine(t *testing.T) {
	m := thisMachine([]string{"li"})
	if host, err := os.Hostname(); err != nil || m.Hostname != host || m.OS == "" || m.Arch == "" {
		t.Errorf("%+v, %v", m, err)
	}
	for text, want := range map[string]string{"To Be Filled By O.E.M.\n": "", " PF3XYZ\n": "PF3XYZ", "Default string": "", "0": ""} {
		if got := serialNumber(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A firmware's table of any bytes is read without a panic; the serial number is that of
// the structure of type 1.
func FuzzSMBIOS(f *testing.F) {
	bios := []byte{0, 4, 0, 0, 'A', 0, 0}
	system := []byte{1, 8, 0, 0, 1, 2, 0, 3}
	table := slices.Concat(bios, system, []byte("Maker\x00Model\x00PF3XYZ\x00\x00"))
	if got := smbiosSerial(table); got != "PF3XYZ" {
		f.Errorf("%q", got)
	}
	f.Add(table)
	f.Add([]byte{1, 255, 0, 0})
	f.Add([]byte{0, 4, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := smbiosSerial(b); len(s) > len(b) {
			t.Errorf("%q", s)
		}
	})
}
