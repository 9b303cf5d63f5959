package uploader

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader/archivetest"
)

// fakeNetwork runs an uploader in fake time over a network that is a function.
func fakeNetwork(t *testing.T, change func(*Options), network func(a *archivetest.Archive, r *http.Request) (*http.Response, error)) *world {
	t.Helper()
	id := seal.NewIdentity()
	archive := archivetest.New(t, "archive.test")
	archive.Devices[id.ID()] = id.Public()
	q := queues["memory"](t, id, archive.Keys.Archive)
	remote, err := NewRemote("https://archive.test", "test", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) { return network(archive, r) })})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Queue: q, Archive: archive.Keys.Archive, Identity: id, Remote: remote, Lanes: []seal.Lane{seal.Messages}, RetryFirst: time.Minute, RetryMax: time.Hour}
	if change != nil {
		change(&o)
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, id: id, queue: q, archive: archive, u: u, lane: u.lanes[0]}
}

func answerOf(a *archivetest.Archive, r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	return rec.Result()
}

// start runs the uploader until the test ends it.
func (w *world) start() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- w.u.Run(ctx) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Errorf("Run ended with %v", err)
		}
	}
}

// Promise: after a few failures in a row no batch is sent into the dark any more: a
// request without a body asks first, and the batches follow when it is answered.
func TestProbesBeforeItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		up, bodies, probes := false, 0, 0
		w := fakeNetwork(t, nil, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPost {
				bodies++
			} else {
				probes++
			}
			if !up {
				return nil, errors.New("no network")
			}
			return answerOf(a, r), nil
		})
		stop := w.start()
		w.append(3)
		time.Sleep(48 * time.Hour)
		mu.Lock()
		if bodies != probeAfter || probes < 20 {
			t.Errorf("%d requests with batches and %d without in two days without a network", bodies, probes)
		}
		up = true
		mu.Unlock()
		time.Sleep(2 * time.Hour)
		if w.waiting() != 0 || w.u.Status().State != StateIdle {
			t.Errorf("%d batches wait, %+v", w.waiting(), w.u.Status())
		}
		stop()
	})
}

// Promise: another network, or the end of a sleep, ends the pause after a failure of
// the network at once, and never one that the archive asked for.
func TestWake(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func() (*http.Response, error)
		wakes  bool
	}{
		{"no network", func() (*http.Response, error) { return nil, errors.New("no route") }, true},
		{"the archive asks for an hour", func() (*http.Response, error) {
			rec := httptest.NewRecorder()
			rec.Header().Set("Retry-After", "3600")
			rec.WriteHeader(http.StatusServiceUnavailable)
			return rec.Result(), nil
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				failing := true
				w := fakeNetwork(t, func(o *Options) { o.RetryFirst = 1000 * time.Hour; o.RetryMax = 1000 * time.Hour }, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					if failing {
						return c.answer()
					}
					return answerOf(a, r), nil
				})
				w.u.Wake() // a hint from before there was anything to wait for
				stop := w.start()
				w.append(1)
				synctest.Wait()
				mu.Lock()
				failing = false
				mu.Unlock()
				w.u.Wake()
				synctest.Wait()
				if delivered := w.waiting() == 0; delivered != c.wakes {
					t.Errorf("delivered at once: %v", delivered)
				}
				stop()
			})
		})
	}
}

// Promise: an archive that takes batches may still say when it wants the next ones.
func TestServerDirectedPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		w := fakeNetwork(t, func(o *Options) { o.RequestBytes = 1 }, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			resp := answerOf(a, r)
			resp.Header.Set("Retry-After", "30")
			return resp, nil
		})
		w.append(3)
		stop := w.start()
		time.Sleep(10 * time.Minute)
		stop()
		if len(at) != 3 || at[1].Sub(at[0]) != 30*time.Second || at[2].Sub(at[1]) != 30*time.Second {
			t.Errorf("requests at %v", at)
		}
	})
}

// Promise: while messages get through, media waits for them; when messages are stuck,
// media is not.
func TestMessagesBeforeMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		stuck := false
		var both pair
		w := fakeNetwork(t, func(o *Options) {
			o.RequestBytes, o.Lanes = 1, []seal.Lane{seal.Messages, seal.Media}
			both = pair{}
			for _, lane := range o.Lanes {
				both[lane] = &memory{t: t, id: o.Identity, archive: o.Archive, lane: lane, wake: make(chan struct{})}
			}
			o.Queue = both
		}, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
			lane := strings.Split(r.URL.Path, "/")[3]
			mu.Lock()
			order = append(order, lane)
			refuse := stuck && lane == "messages"
			mu.Unlock()
			if refuse {
				return nil, errors.New("no network")
			}
			time.Sleep(time.Second) // a slow link
			return answerOf(a, r), nil
		})
		fill := func(lane seal.Lane, n int) {
			for range n {
				if err := both[lane].Append(t.Context(), lane, spool.Records{NDJSON: []byte("{}\n"), Count: 1}); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(seal.Messages, 5)
		fill(seal.Media, 3)
		stop := w.start()
		time.Sleep(time.Hour)
		stop()
		first := slices.Index(order, "media")
		// The first media request may leave beside the first message: nobody knew of it yet.
		if rest := slices.Index(order[first+1:], "media"); len(order) != 8 || slices.Contains(order[first+1+rest:], "messages") {
			t.Errorf("order %v", order)
		}

		stuck, order = true, nil
		fill(seal.Messages, 1)
		fill(seal.Media, 2)
		stop = w.start()
		time.Sleep(time.Minute)
		mu.Lock()
		n := 0
		for _, lane := range order {
			if lane == "media" {
				n++
			}
		}
		mu.Unlock()
		if n != 2 {
			t.Errorf("%d of 2 media batches while messages are stuck: %v", n, order)
		}
		stop()
	})
}

