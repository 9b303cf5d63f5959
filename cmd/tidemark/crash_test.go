package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Agent and archive are killed with SIGKILL at random moments, again and again, under
// a live client. In the end every committed message is in the archive exactly once
// and unchanged, and the archive verifies. TIDEMARK_CRASHES sets how often (make
// crash: 200).
func TestCrash(t *testing.T) {
	crashes := 10
	if n, err := strconv.Atoi(os.Getenv("TIDEMARK_CRASHES")); err == nil {
		crashes = n
	}
	s := newSite(t)
	s.serve()
	client := s.world.Chat("--rate", "80", "--recall", "0.03", "--recall-after", "3s", "--checkpoint-after", "3s")
	s.world.Ready(t.Context())
	s.configure("")
	s.enroll()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s.runAgent()
	agents, archives, clients := 0, 0, 0
	for i := range crashes {
		// From within start-up to well into steady work: every moment is a commit point's.
		time.Sleep(time.Duration(20+rng.IntN(900)) * time.Millisecond)
		if i%4 == 3 {
			s.archive.kill()
			archives++
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			s.serve()
			continue
		}
		s.agent.kill()
		agents++
		if i%25 == 24 {
			client.Kill()
			clients++
			client = s.world.Chat("--rate", "80", "--recall", "0.03", "--recall-after", "3s", "--checkpoint-after", "3s")
		}
		s.runAgent()
	}
	client.Stop()
	before := s.records()
	s.world.Chat("--count", "20", "--rate", "0", "--recall", "0").Wait()
	s.wait("a fresh message still flows", func() bool { return s.records() >= before+20 }, s.agent, s.archive)
	s.stop(s.agent)
	s.must("tidemark", "once")
	s.stop(s.archive)
	t.Logf("killed the agent %d times, the archive %d, the client %d", agents, archives, clients)
	s.compare("--grace", "1m")
	s.verify()
}
