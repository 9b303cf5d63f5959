//go:build !windows

package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"tidemark/archive/archivetest"
	"tidemark/archive/registry"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// A device gets the keys that were left for it, which the archive cannot read, and no
// other's; nothing is left for a device that has not asked; what was taken back, or was
// sealed to another recipient, is not given.
func TestDeviceKeys(t *testing.T) {
	s := newSite(t)
	d, other := s.device(), s.device()
	ask := func(d *archivetest.Device, q protocol.KeysRequest) (int, []byte) {
		t.Helper()
		body, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		a := s.do(http.MethodPost, protocol.PathKeys, protocol.TypeJSON, s.bearer(d.Identity, http.MethodPost, protocol.PathKeys, body), body)
		var k protocol.DeviceKeys
		if a.status == http.StatusOK {
			if err := json.Unmarshal(a.body, &k); err != nil || k.V != 1 {
				t.Fatalf("%s: %v", a.body, err)
			}
		}
		return a.status, k.Sealed
	}
	request := func(d *archivetest.Device) protocol.KeysRequest {
		recipient, err := d.Identity.KeyRecipient()
		if err != nil {
			t.Fatal(err)
		}
		return protocol.KeysRequest{V: 1, Recipient: recipient}
	}
	mine, reg := request(d), s.a.Registry()
	file := []byte(`{"v":1}`)
	sealed, err := seal.SealDeviceKeys(d.ID(), mine.Recipient, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.GiveKeys(d.ID(), mine.Recipient, sealed, s.a.Now()); !errors.Is(err, registry.ErrNoRecipient) {
		t.Errorf("before it has asked: %v", err)
	}
	for _, d := range []*archivetest.Device{d, other} {
		if status, got := ask(d, request(d)); status != http.StatusOK || got != nil {
			t.Errorf("nothing is there: %d, %x", status, got)
		}
	}
	if err := reg.GiveKeys(d.ID(), mine.Recipient, sealed, s.a.Now()); err != nil {
		t.Fatal(err)
	}
	status, got := ask(d, mine)
	if opened, err := d.Identity.OpenDeviceKeys(got); status != http.StatusOK || err != nil || !bytes.Equal(opened, file) {
		t.Errorf("%d, %q, %v", status, opened, err)
	}
	if _, got := ask(other, request(other)); got != nil {
		t.Error("another device was given them")
	}
	if list, err := reg.Keys(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%d devices have asked, %v", len(list), err)
	}
	if _, got := ask(d, request(other)); got != nil { // another recipient
		t.Error("given to a recipient that they are not sealed to")
	}
	if _, got := ask(d, mine); got != nil {
		t.Error("given again after the recipient had changed")
	}
	if err := reg.GiveKeys(d.ID(), mine.Recipient, sealed, s.a.Now()); err != nil {
		t.Fatal(err)
	}
	if err := reg.GiveKeys(d.ID(), mine.Recipient, nil, s.a.Now()); err != nil {
		t.Fatal(err)
	}
	if _, got := ask(d, mine); got != nil {
		t.Error("given after they were taken back")
	}
	for name, q := range map[string]protocol.KeysRequest{"no version": {Recipient: mine.Recipient}, "no key": {V: 1}, "half a key": {V: 1, Recipient: mine.Recipient[1:]}} {
		if status, _ := ask(d, q); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _ := ask(archivetest.NewDevice(t, s.doc), mine); status != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", status)
	}
}