// pair is a queue with both lanes.
type pair map[seal.Lane]*memory

func (q pair) Peek(l seal.Lane, n int) ([]*seal.Batch, error) { return q[l].Peek(l, n) }
func (q pair) Rechain(l seal.Lane, seq uint64, h seal.Hash) (bool, error) {
	return q[l].Rechain(l, seq, h)
}
func (q pair) Restart(l seal.Lane, seq uint64) (*seal.Restart, error) { return q[l].Restart(l, seq) }
func (q pair) Head(l seal.Lane) (uint64, seal.Hash)                   { return q[l].Head(l) }
func (q pair) Wait(l seal.Lane) <-chan struct{}                       { return q[l].Wait(l) }
func (q pair) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	r, err := seal.OpenReceipt(notes[0], q[seal.Messages].archive.ReceiptVerifier())
	if err != nil {
		return nil, err
	}
	return q[r.Lane].AckAll(notes)
}

// Promise: what leaves the device keeps under the ceiling, over all requests together.
func TestBandwidthCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ceiling = 64 << 10
		sent := 0
		w := fakeNetwork(t, nil, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			sent += len(body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			return answerOf(a, r), nil
		})
		w.u.opts.Remote.Limit(ceiling)
		w.appendLarge(20, 100<<10)
		began := time.Now()
		stop := w.start()
		for w.waiting() > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if pace := float64(sent) / time.Since(began).Seconds(); pace > 1.15*ceiling || pace < ceiling/2 {
			t.Errorf("%d bytes at %.0f bytes a second, the ceiling is %d", sent, pace, ceiling)
		}
		stop()
	})
}

// Promise: deliveries go through the configured proxy, with its login; without one, the
// state says what the proxy wants.
func TestProxy(t *testing.T) {
	for _, login := range []string{"anna:secret@", ""} {
		w := newWorld(t, queues["memory"], nil)
		w.server.Close()
		w.server = httptest.NewTLSServer(w.archive)
		t.Cleanup(w.server.Close)
		tunnels := 0
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("anna:secret")) {
				rw.Header().Set("Proxy-Authenticate", "Basic realm=\"office\"")
				http.Error(rw, "who are you?", http.StatusProxyAuthRequired)
				return
			}
			tunnels++
			up, err := net.Dial("tcp", r.Host)
			if err != nil {
				t.Error(err)
				return
			}
			down, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
			go func() { io.Copy(up, down); up.Close() }()
			io.Copy(down, up)
			down.Close()
		}))
		t.Cleanup(proxy.Close)
		client, err := NewClient("http://" + login + strings.TrimPrefix(proxy.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).TLSClientConfig = w.server.Client().Transport.(*http.Transport).TLSClientConfig
		if w.u.opts.Remote, err = NewRemote(w.server.URL, "test", client); err != nil {
			t.Fatal(err)
		}
		w.append(2)
		state := w.until()
		if login != "" {
			if state != "" || tunnels == 0 {
				t.Errorf("with a login: %q, %d tunnels", state, tunnels)
			}
			w.wantArchived(2)
			client.CloseIdleConnections()
			continue
		}
		if said := w.u.Status().Err; state != StateUnreachable || !strings.Contains(said, "wants a login") {
			t.Errorf("without a login: %q, %q", state, said)
		}
	}
	if _, err := NewClient("office"); err == nil {
		t.Error("a proxy without an address is taken")
	}
}

// Promise: HTTP/2 and IPv6 need no setting.
func TestHTTP2OverIPv6(t *testing.T) {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	w := newWorld(t, queues["memory"], nil)
	var protocols []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		protocols = append(protocols, r.Proto)
		w.archive.ServeHTTP(rw, r)
	}))
	server.Listener.Close()
	server.Listener, server.EnableHTTP2 = listener, true
	server.StartTLS()
	defer server.Close()
	client, err := NewClient("")
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	if w.u.opts.Remote, err = NewRemote(fmt.Sprintf("https://%s", listener.Addr()), "test", client); err != nil {
		t.Fatal(err)
	}
	w.append(2)
	if s := w.until(); s != "" {
		t.Fatalf("%+v", w.u.Status())
	}
	w.wantArchived(2)
	if len(protocols) == 0 || protocols[0] != "HTTP/2.0" {
		t.Errorf("spoken: %v", protocols)
	}
}

// drip gives one byte a minute, for ever.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Minute):
		p[0] = ' '
		return 1, nil
	}
}

func (d drip) Close() error { return nil }

// Promise: an answer that drips in for ever ends at the time limit, as a failure of the
// network, and nothing is let go of.
func TestSlowLoris(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fakeNetwork(t, nil, func(_ *archivetest.Archive, r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", Header: http.Header{"Content-Type": {"application/json"}}, Body: drip{r.Context()}, Request: r}, nil
		})
		w.append(1)
		began := time.Now()
		if s := w.step(); s != StateUnreachable {
			t.Errorf("state %q", s)
		}
		if took := time.Since(began); took > baseTimeout+time.Minute {
			t.Errorf("it took %v", took)
		}
		if w.waiting() != 1 {
			t.Error("the batch is gone")
		}
	})
}
