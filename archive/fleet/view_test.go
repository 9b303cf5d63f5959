package fleet

import (
	"slices"
	"testing"
	"time"

	"tidemark/archive/heartbeats"
	"tidemark/seal/protocol"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func laptops() []Device {
	report := func(user, account string, waits time.Duration, n int64) *Report {
		r := &Report{Machine: protocol.Machine{Users: []string{user}, Serial: "S-" + user}, Accounts: []protocol.HeartbeatAccount{{ID: account, InScope: true}}}
		r.Backlog.Bytes, r.Gaps.Count = n, n
		if waits > 0 {
			r.Backlog.Oldest = noon.Add(-waits)
		}
		return r
	}
	return []Device{
		{ID: "d_1", Hostname: "alpha", OS: "windows", Version: "1.0", Health: protocol.Healthy, Report: report("anna", "wxid_a", 0, 0), LastSeen: noon},
		{ID: "d_2", Hostname: "beta", OS: "darwin", Version: "1.1", Health: protocol.Blind, Why: "account_key_missing", Report: report("ben", "wxid_b", time.Hour, 10), LastSeen: noon.Add(-time.Hour)},
		{ID: "d_3", Hostname: "gamma", OS: "windows", Version: "1.0", Health: heartbeats.Silent, Report: report("chen", "wxid_c", 2*time.Hour, 5), LastSeen: noon.Add(-2 * time.Hour), Skew: -time.Minute},
		{ID: "d_4", Hostname: "delta", OS: "linux", Health: heartbeats.Unreported},
		{ID: "d_5", Hostname: "gone", OS: "linux", Health: heartbeats.Silent, Revoked: noon},
	}
}

// Promise: a view has exactly the devices that were asked for, in the order asked for,
// whatever a device has not reported; and changes nothing of the list.
func TestView(t *testing.T) {
	for _, c := range []struct {
		name string
		view View
		want []string
	}{
		{"the worst first", View{}, []string{"beta", "gamma", "delta", "alpha"}},
		{"the best first", View{Down: true}, []string{"alpha", "delta", "gamma", "beta"}},
		{"one health", View{Health: heartbeats.Silent}, []string{"gamma"}},
		{"one system", View{OS: "windows", Sort: "host"}, []string{"alpha", "gamma"}},
		{"one version", View{Version: "1.1"}, []string{"beta"}},
		{"a user, in any case", View{Text: "CHEN"}, []string{"gamma"}},
		{"an account", View{Text: "wxid_a"}, []string{"alpha"}},
		{"a reason", View{Text: "key_missing"}, []string{"beta"}},
		{"a serial number", View{Text: "s-ben"}, []string{"beta"}},
		{"nothing of the kind", View{Text: "zzz"}, nil},
		{"those that are revoked", View{Revoked: true}, []string{"gone"}},
		{"the most waiting", View{Sort: "backlog"}, []string{"beta", "gamma", "alpha", "delta"}},
		{"the longest waiting", View{Sort: "oldest"}, []string{"gamma", "beta", "alpha", "delta"}},
		{"not seen for longest", View{Sort: "seen"}, []string{"delta", "gamma", "beta", "alpha"}},
		{"the clock that is off most", View{Sort: "skew"}, []string{"gamma", "alpha", "beta", "delta"}},
		{"by user", View{Sort: "user", OS: "windows"}, []string{"alpha", "gamma"}},
	} {
		all := laptops()
		var got []string
		for _, d := range c.view.Of(all) {
			got = append(got, d.Hostname)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if all[0].Hostname != "alpha" || all[4].Hostname != "gone" {
			t.Errorf("%s: the list has changed", c.name)
		}
	}
	for _, column := range Columns {
		if got := (View{Sort: column}).Of(laptops()); len(got) != 4 {
			t.Errorf("sorted by %s there are %d", column, len(got))
		}
	}
}

// Promise: what waits is counted by one clock, the archive's.
func TestWaited(t *testing.T) {
	d := laptops()[2]
	if got := d.Waited(noon); got != 2*time.Hour-time.Minute {
		t.Errorf("waited %v", got)
	}
	if got := (&Device{}).Waited(noon); got != 0 {
		t.Errorf("nothing waits, and has for %v", got)
	}
}

// Promise: the counts add up to the devices in force, each health in its place.
func TestCounts(t *testing.T) {
	want := map[string]int{protocol.Blind: 1, heartbeats.Silent: 1, heartbeats.Unreported: 1, protocol.Healthy: 1}
	sum := 0
	for i, c := range Counts(laptops()) {
		if c.Health != Healths[i] || c.N != want[c.Health] {
			t.Errorf("%+v", c)
		}
		sum += c.N
	}
	if sum != 4 {
		t.Errorf("%d devices", sum)
	}
}
