package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"tidemark/archive"
	"tidemark/archive/registry"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// titles says what each type of problem is, the same words each time.
var titles = map[string]string{
	protocol.ProblemToken:    "the request token does not verify",
	protocol.ProblemClock:    "the request token is out of time",
	protocol.ProblemEnrol:    "enrolment is refused",
	protocol.ProblemHead:     "the batch does not follow the lane's head",
	protocol.ProblemBatch:    "the batch is refused",
	protocol.ProblemTooLarge: "the request is too large",
	protocol.ProblemRequest:  "the request is not of this protocol",
	protocol.ProblemBusy:     "the archive is busy",
	protocol.ProblemFailed:   "the archive could not keep it",
}

func problem(status int, kind, detail string) *protocol.Problem {
	return &protocol.Problem{Type: kind, Title: titles[kind], Status: status, Detail: detail}
}

// problemOf says what a device is told of an error: what it can act on, and
// nothing of the archive's inside.
func (s *Server) problemOf(err error) *protocol.Problem {
	var ready *protocol.Problem
	var token *tokenError
	var head *archive.HeadError
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.Is(err, protocol.ErrClock):
		return problem(http.StatusUnauthorized, protocol.ProblemClock, "set the clock by this answer's Date and ask again")
	case errors.As(err, &token), errors.Is(err, registry.ErrUnknown):
		return problem(http.StatusUnauthorized, protocol.ProblemToken, "")
	case errors.Is(err, registry.ErrToken):
		return problem(http.StatusForbidden, protocol.ProblemEnrol, registry.ErrToken.Error())
	case errors.Is(err, registry.ErrRevoked):
		return problem(http.StatusForbidden, protocol.ProblemEnrol, registry.ErrRevoked.Error())
	case errors.As(err, &head):
		p := problem(http.StatusConflict, protocol.ProblemHead, "")
		p.Head = &head.Head
		return p
	case errors.Is(err, archive.ErrRefused):
		return problem(http.StatusUnprocessableEntity, protocol.ProblemBatch, reason(err))
	case errors.Is(err, seal.ErrForged): // of an enrolment; batches came before
		return problem(http.StatusForbidden, protocol.ProblemEnrol, "the proof does not verify for this archive")
	case errors.Is(err, archive.ErrStopped), errors.Is(err, context.Canceled):
		return problem(http.StatusServiceUnavailable, protocol.ProblemBusy, "")
	case isFull(err):
		return problem(http.StatusInsufficientStorage, protocol.ProblemFailed, "the disk is full")
	default:
		return problem(http.StatusInternalServerError, protocol.ProblemFailed, "")
	}
}

// reason says in a word why a batch is refused.
func reason(err error) string {
	switch {
	case errors.Is(err, seal.ErrNewer):
		return seal.ErrNewer.Error()
	case errors.Is(err, seal.ErrForged):
		return seal.ErrForged.Error()
	case errors.Is(err, seal.ErrMalformed):
		return seal.ErrMalformed.Error()
	default:
		return "of another device or lane"
	}
}

func writeProblem(w http.ResponseWriter, p *protocol.Problem) {
	b, err := json.Marshal(p)
	if err != nil { // strings and numbers only
		b = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", protocol.TypeProblem)
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" { // floods know better
			h.Set("Retry-After", retryBusy)
		}
	case http.StatusInternalServerError, http.StatusInsufficientStorage:
		h.Set("Retry-After", retryFailed)
	}
	w.WriteHeader(p.Status)
	w.Write(append(b, '\n'))
}
