package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Promise: keys that an administrator leaves at the archive for a device reach it and
// open its account; until then the account is blind; and the archive holds no key that
// it can read.
func TestKeysOfTheArchive(t *testing.T) {
	s := newSite(t)
	s.serve()
	s.world.Chat("--count", "20", "--rate", "100").Wait()
	file, err := os.ReadFile(s.world.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.world.Keys); err != nil {
		t.Fatal(err)
	}
	s.configure("")
	config, err := os.ReadFile(s.path("tidemark.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "{source: file, path: "+s.world.Keys+"}", "{source: archive}", 1)
	if err := os.WriteFile(s.path("tidemark.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.enroll()
	s.runAgent()
	s.wait("the device asks for keys", func() bool {
		return strings.Contains(s.must("tidemark-archive", "keys", "list"), "nothing given")
	}, s.agent, s.archive)
	s.wait("the account is blind", func() bool {
		code, text := s.status()
		return code == 2 && strings.Contains(text, "key missing")
	}, s.agent, s.archive)
	s.stop(s.agent)

	device, _, _ := strings.Cut(s.must("tidemark-archive", "keys", "list"), " ")
	give := exec.Command(filepath.Join(s.bin, "tidemark-archive"), "keys", "give", "--device", device)
	give.Env, give.Stdin = s.env(), bytes.NewReader(file)
	if out, err := give.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.runAgent() // asks at its start
	s.wait("everything is archived", func() bool { return s.records() >= 20 }, s.agent, s.archive)
	s.stop(s.agent)
	s.stop(s.archive)
	s.compare()
	s.verify()
	var given struct{ Accounts []struct{ Key string } }
	if err := json.Unmarshal(file, &given); err != nil || len(given.Accounts) != 1 {
		t.Fatal(err)
	}
	for _, dir := range []string{"archive", "state"} {
		err := filepath.WalkDir(s.path(dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(bytes.ToLower(data), []byte(given.Accounts[0].Key)) {
				t.Errorf("%s holds the key", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
