//go:build !windows

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive"
	"tidemark/archive/registry"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Each error tells the device what it can act on, and nothing of the archive's
// inside.
func TestProblemOf(t *testing.T) {
	s := &Server{}
	for _, c := range []struct {
		err    error
		status int
		kind   string
		retry  bool
	}{
		{&archive.HeadError{}, 409, protocol.ProblemHead, false},
		{fmt.Errorf("x: %w", &archive.HeadError{}), 409, protocol.ProblemHead, false},
		{fmt.Errorf("%w: %w", archive.ErrRefused, seal.ErrForged), 422, protocol.ProblemBatch, false},
		{&tokenError{seal.ErrForged}, 401, protocol.ProblemToken, false},
		{&tokenError{fmt.Errorf("x: %w", protocol.ErrClock)}, 401, protocol.ProblemClock, false},
		{registry.ErrUnknown, 401, protocol.ProblemToken, false},
		{registry.ErrToken, 403, protocol.ProblemEnrol, false},
		{registry.ErrRevoked, 403, protocol.ProblemEnrol, false},
		{seal.ErrForged, 403, protocol.ProblemEnrol, false},
		{archive.ErrStopped, 503, protocol.ProblemBusy, true},
		{context.Canceled, 503, protocol.ProblemBusy, true},
		{fmt.Errorf("place file: /secret/path: %w", syscall.ENOSPC), 507, protocol.ProblemFailed, true},
		{fmt.Errorf("add: %w", sqlite3.FULL), 507, protocol.ProblemFailed, true},
		{errors.New("/secret/path is broken"), 500, protocol.ProblemFailed, true},
	} {
		w := httptest.NewRecorder()
		p := s.problemOf(c.err)
		writeProblem(w, p)
		if p.Status != c.status || p.Type != c.kind || w.Code != c.status || w.Header().Get("Content-Type") != protocol.TypeProblem {
			t.Errorf("%v: %d %s, want %d %s", c.err, p.Status, p.Type, c.status, c.kind)
		}
		if (w.Header().Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: Retry-After %q", c.err, w.Header().Get("Retry-After"))
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: the answer tells of the inside: %s", c.err, w.Body)
		}
	}
}
