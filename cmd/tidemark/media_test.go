package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The files of every kind of message go from the client's disk into the archive, under
// the agent as a service, and come out of it with their hash: oracle and archive agree
// about each file, every content is whole, and verify finds no fault.
func TestMediaEndToEnd(t *testing.T) {
	s := newSite(t)
	s.serve()
	s.configure("capture: {poll: 500ms}\n")
	s.enroll()
	chat := s.world.Chat("--kinds", "all", "--count", "120", "--rate", "30", "--recall", "0")
	s.world.Ready(t.Context())
	s.runAgent()
	chat.Wait()
	records := s.path("records.ndjson")
	var report string
	s.wait("archive and oracle agree about files", func() bool {
		if err := os.WriteFile(records, []byte(s.must("tidemark-archive", "records")), 0o600); err != nil {
			t.Fatal(err)
		}
		f := s.world.Compare(records)
		report = f.Report
		return f.OK || !strings.Contains(report, "media.") && strings.Contains(report, "120 message records")
	}, s.agent, s.archive)
	t.Log(report)
	s.stop(s.agent)

	var list []struct {
		SHA256, Name string
		Size, Held   int64
		Messages     []string
	}
	if err := json.Unmarshal([]byte(s.must("tidemark-archive", "media", "--list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("%d contents", len(list))
	}
	named := 0
	for i, m := range list {
		if m.Held != m.Size || len(m.Messages) == 0 {
			t.Errorf("%s: %d of %d bytes, %d messages", m.SHA256, m.Held, m.Size, len(m.Messages))
		}
		if m.Name == "" && i%10 > 0 {
			continue // some of each sort are enough
		}
		named++
		file := s.path(m.SHA256)
		s.must("tidemark-archive", "media", "--sha256", m.SHA256, "--out", file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range [][]byte{data, []byte(s.must("tidemark-archive", "media", "--sha256", m.SHA256))} {
			if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != m.SHA256 {
				t.Errorf("%s came out as %x", m.SHA256, sum)
			}
		}
		if _, _, code := s.run("tidemark-archive", "media", "--sha256", m.SHA256, "--out", file); code != 1 {
			t.Errorf("a file that is there was overwritten: exit %d", code)
		}
	}
	if named == 0 {
		t.Error("no content has a name")
	}
	s.must("tidemark-archive", "verify")
}
