//go:build !windows

package server_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"tidemark/archive/archivetest"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// A device that floods is told when to come back, loses nothing, and costs the others
// nothing: another device is served meanwhile.
func TestFloodOfADevice(t *testing.T) {
	s := newSite(t)
	d, calm := s.device(), s.device()
	one := d.Seal(seal.Messages, line(d, 1))
	var refused answer
	for range 1000 {
		a := s.post(d, body(one))
		if a.status == http.StatusTooManyRequests {
			refused = a
			break
		}
		s.wantReceipts(a, one)
	}
	s.wantProblem(refused, http.StatusTooManyRequests, protocol.ProblemBusy)
	seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		t.Fatalf("Retry-After %q", refused.header.Get("Retry-After"))
	}
	other := calm.Seal(seal.Messages, line(calm, 1))
	s.wantReceipts(s.post(calm, body(other)), other)

	later := archivetest.Time.Add(time.Minute + time.Duration(seconds)*time.Second)
	s.now.Store(&later)
	s.wantReceipts(s.post(d, body(one)), one)
}

// Guessing enrolment tokens from one address is slowed down.
func TestFloodOfEnrolments(t *testing.T) {
	s := newSite(t)
	d := archivetest.NewDevice(t, s.doc)
	for range 1000 {
		a := s.enroll(d, "tmt1guess")
		if a.status == http.StatusTooManyRequests {
			s.wantProblem(a, http.StatusTooManyRequests, protocol.ProblemBusy)
			return
		}
		s.wantProblem(a, http.StatusForbidden, protocol.ProblemEnrol)
	}
	t.Error("a thousand guesses were answered")
}

// A hole needs its restart in the request, directly before its batch.
func TestRestartInARequest(t *testing.T) {
	s := newSite(t)
	d := s.device()
	one := d.Seal(seal.Messages, line(d, 1))
	s.wantReceipts(s.post(d, body(one)), one)
	restart := d.Lose(seal.Messages, 2, false)
	four := d.Seal(seal.Messages, line(d, 4))
	five := d.Seal(seal.Messages, line(d, 5))
	s.wantProblem(s.post(d, body(four)), http.StatusConflict, protocol.ProblemHead)
	s.wantProblem(s.post(d, append(append([]byte{}, restart.Raw...), body(one)...)), http.StatusUnprocessableEntity, protocol.ProblemBatch)
	s.wantProblem(s.post(d, restart.Raw), http.StatusUnprocessableEntity, protocol.ProblemBatch)
	s.wantReceipts(s.post(d, append(append([]byte{}, restart.Raw...), body(four, five)...)), four, five)
}
