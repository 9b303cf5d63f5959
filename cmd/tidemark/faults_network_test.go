package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// A networkFault is what a relay does to one connection. n is a number of bytes.
type networkFault struct {
	name string
	do   func(r *relay, agent, archive *net.TCPConn, n int64)
}

// both copies in both directions, each through a filter, until one side ends.
func both(agent, archive net.Conn, up, down func(io.Writer, io.Reader)) {
	done := make(chan struct{}, 2)
	go func() { up(archive, agent); done <- struct{}{} }()
	go func() { down(agent, archive); done <- struct{}{} }()
	<-done
}

func pass(w io.Writer, r io.Reader) { io.Copy(w, r) }

func first(n int64) func(io.Writer, io.Reader) {
	return func(w io.Writer, r io.Reader) { io.CopyN(w, r, n) }
}

func slowly(w io.Writer, r io.Reader) {
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		if _, werr := w.Write(buf[:n]); err != nil || werr != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// flipped passes everything, with one bit of byte n another.
func flipped(at int64) func(io.Writer, io.Reader) {
	return func(w io.Writer, r io.Reader) {
		io.CopyN(w, r, at)
		one := make([]byte, 1)
		if _, err := io.ReadFull(r, one); err != nil {
			return
		}
		one[0] ^= 0x10
		w.Write(one)
		io.Copy(w, r)
	}
}

// swallow takes what comes and passes nothing on, for a while.
func swallow(_ io.Writer, r io.Reader) {
	if c, ok := r.(net.Conn); ok {
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
	}
	io.Copy(io.Discard, r)
}

// answering gives the agent's first request an answer of the relay's own.
func answering(answer string) func(*relay, *net.TCPConn, *net.TCPConn, int64) {
	return func(_ *relay, agent, _ *net.TCPConn, _ int64) {
		agent.Read(make([]byte, 4096))
		fmt.Fprint(agent, answer)
	}
}

func httpAnswer(status, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, headers, len(body), body)
}

var networkFaults = []networkFault{
	{"none", func(_ *relay, a, b *net.TCPConn, _ int64) { both(a, b, pass, pass) }},
	{"closed at once", func(*relay, *net.TCPConn, *net.TCPConn, int64) {}},
	{"reset at once", func(_ *relay, a, _ *net.TCPConn, _ int64) { a.SetLinger(0) }},
	{"request cut", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, first(n), pass) }},
	{"request cut with a reset to the archive", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, first(n), pass); b.SetLinger(0) }},
	{"request cut with a reset to the agent", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, first(n), pass); a.SetLinger(0) }},
	{"answer cut", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, pass, first(n%700)) }},
	{"answer cut with a reset", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, pass, first(n%700)); a.SetLinger(0) }},
	{"answer lost", func(_ *relay, a, b *net.TCPConn, _ int64) { both(a, b, pass, swallow) }},
	{"request lost", func(_ *relay, a, b *net.TCPConn, _ int64) { both(a, b, swallow, pass) }},
	{"slow both ways", func(_ *relay, a, b *net.TCPConn, _ int64) { both(a, b, slowly, slowly) }},
	{"slow answer", func(_ *relay, a, b *net.TCPConn, _ int64) { both(a, b, pass, slowly) }},
	{"late", func(_ *relay, a, b *net.TCPConn, n int64) {
		time.Sleep(time.Duration(n%900) * time.Millisecond)
		both(a, b, pass, pass)
	}},
	{"half closed by the agent's side", func(_ *relay, a, b *net.TCPConn, n int64) {
		both(a, b, func(w io.Writer, r io.Reader) { io.CopyN(w, r, n); b.CloseWrite(); time.Sleep(time.Second) }, pass)
	}},
	{"half closed by the archive's side", func(_ *relay, a, b *net.TCPConn, n int64) {
		both(a, b, pass, func(w io.Writer, r io.Reader) { io.CopyN(w, r, n%400); a.CloseWrite(); time.Sleep(time.Second) })
	}},
	{"a bit of the request flipped", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, flipped(n), pass) }},
	{"a bit of the answer flipped", func(_ *relay, a, b *net.TCPConn, n int64) { both(a, b, pass, flipped(n%1200)) }},
	{"request twice", func(_ *relay, a, b *net.TCPConn, _ int64) {
		// The same bytes on a second connection to the archive, whose answer nobody reads.
		second, err := net.Dial("tcp", b.RemoteAddr().String())
		if err != nil {
			return
		}
		defer second.Close()
		go io.Copy(io.Discard, second)
		both(a, b, func(w io.Writer, r io.Reader) { io.Copy(io.MultiWriter(second, w), r) }, pass)
	}},
	{"a captive portal", answering(httpAnswer("200 OK", "Content-Type: text/html\r\n", "<html>Welcome to the hotel</html>"))},
	{"a portal's redirect", answering(httpAnswer("302 Found", "Location: http://127.0.0.1:1/login\r\n", ""))},
	{"an empty success", answering(httpAnswer("200 OK", "Content-Type: application/json\r\n", "{}"))},
	{"a success of another kind", answering(httpAnswer("200 OK", "Content-Type: application/json\r\n", `{"receipts":["no note"]}`))},
	{"204", answering("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")},
	{"502", answering(httpAnswer("502 Bad Gateway", "", "gateway"))},
	{"503 with a pause", answering(httpAnswer("503 Service Unavailable", "Retry-After: 1\r\n", ""))},
	{"413", answering(httpAnswer("413 Content Too Large", "", ""))},
	{"407", answering(httpAnswer("407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=x\r\n", ""))},
	{"not HTTP", answering("SSH-2.0-OpenSSH_9.9\r\n")},
	{"an endless header", func(_ *relay, a, _ *net.TCPConn, _ int64) {
		fmt.Fprint(a, "HTTP/1.1 200 OK\r\n")
		for range 20000 {
			if _, err := fmt.Fprint(a, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"); err != nil {
				return
			}
		}
	}},
}

