//go:build !windows

package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/server"
	"tidemark/archive/tlog"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func TestMain(m *testing.M) {
	tlog.LogTo(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// site is an archive behind a real HTTP server on loopback.
type site struct {
	t   *testing.T
	a   *archive.Archive
	dir string
	url string
	doc *seal.Archive
	log *syncBuffer
	now atomic.Pointer[time.Time]
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteIn(t, t.TempDir())
}

func newSiteIn(t *testing.T, parent string) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, dir: filepath.Join(parent, "a"), log: &syncBuffer{}}
	if _, err := archive.Init(t.Context(), s.dir, "archive.test", archivetest.Time); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

func (s *site) start() {
	s.t.Helper()
	now := archivetest.Time.Add(time.Minute)
	s.now.Store(&now)
	logger := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := archive.Open(context.Background(), s.dir, archive.Options{Now: func() time.Time { return *s.now.Load() }, Logger: logger})
	if err != nil {
		s.t.Fatal(err)
	}
	h := httptest.NewServer(server.New(a, logger))
	keys, err := archive.Folder(s.dir).LoadKeys()
	if err != nil {
		s.t.Fatal(err)
	}
	s.a, s.url, s.doc = a, h.URL, keys.Archive
	s.t.Cleanup(func() {
		h.Close()
		if err := a.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem protocol.Problem
}

func (s *site) do(method, path, contentType, authorization string, body []byte) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		if ct := resp.Header.Get("Content-Type"); ct != protocol.TypeProblem {
			s.t.Errorf("%s %s: %d with content type %q", method, path, resp.StatusCode, ct)
		}
		if err := json.Unmarshal(a.body, &a.problem); err != nil || a.problem.Status != resp.StatusCode || a.problem.Title == "" {
			s.t.Errorf("%s %s: %d with body %q: %v", method, path, resp.StatusCode, a.body, err)
		}
	}
	return a
}

func (s *site) wantProblem(a answer, status int, kind string) {
	s.t.Helper()
	if a.status != status || a.problem.Type != kind {
		s.t.Errorf("answer %d %q, want %d %q", a.status, a.problem.Type, status, kind)
	}
}

func (s *site) token(uses int) string {
	s.t.Helper()
	now := s.a.Now()
	token, err := s.a.Registry().NewToken(uses, now, now.Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *site) enroll(d *archivetest.Device, token string) answer {
	s.t.Helper()
	e := protocol.Enrollment{Hostname: "laptop", OS: "windows", Arch: "amd64", Version: "1"}
	protocol.SignEnrollment(&e, d.Identity, s.doc.Key)
	body, err := json.Marshal(e)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(http.MethodPost, protocol.PathEnroll, protocol.TypeJSON, "Bearer "+token, body)
}

func (s *site) device() *archivetest.Device {
	s.t.Helper()
	d := archivetest.NewDevice(s.t, s.doc)
	if a := s.enroll(d, s.token(1)); a.status != http.StatusOK {
		s.t.Fatalf("enrol: %d %s", a.status, a.body)
	}
	return d
}

const messages = "/v1/lanes/messages"

func (s *site) bearer(id *seal.Identity, method, path string, body []byte) string {
	s.t.Helper()
	token, err := protocol.Token(id, s.doc.Name(), method, path, body, s.a.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return "Bearer " + token
}

func (s *site) post(d *archivetest.Device, body []byte) answer {
	s.t.Helper()
	path := messages + "/batches"
	return s.do(http.MethodPost, path, protocol.TypeBatches, s.bearer(d.Identity, http.MethodPost, path, body), body)
}

func (s *site) getHead(d *archivetest.Device) answer {
	s.t.Helper()
	path := messages + "/head"
	return s.do(http.MethodGet, path, "", s.bearer(d.Identity, http.MethodGet, path, nil), nil)
}

func (s *site) wantHead(d *archivetest.Device, want *seal.Batch) {
	s.t.Helper()
	var head protocol.Head
	a := s.getHead(d)
	if err := json.Unmarshal(a.body, &head); err != nil {
		s.t.Fatal(err)
	}
	if want == nil && head != (protocol.Head{}) || want != nil && (head.Seq != want.Seq || head.Hash != want.Hash().String()) {
		s.t.Errorf("head %+v, want %+v", head, want)
	}
}

func (s *site) wantReceipts(a answer, batches ...*seal.Batch) {
	s.t.Helper()
	var r protocol.Receipts
	if err := json.Unmarshal(a.body, &r); a.status != http.StatusOK || err != nil || len(r.Receipts) != len(batches) {
		s.t.Fatalf("answer %d %s, want %d receipts", a.status, a.body, len(batches))
	}
	for i, n := range r.Receipts {
		receipt, err := seal.OpenReceipt([]byte(n), s.doc.ReceiptVerifier())
		if err == nil {
			err = receipt.Covers(batches[i])
		}
		if err != nil {
			s.t.Error(err)
		}
	}
}

func line(d *archivetest.Device, n int) []byte {
	return archivetest.Text(d.ID(), "c", n, fmt.Sprint("secret words ", n))
}

func body(batches ...*seal.Batch) []byte {
	var out []byte
	for _, b := range batches {
		out = append(out, b.Raw...)
	}
	return out
}

// The whole way over HTTP: enrol, an empty head, deliver, the new head, deliver
// again; and nothing of what was said is in the log.
func TestDeliver(t *testing.T) {
	s := newSite(t)
	token := s.token(1)
	d := archivetest.NewDevice(t, s.doc)
	if a := s.enroll(d, token); a.status != http.StatusOK || !strings.Contains(string(a.body), d.ID().String()) {
		t.Fatalf("enrol: %d %s", a.status, a.body)
	}
	s.wantHead(d, nil)
	one, two := d.Seal(seal.Messages, line(d, 1)), d.Seal(seal.Messages, line(d, 2), line(d, 3))
	first := s.post(d, body(one, two))
	s.wantReceipts(first, one, two)
	s.wantHead(d, two)
	if again := s.post(d, body(one, two)); !bytes.Equal(again.body, first.body) {
		t.Error("a resend got another answer")
	}
	for _, secret := range []string{token, "secret words", "wxid_x", "张三", "eyJ"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
	r, err := audit.Verify(t.Context(), archive.Folder(s.dir), audit.Options{}) // while it serves
	if err != nil || len(r.Faults) > 0 || r.Batches != 2 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// Whatever is not of the protocol is answered as a problem, and the archive goes on.
func TestNotOfTheProtocol(t *testing.T) {
	s := newSite(t)
	d := s.device()
	for _, c := range []struct {
		name, method, path, contentType string
		status                          int
	}{
		{"no such path", "GET", "/", "", 404},
		{"no such path below", "GET", "/v1/archive/x", "", 404},
		{"no such lane", "GET", "/v1/lanes/letters/head", "", 404},
		{"wrong method", "DELETE", messages + "/batches", "", 405},
		{"wrong method", "POST", protocol.PathArchive, "", 405},
		{"wrong method", "POST", server.PathHealth, "", 405},
		{"no type", "POST", messages + "/batches", "", 415},
		{"wrong type", "POST", messages + "/batches", "application/json", 415},
		{"nonsense type", "POST", messages + "/batches", ";;", 415},
	} {
		a := s.do(c.method, c.path, c.contentType, s.bearer(d.Identity, c.method, c.path, nil), nil)
		t.Log(c.name)
		s.wantProblem(a, c.status, protocol.ProblemRequest)
		if c.status == 405 && a.header.Get("Allow") == "" {
			t.Error("405 without Allow")
		}
	}
	s.wantProblem(s.post(d, nil), 400, protocol.ProblemRequest)
	s.wantProblem(s.do("POST", protocol.PathEnroll, protocol.TypeJSON, "Bearer "+s.token(1), []byte("<html>")), 400, protocol.ProblemRequest)
	if a := s.do("GET", server.PathHealth, "", "", nil); a.status != 200 || string(a.body) != `{"status":"ok"}`+"\n" {
		t.Errorf("health: %d %s", a.status, a.body)
	}
	if a := s.do("GET", protocol.PathArchive, "", "", nil); a.status != 200 || !bytes.Equal(a.body, s.a.Document()) {
		t.Errorf("key document: %d %s", a.status, a.body)
	}
}

// A request token is good for its device, its archive, its request, its body and
// its time, and for nothing else.
func TestTokens(t *testing.T) {
	s := newSite(t)
	d, other := s.device(), s.device()
	stranger := archivetest.NewDevice(t, s.doc)
	path := messages + "/batches"
	one := d.Seal(seal.Messages, line(d, 1))
	good := body(one)
	send := func(authorization string) answer {
		return s.do("POST", path, protocol.TypeBatches, authorization, good)
	}
	at := func(offset time.Duration) string {
		token, err := protocol.Token(d.Identity, s.doc.Name(), "POST", path, good, s.a.Now().Add(offset))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	elsewhere, err := protocol.Token(d.Identity, "archive.other", "POST", path, good, s.a.Now())
	if err != nil {
		t.Fatal(err)
	}
	stolen := s.bearer(d.Identity, "POST", path, []byte("another body"))
	for name, authorization := range map[string]string{
		"none":                     "",
		"not bearer":               "Basic eDp5",
		"garbage":                  "Bearer x.y.z",
		"of another body":          stolen,
		"of another method":        s.bearer(d.Identity, "GET", path, good),
		"of another path":          s.bearer(d.Identity, "POST", "/v1/lanes/media/batches", good),
		"for another archive":      "Bearer " + elsewhere,
		"of a device not enrolled": s.bearer(stranger.Identity, "POST", path, good),
		"an enrolment token":       "Bearer " + s.token(1),
		"with its signature cut":   strings.TrimRight(stolen[:len(stolen)-20], "."),
	} {
		a := send(authorization)
		t.Log(name)
		s.wantProblem(a, 401, protocol.ProblemToken)
		if a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Error("401 without WWW-Authenticate")
		}
	}
	for name, offset := range map[string]time.Duration{"too old": -protocol.TokenTTL - time.Minute, "too new": protocol.TokenTTL + time.Minute} {
		a := send(at(offset))
		t.Log(name)
		s.wantProblem(a, 401, protocol.ProblemClock)
		if a.header.Get("Date") == "" {
			t.Error("no Date to correct the clock by")
		}
	}
	// A token that is good for another device does not deliver this device's batch.
	s.wantProblem(s.do("POST", path, protocol.TypeBatches, s.bearer(other.Identity, "POST", path, good), good), 422, protocol.ProblemBatch)
	s.wantHead(d, nil)
	s.wantReceipts(send(at(-protocol.TokenTTL+time.Minute)), one)
	if err := s.a.Registry().Revoke(d.ID(), s.a.Now()); err != nil {
		t.Fatal(err)
	}
	s.wantProblem(send(at(0)), 401, protocol.ProblemToken)
	s.wantProblem(s.enroll(d, s.token(1)), 403, protocol.ProblemEnrol)
}

// An enrolment token enrols as many devices as it says, even when all ask at once;
// a device that asks again uses nothing up.
func TestEnrolmentTokens(t *testing.T) {
	s := newSite(t)
	const uses, devices = 3, 9
	token := s.token(uses)
	answers := make([]answer, devices)
	all := make([]*archivetest.Device, devices)
	var wg sync.WaitGroup
	for i := range devices {
		all[i] = archivetest.NewDevice(t, s.doc)
		wg.Go(func() { answers[i] = s.enroll(all[i], token) })
	}
	wg.Wait()
	var in, out []*archivetest.Device
	for i, a := range answers {
		if a.status == 200 {
			in = append(in, all[i])
		} else {
			s.wantProblem(a, 403, protocol.ProblemEnrol)
			out = append(out, all[i])
		}
	}
	if len(in) != uses {
		t.Fatalf("%d devices enrolled with a token for %d", len(in), uses)
	}
	// The answer was lost; the token is used up and expired meanwhile.
	later := s.a.Now().Add(48 * time.Hour)
	s.now.Store(&later)
	if a := s.enroll(in[0], token); a.status != 200 {
		t.Errorf("enrolling again: %d %s", a.status, a.body)
	}
	fresh := s.token(1)
	if a := s.enroll(in[1], fresh); a.status != 200 {
		t.Errorf("enrolling again with another token: %d %s", a.status, a.body)
	}
	if a := s.enroll(out[0], fresh); a.status != 200 {
		t.Errorf("the other token was used up by a known device: %d %s", a.status, a.body)
	}
	s.wantProblem(s.enroll(out[1], token), 403, protocol.ProblemEnrol)
	s.wantProblem(s.enroll(in[0], "tmt1unknown"), 403, protocol.ProblemEnrol)

	expiring := s.token(1)
	later = later.Add(2 * time.Hour)
	s.now.Store(&later)
	s.wantProblem(s.enroll(out[1], expiring), 403, protocol.ProblemEnrol)

	// A proof made for another archive is of no use here, nor is one for another key.
	e := protocol.Enrollment{}
	protocol.SignEnrollment(&e, out[1].Identity, seal.ArchiveKey{1})
	forged, _ := json.Marshal(e)
	s.wantProblem(s.do("POST", protocol.PathEnroll, protocol.TypeJSON, "Bearer "+s.token(1), forged), 403, protocol.ProblemEnrol)
	protocol.SignEnrollment(&e, out[1].Identity, s.doc.Key)
	e.PublicKey = out[2].Identity.Public()
	forged, _ = json.Marshal(e)
	s.wantProblem(s.do("POST", protocol.PathEnroll, protocol.TypeJSON, "Bearer "+s.token(1), forged), 403, protocol.ProblemEnrol)
}

// Bad batches are refused for good, disagreement is answered with the head, and
// what came before in the same request is taken.
func TestBadBatches(t *testing.T) {
	s := newSite(t)
	d := s.device()
	one := d.Seal(seal.Messages, line(d, 1))
	two := d.Seal(seal.Messages, line(d, 2))
	three := d.Seal(seal.Messages, line(d, 3))

	s.wantProblem(s.post(d, []byte("<html>a captive portal</html>")), 422, protocol.ProblemBatch)
	s.wantProblem(s.post(d, one.Raw[:len(one.Raw)-1]), 422, protocol.ProblemBatch)
	newer := slices.Clone(one.Raw)
	newer[4] = 9
	a := s.post(d, newer)
	s.wantProblem(a, 422, protocol.ProblemBatch)
	if a.problem.Detail != seal.ErrNewer.Error() {
		t.Errorf("a newer version is refused as %q", a.problem.Detail)
	}
	a = s.post(d, body(two))
	s.wantProblem(a, 409, protocol.ProblemHead)
	if a.problem.Head == nil || a.problem.Head.Seq != 0 {
		t.Errorf("head %+v, want an empty one", a.problem.Head)
	}
	s.wantReceipts(s.post(d, body(one, three)), one)
	a = s.post(d, body(three))
	s.wantProblem(a, 409, protocol.ProblemHead)
	if a.problem.Head == nil || a.problem.Head.Seq != 1 || a.problem.Head.Hash != one.Hash().String() {
		t.Errorf("head %+v, want 1", a.problem.Head)
	}
	s.wantReceipts(s.post(d, append(body(two), []byte("rest that is none")...)), two)
	s.wantHead(d, two)
}

// One request is taken up to a number of batches; the device sends the rest again.
func TestManyBatches(t *testing.T) {
	s := newSite(t)
	d := s.device()
	var chain []*seal.Batch
	for range archive.MaxAppend + 3 {
		chain = append(chain, d.Seal(seal.Messages))
	}
	s.wantReceipts(s.post(d, body(chain...)), chain[:archive.MaxAppend]...)
	s.wantReceipts(s.post(d, body(chain[archive.MaxAppend:]...)), chain[archive.MaxAppend:]...)
}

// A body beyond the limit is refused, whether its length was announced or not.
func TestTooLarge(t *testing.T) {
	s := newSite(t)
	d := s.device()
	big := make([]byte, protocol.MaxRequest+1)
	s.wantProblem(s.post(d, big), 413, protocol.ProblemTooLarge)

	path := messages + "/batches"
	req, err := http.NewRequest("POST", s.url+path, io.MultiReader(bytes.NewReader(big))) // no length
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", protocol.TypeBatches)
	req.Header.Set("Authorization", s.bearer(d.Identity, "POST", path, big))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunked: %d, want 413", resp.StatusCode)
	}
}

// A body that ends before its announced length changes nothing.
func TestTruncatedBody(t *testing.T) {
	s := newSite(t)
	d := s.device()
	one := d.Seal(seal.Messages, line(d, 1))
	path := messages + "/batches"
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n",
		path, protocol.TypeBatches, s.bearer(d.Identity, "POST", path, one.Raw), len(one.Raw))
	conn.Write(one.Raw[:len(one.Raw)/2])
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	conn.Close()
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
		t.Errorf("answer %q, %v", answer, err)
	}
	s.wantHead(d, nil)
	s.wantReceipts(s.post(d, one.Raw), one)
}

// Serve ends when its context does, and a request under way gets its answer.
func TestGracefulStop(t *testing.T) {
	s := newSite(t)
	d := s.device()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.New(s.a, slog.New(slog.DiscardHandler)).Serve(ctx, ln) }()

	one := d.Seal(seal.Messages, line(d, 1))
	path := messages + "/batches"
	r, w := io.Pipe()
	req, err := http.NewRequest("POST", "http://"+ln.Addr().String()+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(one.Raw))
	req.Header.Set("Content-Type", protocol.TypeBatches)
	req.Header.Set("Authorization", s.bearer(d.Identity, "POST", path, one.Raw))
	// The body is asked for only once the server has begun with the request.
	req.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	defer client.CloseIdleConnections()
	got := make(chan int, 1)
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			got <- 0
			return
		}
		defer resp.Body.Close()
		got <- resp.StatusCode
	}()
	w.Write(one.Raw[:100]) // returns once the request is under way
	cancel()
	w.Write(one.Raw[100:])
	w.Close()
	if status := <-got; status != 200 {
		t.Errorf("request under way: %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
