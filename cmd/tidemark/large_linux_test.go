package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A file that is larger than the spool's quota goes whole into the archive, in pieces as
// the lane drains, and the agent needs no more memory for it than for a small one: both
// as a service and in a single pass. TIDEMARK_LARGE_MEDIA sets its size in bytes.
func TestLargeMedia(t *testing.T) {
	size := int64(20 << 20)
	if text := os.Getenv("TIDEMARK_LARGE_MEDIA"); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t)
	s.world.Make(40, 4)
	s.serve()
	s.configure(fmt.Sprintf("capture: {poll: 500ms}\nspool: {max_bytes: %d, min_free: 64MiB}\n", size/4))
	s.enroll()

	small := s.largeFile("small", 1<<20)
	s.runAgent()
	s.delivered(small)
	_, before := procMemory(t, s.agent.cmd.Process.Pid)
	s.stop(s.agent)

	large := s.largeFile("large", size)
	began := time.Now()
	s.runAgent()
	s.delivered(large)
	took := time.Since(began)
	_, after := procMemory(t, s.agent.cmd.Process.Pid)
	s.stop(s.agent)
	s.agent = nil
	t.Logf("%d bytes through a spool of %d in %.1f s, %.1f MB a second; the agent's memory: at most %.1f MB, of a small file %.1f MB",
		size, size/4, took.Seconds(), float64(size)/1e6/took.Seconds(), after, before)
	if after > before+64+float64(size/4>>20)/2 { // some of the spool is mapped
		t.Errorf("the agent took %.1f MB, %.1f MB with a small file", after, before)
	}

	again := s.largeFile("again", size/2)
	s.must("tidemark", "once")
	s.delivered(again)
	s.must("tidemark-archive", "verify")
}

// largeFile has a file sent that cannot be compressed, and returns its sum.
func (s *site) largeFile(name string, size int64) (sum string) {
	s.t.Helper()
	sent := time.Now().Add(-time.Hour)
	path := filepath.Join(s.world.Account, "msg", "file", sent.Local().Format("2006-01"), name+".bin")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(sha256.Sum256([]byte(name))), size); err != nil {
		s.t.Fatal(err)
	}
	f.Close()
	if err := os.Chtimes(path, sent, sent); err != nil {
		s.t.Fatal(err)
	}
	sum = hex.EncodeToString(h.Sum(nil))

	db := []string{"exec", "--db", s.world.DB(s.world.First()), "--key", s.world.Key(), "--sql"}
	var row []string
	if err := json.Unmarshal([]byte(s.world.Run(append(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'Msg!_%' ESCAPE '!' LIMIT 1")...)), &row); err != nil {
		s.t.Fatal(err)
	}
	s.world.Run(append(db, fmt.Sprintf(`INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content)
		VALUES (%d, %d, %d, 1, %d, '<msg><appmsg><title>%s.bin</title><type>6</type><appattach><totallen>%d</totallen></appattach></appmsg></msg>')`,
		row[0], size, 6<<32|49, sent.UnixMilli(), sent.Unix(), name, size))...)
	return sum
}

// delivered waits until a content is whole in the archive, however long that takes while
// there is an agent at work, and holds it against its sum.
func (s *site) delivered(sum string) {
	s.t.Helper()
	for !strings.Contains(s.must("tidemark-archive", "records", "--kind", "media"), sum) || !s.held(sum) {
		if s.agent == nil {
			s.t.Fatalf("the content is not there: %s", s.must("tidemark-archive", "media", "--list"))
		}
		select {
		case <-s.agent.done:
			s.t.Fatalf("the agent ended: %v\n%s", s.agent.err, s.agent.log)
		case <-time.After(500 * time.Millisecond):
		}
	}
	out := s.path(sum)
	s.must("tidemark-archive", "media", "--sha256", sum, "--out", out)
	f, err := os.Open(out)
	if err != nil {
		s.t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close(), os.Remove(out)); err != nil {
		s.t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		s.t.Errorf("content %s came out as %s", sum, got)
	}
}

// held says whether the archive has all pieces of a content.
func (s *site) held(sum string) bool {
	s.t.Helper()
	var list []struct {
		SHA256     string
		Size, Held int64
	}
	if err := json.Unmarshal([]byte(s.must("tidemark-archive", "media", "--list", "--json")), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range list {
		if m.SHA256 == sum {
			return m.Held == m.Size
		}
	}
	return false
}
