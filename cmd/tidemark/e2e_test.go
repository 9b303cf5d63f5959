package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// Everything a live client commits reaches the archive exactly once, with the same
// text and sender and in the same order, in each way of checkpointing, and for a
// client that is killed and started again.
func TestEndToEnd(t *testing.T) {
	for _, mode := range []string{"client", "never", "truncate", "killed"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t)
			checkpoint := mode
			if mode == "killed" {
				checkpoint = "client"
			}
			chat := []string{"--checkpoint", checkpoint, "--rate", "60", "--recall", "0.04", "--recall-after", "3s"}
			if mode != "truncate" {
				chat = append(chat, "--checkpoint-after", "2s")
			}
			s.serve()
			client := s.world.Chat(append(chat, "--count", "100")...)
			s.world.Ready(t.Context())
			s.configure("")
			s.enroll()
			s.runAgent()
			if mode == "killed" {
				client.Wait()
				for range 3 {
					killed := s.world.Chat(chat...)
					n := s.records()
					s.wait("some more is archived", func() bool { return s.records() > n+40 }, s.agent, s.archive)
					killed.Kill()
				}
			} else {
				client.Wait()
			}
			s.world.Chat(append(chat, "--count", "200")...).Wait()
			s.stop(s.agent)
			s.must("tidemark", "once") // what the client committed while the agent stopped
			s.stop(s.archive)
			s.compare("--grace", "1m") // whether a busy machine saw a recall in time is not decided here
			s.verify()
		})
	}
}

func (s *site) records() int {
	return strings.Count(s.must("tidemark-archive", "records", "--kind", "message"), "\n")
}

// status asks the agent; waiting gives up when the programs end.
func (s *site) status() (code int, text string) {
	out, _, code := s.run("tidemark", "status", "--json")
	return code, out
}

// Nothing leaves the spool for an archive that is not there, answers HTML as a
// captive portal does, or is another archive; status names each, and delivery goes on
// when the right one is back.
func TestWrongArchive(t *testing.T) {
	s := newSite(t)
	s.serve()
	s.world.Make(50, 5)
	right := s.addr
	s.configure("")
	s.enroll()
	s.stop(s.archive)

	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<html>Welcome! Please accept our terms.</html>"))
	}))
	defer portal.Close()
	other := newSite(t)
	other.serve()

	for _, c := range []struct{ name, addr, state string }{
		{"nobody", right, "archive unreachable"},
		{"portal", strings.TrimPrefix(portal.URL, "http://"), "not the archive"},
		{"another archive", other.addr, "not the archive"},
	} {
		s.addr = c.addr
		s.configure("")
		s.runAgent()
		s.wait(c.name+" is named", func() bool {
			_, text := s.status()
			return strings.Contains(text, c.state)
		}, s.agent)
		code, text := s.status()
		if code != 1 {
			t.Errorf("%s: status exits %d:\n%s", c.name, code, text)
		}
		if strings.Count(s.must("tidemark-archive", "records"), "\n") != 0 || strings.Count(other.must("tidemark-archive", "records"), "\n") != 0 {
			t.Fatalf("%s: something was delivered", c.name)
		}
		s.stop(s.agent)
	}
	s.addr = right
	s.serve()
	s.configure("")
	s.must("tidemark", "once")
	s.compare()
	s.verify()
}

// A device without a key for an account is blind: status exits 2 and the archive has
// the gap, which the key closes.
func TestBlind(t *testing.T) {
	s := newSite(t)
	s.serve()
	s.world.Make(50, 5)
	key := s.world.Key()
	os.Remove(s.world.Keys)
	if err := os.WriteFile(s.world.Keys, []byte(`{"v":1,"accounts":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.configure("")
	if code, _ := s.status(); code != 2 {
		t.Errorf("not running: status exits %d", code)
	}
	s.enroll()
	s.runAgent()
	s.wait("the gap is archived", func() bool { return strings.Contains(s.must("tidemark-archive", "records"), `"key_missing"`) }, s.agent)
	code, text := s.status()
	if code != 2 || !strings.Contains(text, "key missing") {
		t.Errorf("status exits %d: %s", code, text)
	}
	if _, stderr, code := s.run("tidemark", "once"); code == 0 || !strings.Contains(stderr, "hint") {
		t.Errorf("once beside a running agent exits %d: %s", code, stderr)
	}
	s.stop(s.agent)
	if code, _ := s.status(); code != 2 {
		t.Errorf("stopped: status exits %d", code)
	}
	if err := os.WriteFile(s.world.Keys, []byte(`{"v":1,"accounts":[{"account":"wxid_tide","key":"`+key+`"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("tidemark", "once")
	s.compare()
	closed := false
	for line := range strings.Lines(s.must("tidemark-archive", "records", "--kind", "event")) {
		var e struct{ Event, Of string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		closed = closed || e.Event == "recovered" && e.Of != ""
	}
	if !closed {
		t.Error("no record closes the gap")
	}
}
