package server_test

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/server"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// A full disk, at whichever step of keeping a batch it fills up: the device is told 507
// and when to come back, gets no receipt, and health says so without content. With room
// again the same server takes the same batch, once, and health is well again; nobody
// started anything.
func TestDiskFull(t *testing.T) {
	s := newSiteIn(t, archivetest.SmallDisk(t, 16<<20))
	d := s.device()
	first := d.Seal(seal.Messages, line(d, 1))
	s.wantReceipts(s.post(d, first.Raw), first)
	batches := int64(1)
	refused := 0
	for i, leave := range []int64{0, 4 << 10, 12 << 10, 20 << 10, 28 << 10, 40 << 10, 64 << 10, 100 << 10, 160 << 10, 240 << 10} {
		// What is delivered is about as large as the room, so that it runs out at one step or another.
		noise := make([]byte, 30<<10)
		rand.Read(noise)
		b := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 100+i, "secret words "+hex.EncodeToString(noise)))
		free := archivetest.Fill(t, s.dir, leave)
		full := s.post(d, b.Raw)
		if full.status == http.StatusOK {
			s.wantReceipts(full, b)
		} else {
			refused++
			s.wantFull(full)
			health := s.do("GET", server.PathHealth, "", "", nil)
			s.wantFull(health)
			s.wantFull(s.post(d, b.Raw)) // again, as the device will
			if r, err := audit.Verify(t.Context(), archive.Folder(s.dir), audit.Options{}); err != nil || len(r.Faults) > 0 {
				t.Errorf("verify on a full disk: %v %v", err, r)
			}
		}
		free()
		s.wantReceipts(s.post(d, b.Raw), b)
		batches++
		s.awaitHealth()
	}
	if refused < 3 {
		t.Errorf("the disk was full only %d times", refused)
	}

	// A device that enrols on a full disk is told the same, if it is not taken.
	stranger, token := archivetest.NewDevice(t, s.doc), s.token(1)
	free := archivetest.Fill(t, s.dir, 0)
	if a := s.enroll(stranger, token); a.status != http.StatusOK {
		s.wantFull(a)
	}
	free()
	if a := s.enroll(stranger, token); a.status != http.StatusOK {
		t.Errorf("enrolment once there is room: %d %s", a.status, a.body)
	}
	r, err := audit.Verify(t.Context(), archive.Folder(s.dir), audit.Options{})
	if err != nil || len(r.Faults) > 0 || r.Batches != batches {
		t.Errorf("verify: %v %+v", err, r)
	}
}

func (s *site) wantFull(a answer) {
	s.t.Helper()
	s.wantProblem(a, http.StatusInsufficientStorage, protocol.ProblemFailed)
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		s.t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	for _, inside := range []string{"secret", s.dir, ".tmb", "d_"} {
		if strings.Contains(string(a.body), inside) {
			s.t.Errorf("the answer tells of %q: %s", inside, a.body)
		}
	}
}

func (s *site) awaitHealth() {
	s.t.Helper()
	var a answer
	for range 600 {
		if a = s.do("GET", server.PathHealth, "", "", nil); a.status == http.StatusOK {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("health stays %d", a.status)
}
