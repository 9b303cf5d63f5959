//go:build !windows

package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/fleet"
	"tidemark/archive/heartbeats"
	"tidemark/seal/protocol"
)

// A heartbeat counts only from an enrolled device, for the device that made it; it is
// kept as the device's last, a rename shows at once, and what a device sends amiss is
// refused and changes nothing.
func TestHeartbeat(t *testing.T) {
	s := newSite(t)
	d := s.device()
	stranger := archivetest.NewDevice(t, s.doc)
	send := func(d *archivetest.Device, h protocol.Heartbeat) answer {
		t.Helper()
		body, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return s.do(http.MethodPost, protocol.PathHeartbeat, protocol.TypeJSON, s.bearer(d.Identity, http.MethodPost, protocol.PathHeartbeat, body), body)
	}
	h := goldenBeat
	h.Overall, h.States, h.Accounts = protocol.Healthy, nil, nil
	if a := send(d, h); a.status != http.StatusOK || !strings.Contains(string(a.body), `"received"`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	bad := h
	bad.Machine.Hostname = "a\x1bb"
	if a := send(d, bad); a.status != http.StatusBadRequest {
		t.Errorf("an escape sequence: %d", a.status)
	}
	bad = h
	bad.Version = strings.Repeat("a", protocol.MaxHeartbeat)
	if a := send(d, bad); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", a.status)
	}
	if a := send(stranger, h); a.status != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", a.status)
	}
	token := s.bearer(d.Identity, http.MethodPost, protocol.PathHeartbeat, []byte("{}"))
	if a := s.do(http.MethodPost, protocol.PathHeartbeat, protocol.TypeJSON, token, []byte(`{"v":1}`)); a.status != http.StatusUnauthorized {
		t.Errorf("another body: %d", a.status)
	}
	token = s.bearer(d.Identity, http.MethodPost, protocol.PathHeartbeat, []byte("[]"))
	if a := s.do(http.MethodPost, protocol.PathHeartbeat, protocol.TypeJSON, token, []byte(`[]`)); a.status != http.StatusBadRequest {
		t.Errorf("no heartbeat: %d", a.status)
	}
	h.Machine.Hostname = "renamed"
	if a := send(d, h); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}

	last, err := s.a.Heartbeats().Last(t.Context())
	if err != nil || len(last) != 1 || last[0].Device != d.Identity.ID() || last[0].Machine.Hostname != "renamed" {
		t.Fatalf("%+v, %v", last, err)
	}
	if health, why := heartbeats.Judge(&last[0], s.a.Now()); health != protocol.Healthy {
		t.Errorf("%s because of %s", health, why)
	}
	if health, _ := heartbeats.Judge(&last[0], s.a.Now().Add(time.Hour)); health != heartbeats.Silent {
		t.Errorf("an hour later: %s", health)
	}
	devices, err := fleet.Open(archive.Folder(s.dir)).Devices(t.Context(), s.a.Now())
	if err != nil || len(devices) != 1 || devices[0].Hostname != "renamed" || devices[0].OS != "windows" {
		t.Errorf("%+v, %v", devices, err)
	}
	if err := s.a.Registry().Revoke(d.Identity.ID(), s.a.Now()); err != nil {
		t.Fatal(err)
	}
	if a := send(d, h); a.status != http.StatusUnauthorized {
		t.Errorf("revoked: %d", a.status)
	}
}