// relay stands between agent and archive and treats each connection to a fault.
type relay struct {
	listener net.Listener
	to       string // the archive's address

	mu    sync.Mutex
	rng   *rand.Rand
	calm  bool // no more faults
	seen  map[string]int
	conns map[net.Conn]bool
}

func newRelay(t testing.TB, seed uint64, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to, rng: rand.New(rand.NewPCG(seed, 7)), seen: map[string]int{}, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); r.hangUp() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c.(*net.TCPConn))
		}
	}()
	return r
}

func (r *relay) serve(agent *net.TCPConn) {
	defer agent.Close()
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	archive := up.(*net.TCPConn)
	defer archive.Close()
	r.mu.Lock()
	r.conns[agent], r.conns[archive] = true, true
	fault := networkFaults[r.rng.IntN(len(networkFaults))]
	if r.calm {
		fault = networkFaults[0]
	}
	n := r.rng.Int64N(6000)
	r.seen[fault.name]++
	r.mu.Unlock()
	fault.do(r, agent, archive, n)
	r.mu.Lock()
	delete(r.conns, agent)
	delete(r.conns, archive)
	r.mu.Unlock()
}

// hangUp ends every connection, so that the next request meets another fault.
func (r *relay) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *relay) settle() {
	r.mu.Lock()
	r.calm = true
	r.mu.Unlock()
	r.hangUp()
}

// Promises 1 to 3 of docs/reliability.md over a network that cuts, resets, delays,
// doubles, corrupts and answers in the archive's place: each connection meets one of
// many faults, until every fault has been met.
func TestFaultNetwork(t *testing.T) {
	s := newSite(t)
	s.serve()
	client := s.world.Chat("--rate", "30", "--recall", "0.03", "--recall-after", "3s")
	s.world.Ready(t.Context())
	s.configure("")
	s.enroll()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := newRelay(t, seed, s.addr)
	direct := s.addr
	s.addr = r.listener.Addr().String()
	s.configure("")
	s.addr = direct
	s.runAgent()
	met := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.seen)
	}
	s.wait("every fault has been met", func() bool {
		time.Sleep(150 * time.Millisecond)
		r.hangUp()
		if status := met(); status < len(networkFaults) {
			// A restart forgets the pauses, which grow to minutes, and finds the network anew.
			s.agent.kill()
			s.runAgent()
		}
		return met() == len(networkFaults)
	}, s.archive)
	client.Stop()
	r.settle()
	s.agent.kill()
	s.runAgent()
	before := s.records()
	s.world.Chat("--count", "10", "--rate", "0", "--recall", "0").Wait()
	s.wait("a fresh message still flows", func() bool { return s.records() >= before+10 }, s.agent, s.archive)
	s.stop(s.agent)
	s.must("tidemark", "once")
	s.stop(s.archive)
	s.compare("--grace", "1m")
	s.verify()
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("connections %v", r.seen)
}
