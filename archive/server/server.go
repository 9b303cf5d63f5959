// Package server speaks the archive's side of the protocol over HTTP. What it
// says is in docs/protocol.md; package seal/protocol has the words.
//
// Every answer that is not a success is a problem (RFC 9457). No answer and no
// log line has content, keys or tokens in it.
//
// # Bounds
//
// A body is read only for a token that verifies but for the body, at no less than a
// least pace, a few at once for each device, and all of them within a bound of memory;
// beyond it a device is asked to come back. The number of connections is bounded: when
// one too many comes, that goes which has been open longest without showing a good
// token. So clients that open connections, send slowly or announce large bodies cost
// the others nothing.
package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"tidemark/archive"
	"tidemark/archive/store"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// PathHealth answers {"status":"ok"} while the archive takes batches, and a problem
// while it can't write.
const PathHealth = "/v1/health"

// Limits. A body larger than its limit is answered with 413.
const (
	maxEnrollment = 64 << 10
	maxInFlight   = 256 << 20 // bytes of request bodies held at once
	retryBusy     = "1"       // seconds
	retryFailed   = "30"
	graceful      = 20 * time.Second // for requests under way when the server stops
	headerTime    = 10 * time.Second // for a request's headers
	bodyBase      = 30 * time.Second // for a request's body, and besides for each of its bytes:
	bodySlowest   = 64 << 10         // bytes per second
	maxHeader     = 16 << 10
)

// Server answers for one archive.
type Server struct {
	archive *archive.Archive
	logger  *slog.Logger
	memory  *semaphore.Weighted
	mux     *http.ServeMux
	floods  floods
	bodies  atOnce
	crowd   *crowd
}

// routes are the paths of the protocol; a table that no one writes.
var routes = []struct {
	method, path string
	handle       func(*Server, http.ResponseWriter, *http.Request) error
}{
	{http.MethodGet, protocol.PathArchive, (*Server).document},
	{http.MethodGet, protocol.PathSuccession, (*Server).succession},
	{http.MethodPost, protocol.PathEnroll, (*Server).enroll},
	{http.MethodGet, protocol.PathHead, (*Server).head},
	{http.MethodPost, protocol.PathBatches, (*Server).append},
	{http.MethodPost, protocol.PathHeartbeat, (*Server).heartbeat},
	{http.MethodPost, protocol.PathKeys, (*Server).keys},
	{http.MethodGet, PathHealth, (*Server).health},
}

// Routes lists what a server answers, as "METHOD /path/{lane}".
func Routes() []string {
	out := make([]string, len(routes))
	for i, r := range routes {
		out[i] = r.method + " " + r.path
	}
	return out
}

// New returns a server for the archive.
func New(a *archive.Archive, logger *slog.Logger) *Server {
	s := &Server{archive: a, logger: logger, memory: semaphore.NewWeighted(maxInFlight), mux: http.NewServeMux(), crowd: newCrowd(maxConns())}
	s.floods.now = a.Now
	for _, r := range routes {
		s.mux.Handle(r.method+" "+r.path, s.answer(func(w http.ResponseWriter, req *http.Request) error { return r.handle(s, w, req) }))
		// The same path with any other method; ServeMux would answer in plain text.
		s.mux.Handle(r.path, s.answer(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", r.method)
			return problem(http.StatusMethodNotAllowed, protocol.ProblemRequest, "this path takes "+r.method)
		}))
	}
	s.mux.Handle("/", s.answer(func(http.ResponseWriter, *http.Request) error {
		return problem(http.StatusNotFound, protocol.ProblemRequest, "there is nothing at this path")
	}))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers requests on the listener until ctx ends or the archive stops, and
// then lets those under way finish. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       5 * time.Minute, // bodies have deadlines of their own
		WriteTimeout:      20 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       s.crowd.enter,
		ConnState:         s.crowd.state,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	var stopped error
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-s.archive.Stopped():
		stopped = archive.ErrStopped
	case <-ctx.Done():
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	if err := h.Shutdown(sctx); err != nil {
		h.Close()
	}
	<-served
	return stopped
}

// answer turns a handler's error into a problem.
func (s *Server) answer(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		err := handle(w, r)
		if err == nil {
			s.logger.Debug("answered", "method", r.Method, "path", r.URL.Path, "elapsed", time.Since(start))
			return
		}
		p := s.problemOf(err)
		level := slog.LevelDebug
		switch {
		case p.Status >= 500:
			level = slog.LevelError
		case p.Status == http.StatusConflict, p.Status == http.StatusUnprocessableEntity, p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
			level = slog.LevelWarn
		}
		s.logger.Log(r.Context(), level, "refused", "method", r.Method, "path", r.URL.Path, "status", p.Status,
			"source", r.RemoteAddr, "elapsed", time.Since(start), "err", err)
		writeProblem(w, p)
	})
}

func (s *Server) document(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", protocol.TypeJSON)
	w.Write(s.archive.Document())
	return nil
}

