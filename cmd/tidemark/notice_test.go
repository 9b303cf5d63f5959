package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tidemark/agent"
	"tidemark/agent/disclosure"
	"tidemark/record"
)

// Promise: with capture.notice required nothing of an account is captured until its
// user has acknowledged the notice, and status says blind and why; afterwards everything
// is, from the first message; the archive has the notice's words, its version and the
// acknowledgement; and the user sees all along what is recorded, without content and
// without any right of an administrator.
func TestNoticeRequired(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("stands in for a user's session with the programs of Linux")
	}
	s := newSite(t)
	os.MkdirAll(s.path("home"), 0o700)
	s.world.Use(s.path("home")) // the profile decides whose account it is
	s.serve()
	client := s.world.Chat("--count", "30", "--rate", "60")
	s.world.Ready(t.Context())
	s.configure("capture: {notice: required}\nnotice: {organisation: Example Bank, retention: seven years, version: v1}\n")
	s.enroll()
	s.runAgent()
	s.wait("the account waits for its user", func() bool {
		code, text := s.status()
		return code == 2 && strings.Contains(text, "notice not read")
	}, s.agent, s.archive)
	client.Wait()
	if n := s.records(); n != 0 {
		t.Errorf("%d messages before the notice was acknowledged", n)
	}

	s.wait("the user sees that the account waits", func() bool {
		mine := s.mine()
		return len(mine.Accounts) == 1 && mine.Accounts[0].Name == s.world.Owner && mine.Accounts[0].State == "notice not read" && mine.Acknowledged == nil
	}, s.agent)
	out := s.must("tidemark", "notice")
	for _, want := range []string{"Example Bank", "seven years", "version v1", "not acknowledged"} {
		if !strings.Contains(out, want) {
			t.Errorf("the notice does not say %q:\n%s", want, out)
		}
	}

	// The user's session shows it; the first button is pressed.
	tools := t.TempDir()
	if err := os.WriteFile(filepath.Join(tools, "zenity"), []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	s.must("tidemark", "notice", "--session")

	s.wait("everything is archived", func() bool { return s.records() >= 30 }, s.agent, s.archive)
	s.wait("the acknowledgement is recorded", func() bool { return len(s.eventsOf(record.EventAcknowledged)) == 1 }, s.agent, s.archive)
	ack := s.eventsOf(record.EventAcknowledged)[0]
	if ack.Account.ID != s.world.Owner || ack.Detail["version"] != "v1" || ack.Detail["user"] == "" || ack.Since.IsZero() {
		t.Errorf("acknowledged: %+v", ack)
	}
	notices := s.eventsOf(record.EventNotice)
	if len(notices) != 1 || !strings.Contains(notices[0].Detail["text"], "Example Bank") || notices[0].Detail["digest"] != ack.Detail["digest"] {
		t.Errorf("notices: %+v", notices)
	}
	if n := len(s.eventsOf(record.EventNoticePending)); n != 1 {
		t.Errorf("%d events say that the account waits", n)
	}
	s.wait("the user sees that the account is recorded", func() bool {
		mine := s.mine()
		return mine.Acknowledged != nil && mine.Accounts[0].State == "current" && !mine.Accounts[0].LastRead.IsZero()
	}, s.agent)
	s.stop(s.agent)
	if s.mine().Manifest.Running {
		t.Error("the manifest says that the agent runs")
	}
	s.must("tidemark", "once")
	s.stop(s.archive)
	s.compare()
	s.verify()

	manifest, err := os.ReadFile(filepath.Join(s.path("state"), "public", disclosure.ManifestName))
	if err != nil || strings.Contains(string(manifest), s.world.Owner) {
		t.Errorf("the manifest names an account: %v", err)
	}
}

func (s *site) mine() *agent.Mine {
	s.t.Helper()
	m := new(agent.Mine)
	if err := json.Unmarshal([]byte(s.must("tidemark", "mine", "--json")), m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// eventsOf lists the archive's events of a name.
func (s *site) eventsOf(name string) []record.Record {
	s.t.Helper()
	var out []record.Record
	for line := range strings.Lines(s.must("tidemark-archive", "records", "--kind", "event")) {
		var r record.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Event == name {
			out = append(out, r)
		}
	}
	return out
}
