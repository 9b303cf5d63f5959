package main

import (
	"os"
	"strings"
	"testing"
)

// copyTo copies a folder of the site to another, which it replaces.
func (s *site) copyTo(from, to string) {
	s.t.Helper()
	if err := os.RemoveAll(s.path(to)); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(s.path(to), os.DirFS(s.path(from))); err != nil {
		s.t.Fatal(err)
	}
	os.Remove(s.path(to + "/agent.sock")) // nobody listens there
}

// begun is a site whose agent has captured 20 messages and stopped.
func begun(t *testing.T) *site {
	s := newSite(t)
	s.serve()
	s.world.Chat("--count", "20", "--rate", "0", "--recall", "0").Wait()
	s.configure("")
	s.enroll()
	s.must("tidemark", "once")
	return s
}

// chat has the client commit messages, which reach the archive by themselves.
func (s *site) chat(n string, agents ...*process) {
	s.t.Helper()
	before := s.ids()
	s.world.Chat("--count", n, "--rate", "0", "--recall", "0").Wait()
	want := map[string]int{"10": 10, "30": 30}[n]
	s.wait(n+" more messages are archived", func() bool { return s.ids() >= before+want }, append(agents, s.archive)...)
}

// ids counts the archive's messages, each once.
func (s *site) ids() int {
	seen := map[string]bool{}
	for line := range strings.Lines(s.must("tidemark-archive", "records", "--kind", "message")) {
		if _, rest, ok := strings.Cut(line, `"id":"m_`); ok {
			seen[rest[:26]] = true
		}
	}
	return len(seen)
}

func (s *site) forks() int {
	return strings.Count(s.must("tidemark-archive", "records", "--kind", "event"), `"event":"fork"`)
}

// finish demands that the archive has what was committed, once and unchanged.
func (s *site) finish() {
	s.t.Helper()
	s.must("tidemark", "once")
	s.stop(s.archive)
	s.compare("--grace", "1m")
	s.verify()
}

// A laptop whose state folder is put back from yesterday's copy captures again what it
// captured since, which are the same records; the archive keeps both histories of the
// device and says so, and fresh messages flow. What is lost is captured for the first
// time after the server has numbered it: of what was captured before that only the lost
// folder knew under which id (docs/reliability.md, Known).
func TestRestoredLaptop(t *testing.T) {
	s := begun(t)
	s.copyTo("state", "yesterday")
	before := s.ids()
	s.world.Chat("--count", "30", "--rate", "0", "--recall", "0").Wait()
	s.runAgent()
	s.wait("30 more messages are archived", func() bool { return s.ids() >= before+30 }, s.agent, s.archive)
	s.stop(s.agent)
	s.copyTo("yesterday", "state")
	s.runAgent()
	s.chat("10", s.agent)
	s.wait("the fork is told", func() bool { return s.forks() > 0 }, s.agent, s.archive)
	s.stop(s.agent)
	s.finish()
}

// An archive that is put back from yesterday's copy has lost what it gave receipts for
// since. The device goes on from the older head, an event says which batches are gone,
// fresh messages flow, and what the archive has is sound.
func TestRestoredArchive(t *testing.T) {
	s := begun(t)
	s.stop(s.archive)
	s.copyTo("archive", "yesterday")
	s.serve()
	s.runAgent()
	s.chat("30", s.agent)
	s.stop(s.archive)
	s.copyTo("yesterday", "archive")
	s.serve()
	s.chat("10", s.agent)
	s.wait("the loss is told", func() bool {
		return strings.Contains(s.must("tidemark-archive", "records", "--kind", "event"), `"lost_from"`)
	}, s.agent, s.archive)
	s.stop(s.agent)
	s.stop(s.archive)
	s.verify()
	if n, each := s.records(), s.ids(); n != each {
		t.Errorf("%d records of %d messages", n, each)
	}
}
