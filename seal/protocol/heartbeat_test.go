package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

func goodBeat() *Heartbeat {
	return &Heartbeat{
		V: HeartbeatVersion, At: noon, Cause: BeatInterval, Interval: 300, Overall: Degraded, Version: "1.0.0", Started: noon,
		States:   []HeartbeatState{{ID: "account_key_missing", Severity: Degraded, Account: "wxid_a"}},
		Machine:  Machine{Hostname: "笔记本", OS: "linux", Arch: "amd64", Users: []string{"li"}},
		Accounts: []HeartbeatAccount{{ID: "wxid_a", Generation: "4", State: "account_key_missing", Severity: Degraded, ReadWithin: 600}},
	}
}

// A heartbeat is kept only if it can be shown: a device that is not well behaved brings
// neither control characters nor megabytes into an administrator's terminal.
func TestHeartbeatCheck(t *testing.T) {
	if err := goodBeat().Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Heartbeat){
		"another version":        func(h *Heartbeat) { h.V = 2 },
		"no interval":            func(h *Heartbeat) { h.Interval = 0 },
		"an interval of a month": func(h *Heartbeat) { h.Interval = 30 * 86400 },
		"no health":              func(h *Heartbeat) { h.Overall = "" },
		"a severity of its own":  func(h *Heartbeat) { h.States[0].Severity = "info" },
		"an escape sequence":     func(h *Heartbeat) { h.Machine.Hostname = "a\x1b[2J" },
		"a new line":             func(h *Heartbeat) { h.Accounts[0].Name = "a\nb" },
		"text turned around":     func(h *Heartbeat) { h.Accounts[0].Name = "a\u202eb" },
		"no UTF-8":               func(h *Heartbeat) { h.Machine.Users[0] = "\xff" },
		"long text":              func(h *Heartbeat) { h.Version = strings.Repeat("a", 257) },
		"too many accounts":      func(h *Heartbeat) { h.Accounts = make([]HeartbeatAccount, 257) },
		"too many states":        func(h *Heartbeat) { h.States = make([]HeartbeatState, 1025) },
		"an account without id":  func(h *Heartbeat) { h.Accounts[0].ID = "" },
		"a negative count":       func(h *Heartbeat) { h.Backlog.Bytes = -1 },
	} {
		h := goodBeat()
		change(h)
		if h.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// What Showable has made passes Check, whatever it was made of; and whatever bytes a
// heartbeat is read from, Check ends.
func FuzzHeartbeat(f *testing.F) {
	b, err := json.Marshal(goodBeat())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, "laptop")
	f.Add([]byte(`{}`), "\x00\xff\u202e"+strings.Repeat("长", 200))
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		h := goodBeat()
		h.Machine.Hostname = Showable(text)
		if err := h.Check(); err != nil {
			t.Error(err)
		}
		var read Heartbeat
		if json.Unmarshal(raw, &read) == nil {
			read.Check()
		}
	})
}
