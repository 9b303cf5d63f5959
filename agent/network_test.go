package agent

import (
	"testing"
	"time"
)

// Promise: another address and the end of a sleep count as a change, losing the last
// address and an ordinary tick do not.
func TestNetworkWatch(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name      string
		after     time.Duration
		addresses string
		want      bool
	}{
		{"an ordinary tick", networkEvery, "10.0.0.2/24", false},
		{"a late tick on a busy machine", 2 * networkEvery, "10.0.0.2/24", false},
		{"another network", networkEvery, "192.168.1.7/24", true},
		{"the cable is pulled", networkEvery, "", false},
		{"an hour of sleep", time.Hour, "10.0.0.2/24", true},
		{"the clock is set back", -time.Hour, "10.0.0.2/24", false},
	} {
		w := networkWatch{addresses: "10.0.0.2/24", at: start}
		if got := w.changed(start.Add(c.after), c.addresses); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	w := networkWatch{addresses: "10.0.0.2/24", at: start}
	w.changed(start.Add(networkEvery), "")
	if !w.changed(start.Add(2*networkEvery), "10.0.0.2/24") {
		t.Error("the same network coming back is no change")
	}
}
