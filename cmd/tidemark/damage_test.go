package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A laptop whose spool is damaged or gone loses no message that the client still has:
// whatever waits is saved or captured again, the archive takes what comes behind the
// hole, every message is there once, what it cost is recorded, and nobody has done
// anything.
func TestDamagedSpool(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"beginning zeroed": func(b []byte) []byte { clear(b[:8192]); return b },
		"batches spoiled": func(b []byte) []byte {
			for i, n := 0, 0; ; i, n = i+4, n+1 {
				j := bytes.Index(b[i:], []byte("TMKB"))
				if j < 0 || i+j+200 > len(b) {
					return b
				}
				if i += j; n%3 == 1 {
					b[i+190] ^= 1
				}
			}
		},
		"gone": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.serve()
			s.world.Make(50, 5)
			s.configure("")
			s.enroll()
			s.must("tidemark", "once")
			s.stop(s.archive)
			s.world.Chat("--count", "60", "--rate", "0", "--recall", "0").Wait()
			s.runAgent()
			s.wait("everything waits in the spool", func() bool {
				_, text := s.status()
				var status struct {
					Spool struct {
						Lanes map[string]struct{ Records int }
					}
				}
				return json.Unmarshal([]byte(text), &status) == nil && status.Spool.Lanes["messages"].Records >= 60
			}, s.agent)
			s.agent.kill()
			file := s.path("state/spool.db")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if bad := damage(raw); bad == nil {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, bad, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.serve()
			s.runAgent()
			s.wait("the damage is recorded", func() bool {
				return strings.Contains(s.must("tidemark-archive", "records", "--kind", "event"), "spool: damaged")
			}, s.agent, s.archive)
			before := s.records()
			s.world.Chat("--count", "20", "--rate", "0", "--recall", "0").Wait()
			s.wait("a fresh message still flows", func() bool { return s.records() >= before+20 }, s.agent, s.archive)
			s.stop(s.agent)
			s.must("tidemark", "once")
			s.stop(s.archive)
			s.compare()
			s.verify()
		})
	}
}
