package main

import (
	"encoding/json"
	"strings"
	"testing"

	"tidemark/collector/simtest"
)

// What the agent counted agrees with what the archive holds, for every generation of
// the client; the archive says so by its exit code, and names what is out of scope by
// number alone.
func TestCompleteness(t *testing.T) {
	for _, g := range simtest.Generations {
		t.Run(string(g), func(t *testing.T) {
			s := newSite(t)
			s.world.As(g)
			s.world.Make(900, 9)
			s.serve()
			s.configure("capture: {conversations: {exclude: [\"kind:room\"]}}\n")
			s.enroll()
			s.must("tidemark", "once")
			s.stop(s.archive)
			var c struct {
				Complete     bool
				Sealed, Held int64
				Days         int
				OutOfScope   int64 `json:"out_of_scope"`
				Gaps         []any
			}
			out := s.must("tidemark-archive", "completeness", "--json")
			if err := json.Unmarshal([]byte(out), &c); err != nil {
				t.Fatal(err)
			}
			if !c.Complete || c.Days == 0 || c.Sealed == 0 || c.Held != c.Sealed || c.OutOfScope == 0 || len(c.Gaps) != 0 {
				t.Errorf("completeness: %s", out)
			}
			if records := s.must("tidemark-archive", "records"); strings.Contains(records, "@chatroom") {
				t.Error("a room that is out of scope is named in the archive")
			}
			diagnosis := s.must("tidemark", "diagnose")
			for _, secret := range []string{s.world.Owner, s.world.Key(), "wxid_", s.dir} {
				if strings.Contains(diagnosis, secret) {
					t.Errorf("the diagnosis has %.8s…", secret)
				}
			}
			if !strings.Contains(diagnosis, "types: 1 ×") {
				t.Errorf("the diagnosis is %s", diagnosis)
			}
		})
	}
}
