package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/agent/config"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/uploader"
)

// Promise: keys that the archive passes on lie sealed on the disk and open there; what
// does not open, or is no key file, takes the place of nothing; taken back, they are
// forgotten; and an archive that passes none on is told from one that has none.
func TestDeviceKeys(t *testing.T) {
	w := newWorld(t)
	w.config.Keys = []config.KeySource{{Source: "archive"}}
	w.enrol()
	e, err := readEnrolment(w.config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.agent().open(e)
	if err != nil {
		t.Fatal(err)
	}
	defer p.spool.Close()
	recipient, err := e.identity.KeyRecipient()
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	status := http.StatusOK
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
			var q protocol.KeysRequest
			if r.URL.Path != protocol.PathKeys || json.Unmarshal(body, &q) != nil || string(q.Recipient) != string(recipient) {
				t.Errorf("%s %s", r.URL.Path, body)
			}
			rw.Header().Set("Content-Type", protocol.TypeJSON)
			if status != http.StatusOK {
				rw.Header().Set("Content-Type", protocol.TypeProblem)
				answer = protocol.Problem{Type: protocol.ProblemRequest, Status: status}
			}
			rw.WriteHeader(status)
			json.NewEncoder(rw).Encode(answer)
			return true
		}
	})
	give := func(device seal.DeviceID, file string) {
		t.Helper()
		sealed, err := seal.SealDeviceKeys(device, recipient, []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		answer = protocol.DeviceKeys{V: 1, Sealed: sealed}
	}
	has := func(want int) {
		t.Helper()
		got, err := p.ring.Keys(t.Context(), "wxid_a")
		if err != nil || len(got) != want {
			t.Errorf("%d keys, %v; want %d", len(got), err, want)
		}
	}

	answer = protocol.DeviceKeys{V: 1}
	if err := p.fetchKeysOnce(t.Context()); err != nil {
		t.Error(err)
	}
	has(0)
	hex := strings.Repeat("ab", 32)
	give(e.identity.ID(), `{"v":1,"accounts":[{"account":"wxid_a","key":"`+hex+`"}]}`)
	if err := p.fetchKeysOnce(t.Context()); err != nil {
		t.Error(err)
	}
	has(1)
	if data, err := os.ReadFile(filepath.Join(w.config.StateDir, deviceKeysFile)); err != nil || strings.Contains(string(data), hex) {
		t.Errorf("on the disk: %v", err)
	}
	for name, file := range map[string]string{"no key file": `{"v":1,"accounts":"x"}`, "another version": `{"v":2}`} {
		give(e.identity.ID(), file)
		if err := p.fetchKeysOnce(t.Context()); err == nil {
			t.Errorf("%s was taken", name)
		}
		has(1)
	}
	give(seal.NewIdentity().ID(), `{"v":1}`)
	if err := p.fetchKeysOnce(t.Context()); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another device's: %v", err)
	}
	has(1)
	answer = protocol.DeviceKeys{V: 1}
	if err := p.fetchKeysOnce(t.Context()); err != nil {
		t.Error(err)
	}
	has(0)
	if _, err := os.Stat(filepath.Join(w.config.StateDir, deviceKeysFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("taken back: %v", err)
	}
	status = http.StatusNotFound
	if err := p.fetchKeysOnce(t.Context()); !errors.Is(err, uploader.ErrNoKeys) {
		t.Errorf("an archive without: %v", err)
	}
}
