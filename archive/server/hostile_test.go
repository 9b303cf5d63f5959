//go:build !windows

package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/audit"
	"tidemark/archive/server"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Requests that an attacker, a broken proxy or a restored laptop makes: each is answered
// as the table says, and afterwards the archive holds exactly what the honest device
// delivered, once.
func TestHostileRequests(t *testing.T) {
	s := newSite(t)
	d, other := s.device(), s.device()
	path, media := messages+"/batches", "/v1/lanes/media/batches"
	one, two := d.Seal(seal.Messages, line(d, 1)), d.Seal(seal.Messages, line(d, 2))
	first := s.post(d, body(one, two))
	s.wantReceipts(first, one, two)
	restart := d.Lose(seal.Messages, 2, false)
	five := d.Seal(seal.Messages, line(d, 5))
	foreign := other.Seal(seal.Messages, line(other, 1))
	forgedRestart := slices.Clone(restart.Raw)
	forgedRestart[len(forgedRestart)-1] ^= 1

	fresh := func(b []byte) string { return s.bearer(d.Identity, "POST", path, b) }
	good := fresh(body(one, two)) // as someone on the way has seen it
	old, err := protocol.Token(d.Identity, s.doc.Name(), "POST", path, body(one, two), s.a.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(b *seal.Batch, at int) []byte {
		raw := slices.Clone(b.Raw)
		raw[(at+len(raw))%len(raw)] ^= 1
		return raw
	}
	altered := []byte(good)
	altered[len(altered)-30] ^= 1
	none := "eyJhbGciOiJub25lIn0." + strings.Split(strings.TrimPrefix(good, "Bearer "), ".")[1] + "."
	for _, c := range []struct {
		name, path, authorization string
		body                      []byte
		status                    int
		kind                      string // of the problem; none for a success
	}{
		{"replayed, to the byte", path, good, body(one, two), 200, ""},
		{"replayed an hour later", path, "Bearer " + old, body(one, two), 401, protocol.ProblemClock},
		{"reordered batches", path, fresh(body(five, two)), body(five, two), 409, protocol.ProblemHead},
		{"a batch twice", path, fresh(body(two, two)), body(two, two), 200, ""},
		{"a hole", path, fresh(five.Raw), five.Raw, 409, protocol.ProblemHead},
		{"a hole with a forged restart", path, fresh(append(slices.Clone(forgedRestart), five.Raw...)), append(slices.Clone(forgedRestart), five.Raw...), 409, protocol.ProblemHead},
		{"a restart without a batch", path, fresh(restart.Raw), restart.Raw, 422, protocol.ProblemBatch},
		{"truncated", path, fresh(one.Raw[:len(one.Raw)-9]), one.Raw[:len(one.Raw)-9], 422, protocol.ProblemBatch},
		{"an altered payload", path, fresh(flipped(two, -70)), flipped(two, -70), 422, protocol.ProblemBatch},
		{"an altered signature", path, fresh(flipped(two, -1)), flipped(two, -1), 422, protocol.ProblemBatch},
		{"another device's batch", path, fresh(foreign.Raw), foreign.Raw, 422, protocol.ProblemBatch},
		{"another lane's batch", media, s.bearer(d.Identity, "POST", media, one.Raw), one.Raw, 422, protocol.ProblemBatch},
		{"nothing", path, fresh(nil), nil, 400, protocol.ProblemRequest},
		{"oversized", path, fresh(make([]byte, protocol.MaxRequest+1)), make([]byte, protocol.MaxRequest+1), 413, protocol.ProblemTooLarge},
		{"a token of another device", path, s.bearer(other.Identity, "POST", path, five.Raw), five.Raw, 422, protocol.ProblemBatch},
		{"a stolen token with another body", path, good, five.Raw, 401, protocol.ProblemToken},
		{"a stolen token on another path", media, good, body(one, two), 401, protocol.ProblemToken},
		{"a stolen token with a query", path + "?x=1", good, five.Raw, 401, protocol.ProblemToken},
		{"an altered token", path, string(altered), body(one, two), 401, protocol.ProblemToken},
		{"a token without a signature", path, "Bearer " + none, body(one, two), 401, protocol.ProblemToken},
		{"a token of ten kilobytes", path, "Bearer " + strings.Repeat("x", 10<<10), nil, 401, protocol.ProblemToken},
		{"an enrolment token", path, "Bearer " + s.token(1), five.Raw, 401, protocol.ProblemToken},
		{"an enrolment with a request token", protocol.PathEnroll, good, []byte("{}"), 415, protocol.ProblemRequest},
	} {
		a := s.do("POST", c.path, protocol.TypeBatches, c.authorization, c.body)
		if a.status != c.status || a.problem.Type != c.kind {
			t.Errorf("%s: answer %d %q, want %d %q", c.name, a.status, a.problem.Type, c.status, c.kind)
		}
		if c.name == "replayed, to the byte" && !bytes.Equal(a.body, first.body) {
			t.Error("a replay got other receipts")
		}
	}
	s.wantHead(d, two)
	s.wantHead(other, nil)
	r, err := audit.Verify(t.Context(), archive.Folder(s.dir), audit.Options{})
	if err != nil || len(r.Faults) > 0 || r.Batches != 2 || r.Records != 2 || r.Entries != 2 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// Clients that open connections and send next to nothing, in the headers or in a body,
// with good tokens or without, hold a bounded number of connections and of requests; an
// honest device delivers meanwhile.
func TestSlowClients(t *testing.T) {
	s := newSite(t)
	d, slow := s.device(), s.device()
	h := server.New(s.a, slog.New(slog.DiscardHandler))
	const most = 60
	h.LimitConns(most)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		<-served
	})
	s.url = "http://" + ln.Addr().String()
	path := messages + "/batches"
	post := func(authorization string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n", path, protocol.TypeBatches, authorization, length)
	}
	dial := func(text string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, text)
		return c
	}
	deliver := func(n int) {
		t.Helper()
		b := d.Seal(seal.Messages, line(d, n))
		s.wantReceipts(s.post(d, b.Raw), b)
	}
	deliver(1)
	before := runtime.NumGoroutine()

	// One enrolled device, or whoever has its tokens, announces large bodies and sends none.
	body := make([]byte, protocol.MaxRequest)
	token := s.bearer(slow.Identity, "POST", path, body)
	for range 12 {
		dial(post(token, len(body)) + "TMB")
	}
	for i := range 3 * most {
		switch i % 3 {
		case 0:
			dial("") // says nothing
		case 1:
			dial("POST " + path + " HTTP/1.1\r\nHost: x\r\nX-Slow: ") // never ends its headers
		case 2:
			dial(post("Bearer x.y.z", protocol.MaxRequest)) // is told 401 and sends no body
		}
		if i%10 == 0 {
			deliver(2 + i)
		}
	}
	if n := h.Conns(); n > most {
		t.Errorf("%d connections are open, at most %d should be", n, most)
	}
	if n := runtime.NumGoroutine() - before; n > 5*most {
		t.Errorf("%d goroutines more than before", n)
	}
	// Of those with good tokens a few are read, the rest are told to come back.
	refused := dial(post(token, len(body)))
	refused.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, 64)
	if n, err := io.ReadAtLeast(refused, answer, 20); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 429") {
		t.Errorf("a fifth body of one device: %q, %v", answer[:n], err)
	}
	deliver(1000)
	big := dial("GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("x", 64<<10) + "\r\n\r\n")
	big.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.ReadAtLeast(big, answer, 20); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 431") {
		t.Errorf("headers of 64 KiB: %q, %v", answer[:n], err)
	}
}

// There is nothing to debug by: only the protocol's paths answer, and the program has no
// profiler in it. Prometheus's library brings expvar, whose variables stand on the default
// mux, which nothing here serves.
func TestNoDebugEndpoints(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{
		"/", "/debug", "/debug/", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests",
		"/metrics", "/status", "/v1", "/v1/", "/v1/lanes", "/v1/devices", "/v1/records", "/v1/health/full", "/index.db", "/keys/recipient.pem",
	} {
		s.wantProblem(s.do(http.MethodGet, path, "", "", nil), 404, protocol.ProblemRequest)
	}
	out, err := exec.Command("go", "list", "-deps", "tidemark/cmd/tidemark-archive").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if dep == "net/http/pprof" || dep == "golang.org/x/net/trace" {
			t.Errorf("the archive's program has %s in it", dep)
		}
	}
}
