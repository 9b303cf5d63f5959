package agent

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Under systemd's credential the device's key is not in the state folder in clear; without
// the credential the agent says so and changes nothing; with another one the identity is
// lost, the device enrols anew, and what was captured is delivered.
func TestSystemdCredential(t *testing.T) {
	w := newWorld(t)
	old := w.enrol() // by an administrator, to whom systemd gives nothing
	vault := func(want string) {
		t.Helper()
		if got, err := IdentityVault(w.config.StateDir); err != nil || got != want {
			t.Fatalf("kept in %q, %v; want %q", got, err, want)
		}
	}
	once := func(text string) (*Status, error) {
		w.source = newFakeSource()
		w.source.pass = text
		return w.agent().Once(t.Context())
	}
	vault("file")
	id, err := readIdentity(w.config.StateDir)
	if err != nil {
		t.Fatal(err)
	}

	credentials := t.TempDir()
	credential := filepath.Join(credentials, credentialName)
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	if err := os.WriteFile(credential, []byte("0123456789abcdef0123456789abcdef"), 0o400); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := once("one")
		if err != nil || s.Secrets != vaultTitle {
			t.Fatalf("%+v %v", s, err)
		}
	}
	vault(vaultTitle)
	seed := base64.StdEncoding.EncodeToString(id.Seed())
	for name, data := range files(t, w.config.StateDir) {
		if strings.Contains(data, seed) || strings.Contains(data, string(id.Seed())) {
			t.Errorf("%s holds the device's key", name)
		}
	}
	var text strings.Builder
	s, _ := once("one")
	if err := s.WriteText(&text); err != nil || !strings.Contains(text.String(), "sealed with the systemd credential") {
		t.Errorf("status does not name it: %s", text.String())
	}

	before := files(t, w.config.StateDir)[identityFile]
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := once("never"); !errors.Is(err, errVaultAway) || errors.Is(err, ErrNotEnrolled) {
		t.Errorf("without the credential: %v", err)
	}
	if _, err := Enrol(t.Context(), w.config, w.enrolOptions()); !errors.Is(err, errVaultAway) {
		t.Errorf("enrolling without the credential: %v", err)
	}
	if files(t, w.config.StateDir)[identityFile] != before {
		t.Error("the identity was changed")
	}

	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	os.Remove(credential)
	if err := os.WriteFile(credential, []byte("another key of another machine!!"), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := once("never"); !errors.Is(err, ErrIdentityLost) {
		t.Errorf("with another credential: %v", err)
	}
	if now := w.enrol(); now.Device == old.Device {
		t.Error("the same device")
	}
	vault(vaultTitle)
	if _, err := once("two"); err != nil {
		t.Error(err)
	}
	w.config.Secrets = "file"
	if _, err := once("three"); err != nil {
		t.Error(err)
	}
	vault("file")
}

// A place that is asked for and not there is an error, not a file in its stead.
func TestSecretsSystemNeedsOne(t *testing.T) {
	w := newWorld(t)
	w.config.Secrets = "system"
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := Enrol(t.Context(), w.config, w.enrolOptions()); err == nil {
		t.Error("enrolled without a place for secrets")
	}
	if files(t, w.config.StateDir)[identityFile] != "" {
		t.Error("an identity was kept")
	}
}