func (s *Server) succession(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, protocol.Succession{Succession: s.archive.Succession()})
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-s.archive.Stopped():
		return archive.ErrStopped
	default:
	}
	if err := s.archive.Trouble(); err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"status": "ok"})
}

func (s *Server) enroll(w http.ResponseWriter, r *http.Request) error {
	token, err := bearer(r)
	if err != nil {
		return err
	}
	if err := wantType(r, protocol.TypeJSON); err != nil {
		return err
	}
	if err := s.floods.take(w, peer(r), 1); err != nil { // before anybody guesses tokens
		return err
	}
	body, release, err := s.body(w, r, maxEnrollment)
	if err != nil {
		return err
	}
	defer release()
	var e protocol.Enrollment
	if err := json.Unmarshal(body, &e); err != nil {
		return problem(http.StatusBadRequest, protocol.ProblemRequest, "the body is not an enrolment")
	}
	id, err := s.archive.Enroll(token, &e)
	if err != nil {
		return err
	}
	known(r)
	return writeJSON(w, protocol.Enrolled{Device: id.String()})
}

func (s *Server) head(w http.ResponseWriter, r *http.Request) error {
	id, hash, err := s.authenticate(r)
	if err == nil {
		err = fits(hash, nil)
	}
	if err != nil {
		return err
	}
	head, err := s.archive.Head(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(w, head)
}

func (s *Server) append(w http.ResponseWriter, r *http.Request) error {
	if err := wantType(r, protocol.TypeBatches); err != nil {
		return err
	}
	id, hash, err := s.authenticate(r) // before the body takes memory
	if err != nil {
		return err
	}
	if !s.bodies.enter(id.Device.String()) {
		return problem(http.StatusTooManyRequests, protocol.ProblemBusy, "this device has requests under way already")
	}
	defer s.bodies.leave(id.Device.String())
	body, release, err := s.body(w, r, protocol.MaxRequest)
	if err != nil {
		return err
	}
	defer release()
	if err := fits(hash, body); err != nil {
		return err
	}
	if err := s.floods.take(w, id.Device.String(), 1); err != nil {
		return err
	}
	if id.Device, err = s.onBehalf(r, id.Device); err != nil {
		return err
	}
	batches, restarts, perr := parseBatches(body)
	if len(batches) == 0 {
		return perr
	}
	notes, err := s.archive.Append(r.Context(), id, batches, restarts...)
	if err != nil {
		return err
	}
	receipts := protocol.Receipts{Receipts: make([]string, len(notes))}
	for i, n := range notes {
		receipts.Receipts[i] = string(n)
	}
	return writeJSON(w, receipts)
}

// parseBatches reads the batches of a body and the restarts between them, up to the
// first thing that is neither.
func parseBatches(body []byte) (out []*seal.Batch, restarts []*seal.Restart, err error) {
	if len(body) == 0 {
		return nil, nil, problem(http.StatusBadRequest, protocol.ProblemRequest, "the body holds no batch")
	}
	refused := func(err error) error { return fmt.Errorf("%w: %w", archive.ErrRefused, err) }
	for r := bufio.NewReader(bytes.NewReader(body)); len(out) < archive.MaxAppend; {
		restart, err := seal.ReadRestart(r)
		if err != nil {
			return out, restarts, refused(err)
		}
		b, err := seal.ReadBatch(r)
		switch {
		case err == io.EOF && restart == nil:
			return out, restarts, nil
		case err == nil && restart != nil:
			err = restart.Introduces(b)
			restarts = append(restarts, restart)
		}
		if err != nil {
			return out, restarts, refused(err)
		}
		out = append(out, b)
	}
	return out, restarts, nil
}

// onBehalf returns the device whose batches the request brings: the one that made the
// token, or another that this archive knows and has not revoked. Whoever brings them,
// only that device can have signed them.
func (s *Server) onBehalf(r *http.Request, device seal.DeviceID) (seal.DeviceID, error) {
	value := r.Header.Get(protocol.HeaderOnBehalf)
	if value == "" {
		return device, nil
	}
	other, err := seal.ParseDeviceID(value)
	if err != nil {
		return device, problem(http.StatusBadRequest, protocol.ProblemRequest, protocol.HeaderOnBehalf+" is not a device id")
	}
	public, err := s.archive.Registry().Key(other)
	if err == nil && public == nil { // its own token is good, so this is not about that
		err = problem(http.StatusUnprocessableEntity, protocol.ProblemBatch, "the device that they are delivered for is not enrolled")
	}
	return other, err
}

// heartbeat keeps what a device says of its health. An archive whose disk takes no
// batches still takes these, as far as it can.
func (s *Server) heartbeat(w http.ResponseWriter, r *http.Request) error {
	var h protocol.Heartbeat
	device, err := s.said(w, r, protocol.MaxHeartbeat, &h)
	if err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return problem(http.StatusBadRequest, protocol.ProblemRequest, err.Error())
	}
	answer, err := s.archive.Heartbeat(device, &h)
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// keys passes on the sealed keys that wait for the device that asks.
func (s *Server) keys(w http.ResponseWriter, r *http.Request) error {
	var q protocol.KeysRequest
	device, err := s.said(w, r, protocol.MaxKeysRequest, &q)
	if err != nil {
		return err
	}
	if q.V != 1 || seal.CheckKeyRecipient(q.Recipient) != nil {
		return problem(http.StatusBadRequest, protocol.ProblemRequest, "the recipient is not a public key of this protocol")
	}
	sealed, err := s.archive.Registry().AskKeys(device, q.Recipient, s.archive.Now())
	if err != nil {
		return err
	}
	return writeJSON(w, protocol.DeviceKeys{V: 1, Sealed: sealed})
}

// said reads the JSON that a device says, under its request token.
func (s *Server) said(w http.ResponseWriter, r *http.Request, limit int64, into any) (device seal.DeviceID, err error) {
	if err := wantType(r, protocol.TypeJSON); err != nil {
		return device, err
	}
	device, hash, err := s.device(r)
	if err != nil {
		return device, err
	}
	if err := s.floods.take(w, device.String(), 1); err != nil {
		return device, err
	}
	body, release, err := s.body(w, r, limit)
	if err != nil {
		return device, err
	}
	defer release()
	if err := fits(hash, body); err != nil {
		return device, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return device, problem(http.StatusBadRequest, protocol.ProblemRequest, "the body is not what this path takes")
	}
	return device, nil
}

// authenticate verifies the request's token, all but the body, and returns the lane
// that the path names, of the device that made the token, and the hash that the body
// must have.
func (s *Server) authenticate(r *http.Request) (id store.Lane, hash string, err error) {
	lane, err := seal.ParseLane(r.PathValue("lane"))
	if err != nil {
		return id, "", problem(http.StatusNotFound, protocol.ProblemRequest, "there is no such lane")
	}
	device, hash, err := s.device(r)
	return store.Lane{Device: device, Lane: lane}, hash, err
}

// device verifies the request's token, all but the body, and returns the device that made
// it and the hash that the body must have.
func (s *Server) device(r *http.Request) (device seal.DeviceID, hash string, err error) {
	token, err := bearer(r)
	if err != nil {
		return device, "", err
	}
	var lookup error
	device, hash, err = protocol.VerifyTokenHead(token, s.archive.Name(), r.Method, r.URL.Path, s.archive.Now(),
		func(d seal.DeviceID) ed25519.PublicKey {
			public, err := s.archive.Registry().Key(d)
			lookup = err
			return public
		})
	if lookup != nil {
		return device, "", lookup // the archive's trouble, not the token's
	}
	if err != nil {
		return device, "", &tokenError{err}
	}
	known(r)
	if err := s.archive.Registry().Seen(device, s.archive.Now()); err != nil {
		s.logger.Warn("can not note when a device was seen", "device", device.String(), "err", err)
	}
	return device, hash, nil
}

// fits checks the body that a verified token is for.
func fits(hash string, body []byte) error {
	if !protocol.BodyFits(hash, body) {
		return &tokenError{errors.New("request token is for another body")}
	}
	return nil
}

// tokenError marks a request token that did not verify.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// body reads a request's body and reserves the memory for it until release.
func (s *Server) body(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	tooLarge := problem(http.StatusRequestEntityTooLarge, protocol.ProblemTooLarge, fmt.Sprintf("at most %d bytes at once", limit))
	size := r.ContentLength
	if size > limit {
		return nil, nil, tooLarge
	}
	if size < 0 {
		size = limit
	}
	if !s.memory.TryAcquire(size) {
		return nil, nil, problem(http.StatusServiceUnavailable, protocol.ProblemBusy, "too much is arriving at once")
	}
	release = func() { s.memory.Release(size) }
	// Whoever sends slower than this holds memory that others need.
	line := http.NewResponseController(w)
	line.SetReadDeadline(time.Now().Add(bodyBase + time.Duration(size)*time.Second/bodySlowest))
	defer line.SetReadDeadline(time.Time{})
	buf := bytes.NewBuffer(make([]byte, 0, min(size, 1<<20)))
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		release()
		var max *http.MaxBytesError
		if errors.As(err, &max) {
			return nil, nil, tooLarge
		}
		return nil, nil, problem(http.StatusBadRequest, protocol.ProblemRequest, "the body ended early")
	}
	return buf.Bytes(), release, nil
}

func bearer(r *http.Request) (string, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &tokenError{errors.New("no bearer token")}
	}
	return token, nil
}

func wantType(r *http.Request, want string) error {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		return problem(http.StatusUnsupportedMediaType, protocol.ProblemRequest, "the body must be "+want)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", protocol.TypeJSON)
	w.Write(append(b, '\n'))
	return nil
}
