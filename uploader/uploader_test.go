package uploader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/uploader/archivetest"
)

// answer is a fixed answer to every request, the key document's included.
func answer(status int, contentType, body string, headers ...string) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

func problemAnswer(status int, p protocol.Problem) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path == protocol.PathArchive {
			return false
		}
		archivetest.WriteProblem(w, status, p)
		return true
	}
}

// Promise: whatever answers instead of the archive, and however, no batch leaves the
// queue, the state names what is wrong, and once the archive answers again every
// batch is there exactly once, in order.
func TestNothingLeavesWithoutReceipt(t *testing.T) {
	html := "<html><body>Please sign in</body></html>"
	sealHash := strings.Repeat("ab", 32)
	cases := []struct {
		name   string
		meddle func(w *world, a *archivetest.Archive)
		want   State
		text   string // in the state's words
	}{
		{"captive portal answers 200 with its page", func(w *world, a *archivetest.Archive) { a.Intercept = answer(200, "text/html", html) }, StateNotArchive, "not an archive's"},
		{"page that calls itself JSON", func(w *world, a *archivetest.Archive) { a.Intercept = answer(200, "application/json", html) }, StateNotArchive, "not of the protocol"},
		{"empty 200", func(w *world, a *archivetest.Archive) { a.Intercept = answer(200, "application/json", "") }, StateNotArchive, ""},
		{"JSON of something else", func(w *world, a *archivetest.Archive) { a.Intercept = answer(200, "application/json", `{"ok":true}`) }, StateNotArchive, "no receipt"},
		{"204 without a body", func(w *world, a *archivetest.Archive) {
			a.Intercept = func(w http.ResponseWriter, r *http.Request, _ []byte) bool { w.WriteHeader(204); return true }
		}, StateNotArchive, ""},
		{"redirect to a portal is not followed", func(w *world, a *archivetest.Archive) {
			a.Intercept = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if r.URL.Path == "/login" {
					a.T.Error("redirect followed")
				}
				http.Redirect(w, r, "/login", http.StatusTemporaryRedirect)
				return true
			}
		}, StateNotArchive, "redirect"},
		{"redirect to another host is not followed", func(w *world, a *archivetest.Archive) {
			a.Intercept = answer(302, "text/html", html, "Location", "http://portal.invalid/x")
		}, StateNotArchive, "portal.invalid"},
		{"404 of another server", func(w *world, a *archivetest.Archive) { a.Intercept = answer(404, "text/html", html) }, StateNotArchive, "404"},
		{"answer without end", func(w *world, a *archivetest.Archive) {
			a.Intercept = answer(200, "application/json", `{"receipts":["`+strings.Repeat("x", maxAnswer)+`"]}`)
		}, StateNotArchive, "more than"},
		{"another archive with its own keys", func(w *world, a *archivetest.Archive) {
			other := archivetest.NewKeys(a.T, "archive.test")
			a.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
				if r.URL.Path == protocol.PathArchive {
					rw.Write(other.Document)
				} else {
					b, _ := w.queue.Peek(seal.Messages, 1)
					archivetest.WriteReceipts(rw, []string{archivetest.Receipt(a.T, b[0], other)})
				}
				return true
			}
		}, StateNotArchive, "another archive"},
		{"something on the way answers deliveries only", func(w *world, a *archivetest.Archive) {
			page := answer(200, "text/html", html)
			a.Intercept = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
				return r.URL.Path != protocol.PathArchive && page(w, r, b)
			}
		}, StateNotArchive, "the archive is there"},
		{"receipt with one letter changed", func(w *world, a *archivetest.Archive) {
			a.After = func(r []string) []string { return []string{strings.Replace(r[0], "\nlog ", "\nlog 9", 1)} }
		}, StateNotArchive, "receipt"},
		{"receipt for another batch", func(w *world, a *archivetest.Archive) {
			a.After = func(r []string) []string { return r[1:] }
		}, StateNotArchive, "receipt"},
		{"receipts are no notes", func(w *world, a *archivetest.Archive) {
			a.After = func([]string) []string { return []string{"thanks"} }
		}, StateNotArchive, "receipt"},
		{"busy", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(503, protocol.Problem{Type: protocol.ProblemBusy, Title: "later"})
		}, StateBusy, "later"},
		{"archive's disk is full", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(507, protocol.Problem{Type: protocol.ProblemFailed, Title: "no space"})
		}, StateBusy, "no space"},
		{"gateway without archive", func(w *world, a *archivetest.Archive) { a.Intercept = answer(502, "text/html", html) }, StateUnreachable, "502"},
		{"proxy wants a password", func(w *world, a *archivetest.Archive) { a.Intercept = answer(407, "text/html", html) }, StateUnreachable, "407"},
		{"device revoked", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(401, protocol.Problem{Type: protocol.ProblemToken, Title: "not enrolled"})
		}, StateNotEnrolled, "not enrolled"},
		{"batch refused for good", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(422, protocol.Problem{Type: protocol.ProblemBatch, Title: "refused"})
		}, StateRefused, "refused"},
		{"one batch is too large", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(413, protocol.Problem{Type: protocol.ProblemTooLarge, Title: "too large"})
		}, StateRefused, "too large"},
		{"clock refused again after it was corrected", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(401, protocol.Problem{Type: protocol.ProblemClock, Title: "clock"})
		}, StateNotArchive, "clock"},
		{"archive ahead of all this device made", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(409, protocol.Problem{Type: protocol.ProblemHead, Head: &protocol.Head{Seq: 99, Hash: sealHash}})
		}, StateFork, "batch 99"},
		{"archive has another batch of the same number", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(409, protocol.Problem{Type: protocol.ProblemHead, Head: &protocol.Head{Seq: 2, Hash: sealHash}})
		}, StateFork, "batch 2"},
		{"archive refuses although the heads agree", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(409, protocol.Problem{Type: protocol.ProblemHead, Head: &protocol.Head{}})
		}, StateFork, "does not take batch 1"},
		{"head problem without a head", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(409, protocol.Problem{Type: protocol.ProblemHead})
		}, StateFork, "does not say"},
		{"unknown problem of a later protocol", func(w *world, a *archivetest.Archive) {
			a.Intercept = problemAnswer(400, protocol.Problem{Type: "urn:tidemark:problem:novel", Title: "novel"})
		}, StateNotArchive, "novel"},
		{"connection closed before the answer", func(w *world, a *archivetest.Archive) {
			a.Intercept = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { panic(http.ErrAbortHandler) }
		}, StateUnreachable, ""},
		{"connection closed in the middle of the answer", func(w *world, a *archivetest.Archive) {
			a.Intercept = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Header().Set("Content-Type", protocol.TypeJSON)
				w.Header().Set("Content-Length", "1000")
				io.WriteString(w, `{"receipts":[`)
				panic(http.ErrAbortHandler)
			}
		}, StateUnreachable, ""},
	}
	for name, makeQueue := range queues {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				w := newWorld(t, makeQueue, nil)
				w.append(3)
				w.set(func(a *archivetest.Archive) { c.meddle(w, a) })
				state := w.until()
				if state != c.want {
					t.Errorf("state %q (%s), want %q", state, w.lane.snapshot().Err, c.want)
				}
				s := w.lane.snapshot()
				if s.State != c.want || !strings.Contains(s.Err, c.text) || s.Attempt == 0 || s.NextRetry.IsZero() {
					t.Errorf("status %+v, want state %q and words %q", s, c.want, c.text)
				}
				if n := w.waiting(); n != 3 {
					t.Fatalf("%d batches wait, want all 3", n)
				}
				w.set(func(a *archivetest.Archive) { a.Intercept, a.After = nil, nil })
				if state := w.until(); state != "" {
					t.Fatalf("after the trouble: %q", state)
				}
				w.wantArchived(3)
				if s := w.lane.snapshot(); s.Err != "" || s.Attempt != 0 || s.LastReceipt.IsZero() || s.Delivered != 3 || !s.State.OK() {
					t.Errorf("status after recovery %+v", s)
				}
			})
		}
	}
}

// Promise: an answer lost after the archive kept the batches costs a resend: the
// archive repeats its receipts, nothing is there twice.
func TestLostAnswer(t *testing.T) {
	for name, makeQueue := range queues {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, makeQueue, nil)
			w.append(4)
			w.set(func(a *archivetest.Archive) { a.After = func([]string) []string { panic(http.ErrAbortHandler) } })
			if state := w.until(); state != StateUnreachable {
				t.Fatalf("state %q", state)
			}
			w.wantArchived(4)
			w.append(2)
			w.set(func(a *archivetest.Archive) { a.After = nil })
			if state := w.until(); state != "" {
				t.Fatalf("state %q", state)
			}
			w.wantArchived(6)
		})
	}
}

// Promise: an archive that answers a resend with its head instead of receipts gets
// the batches one by one, and each receipt is taken; only when that fails too is it
// a fork.
func TestHeadDisagreementIsResolvedOneByOne(t *testing.T) {
	for name, makeQueue := range queues {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, makeQueue, nil)
			w.append(4)
			w.set(func(a *archivetest.Archive) {
				a.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
					first, err := seal.ReadBatch(strings.NewReader(string(body)))
					if err != nil || len(first.Raw) == len(body) {
						return false // one batch: as the protocol says
					}
					head := a.Head(w.id.ID(), seal.Messages)
					archivetest.WriteProblem(rw, 409, protocol.Problem{Type: protocol.ProblemHead, Head: &head})
					return true
				}
			})
			if state := w.step(); state != "" {
				t.Fatalf("state %q", state)
			}
			if state := w.step(); state != "" {
				t.Fatalf("state %q (%s)", state, w.lane.snapshot().Err)
			}
			if n := w.waiting(); n != 3 {
				t.Fatalf("%d batches wait, want 3", n)
			}
		})
	}
}

// Promise: batches acknowledged for a part of the request leave, the others stay and
// are sent again.
func TestFewerReceiptsThanBatches(t *testing.T) {
	for name, makeQueue := range queues {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, makeQueue, nil)
			w.append(5)
			w.set(func(a *archivetest.Archive) {
				a.After = func(r []string) []string { a.After = nil; return append(r[:2:2], "not a receipt") }
			})
			if state := w.step(); state != "" || w.waiting() != 3 {
				t.Fatalf("state %q, %d wait; want 3", state, w.waiting())
			}
			if state := w.until(); state != "" {
				t.Fatalf("state %q", state)
			}
			w.wantArchived(5)
		})
	}
}

// Promise: an archive restored to an earlier state, whose receipts this device holds,
// loses nothing more: the chain goes on behind its head, on the device's signed word.
// Where the queue can not do that, all is kept, and asked about at the slowest pace.
func TestArchiveBehind(t *testing.T) {
	for name, makeQueue := range queues {
		t.Run(name, func(t *testing.T) {
			forks := 0
			w := newWorld(t, makeQueue, func(o *Options) { o.Forked = func() { forks++ } })
			w.append(3)
			if state := w.until(); state != "" {
				t.Fatal(state)
			}
			w.set(func(a *archivetest.Archive) { a.Kept = a.Kept[:1] })
			w.append(2)
			state := w.until()
			if name == "spool" {
				if state != "" || w.waiting() != 0 || forks != 1 {
					t.Fatalf("state %q, %d wait, %d forks", state, w.waiting(), forks)
				}
				w.set(func(a *archivetest.Archive) {
					if len(a.Restarts) != 1 || a.Restarts[0].First != 4 || a.Restarts[0].Reason != seal.Forked || a.Restarts[0].ReceiptSeq != 3 {
						t.Errorf("restarts %+v", a.Restarts)
					}
				})
				return
			}
			if state != StateFork || w.waiting() != 2 {
				t.Fatalf("state %q, %d wait", state, w.waiting())
			}
			if s := w.lane.snapshot(); !strings.Contains(s.Err, "behind") {
				t.Errorf("words %q", s.Err)
			}
			if s := w.lane.snapshot(); s.NextRetry.IsZero() || w.lane.pace.intervals.NextBackOff() != w.u.opts.RetryMax {
				t.Errorf("a fork is not retried at the slowest pace")
			}
		})
	}
}

// Promise: a device whose clock is wrong by a day delivers at the second request,
// with the archive's clock, and keeps using it.
func TestClockIsCorrectedFromDate(t *testing.T) {
	for _, offset := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(offset.String(), func(t *testing.T) {
			w := newWorld(t, queues["spool"], nil)
			w.set(func(a *archivetest.Archive) { a.Clock = func() time.Time { return time.Now().Add(offset) } })
			w.append(2)
			if state := w.until(); state != "" {
				t.Fatalf("state %q: %s", state, w.lane.snapshot().Err)
			}
			w.append(1)
			if state := w.until(); state != "" {
				t.Fatalf("state %q", state)
			}
			w.wantArchived(3)
			if w.archive.Requests != 3 { // refused, accepted, accepted
				t.Errorf("%d requests, want 3", w.archive.Requests)
			}
		})
	}
}

// Promise: a request too large for something on the way is made smaller until it
// passes, by bytes or by number of batches, and stays small: once it has passed no
// request is refused again.
func TestTooLargeIsMadeSmaller(t *testing.T) {
	for name, fill := range map[string]func(w *world){
		"many tiny batches":  func(w *world) { w.append(40) },
		"some large batches": func(w *world) { w.appendLarge(40, 60<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, queues["spool"], nil)
			fill(w)
			limit, refused, passed := 0, 0, false
			w.set(func(a *archivetest.Archive) {
				a.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
					if limit == 0 {
						limit = len(body) / 3
					}
					if passed = passed || len(body) <= limit; len(body) <= limit {
						return false
					}
					if passed {
						t.Errorf("request of %d bytes after smaller ones passed", len(body))
					}
					refused++
					rw.WriteHeader(http.StatusRequestEntityTooLarge) // a proxy: no problem document
					return true
				}
			})
			if state := w.until(); state != "" {
				t.Fatalf("state %q: %s", state, w.lane.snapshot().Err)
			}
			w.wantArchived(40)
			if refused == 0 {
				t.Error("nothing was refused: the test shows nothing")
			}
		})
	}
}

// Promise: both forms of Retry-After are honoured, dates by the answer's own clock,
// and neither silences the device for more than an hour.
func TestRetryAfter(t *testing.T) {
	answered := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header string
		want   time.Duration // that next waits at least
	}{
		{"120", 120 * time.Second},
		{answered.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{answered.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"0", 0}, {"", 0}, {"soon", 0}, {"-5", 0},
		{"999999999", time.Hour}, {"99999999999999999999", 0},
		{answered.Add(1000 * time.Hour).Format(http.TimeFormat), time.Hour},
	} {
		p := newPace(time.Second, time.Minute)
		if got := p.next(retryAfter(c.header, answered)); got < c.want || got > c.want+time.Second {
			t.Errorf("Retry-After %q: wait %v, want %v and at most a second of jitter", c.header, got, c.want)
		}
	}
	for _, status := range []int{429, 503} {
		w := newWorld(t, queues["memory"], nil)
		w.append(1)
		w.set(func(a *archivetest.Archive) {
			a.Intercept = answer(status, "text/plain", "later", "Retry-After", "1000")
		})
		before := time.Now()
		if state := w.step(); state != StateBusy {
			t.Errorf("%d: state %q", status, state)
		}
		if s := w.lane.snapshot(); s.NextRetry.Before(before.Add(1000 * time.Second)) {
			t.Errorf("%d: next attempt at %v, want 1000 s later", status, s.NextRetry)
		}
	}
}

// Promise: intervals double from 500 ms to 5 minutes, never end, and each wait is
// drawn from the whole interval.
func TestPaceIsFullJitter(t *testing.T) {
	p := newPace(500*time.Millisecond, 5*time.Minute)
	limit := 500 * time.Millisecond
	low, high := false, false
	for range 2000 {
		d := p.next(0)
		if d < 0 || d > limit {
			t.Fatalf("wait %v outside 0 to %v", d, limit)
		}
		low, high = low || d < limit/10, high || d > limit*9/10
		limit = min(2*limit, 5*time.Minute)
	}
	if !low || !high {
		t.Errorf("2000 waits never came near both ends: low %t high %t", low, high)
	}
	p.reset()
	if d := p.next(0); d > 500*time.Millisecond {
		t.Errorf("after reset: %v", d)
	}
}

// transport is a network made of a function, for tests in fake time.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Promise: while backing off, an append does not bring the next attempt forward; at
// rest, it starts a delivery at once.
func TestAppendWakesOnlyAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := seal.NewIdentity()
		archive := archivetest.New(t, "archive.test")
		archive.Devices[id.ID()] = id.Public()
		q := queues["memory"](t, id, archive.Keys.Archive)
		var up atomic.Bool
		var attempts atomic.Int32
		remote, err := NewRemote("https://archive.test", "test", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			attempts.Add(1)
			if !up.Load() {
				return nil, errors.New("no network")
			}
			rec := httptest.NewRecorder()
			archive.ServeHTTP(rec, r)
			return rec.Result(), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		u, err := New(Options{Queue: q, Archive: archive.Keys.Archive, Identity: id, Remote: remote, Lanes: []seal.Lane{seal.Messages}, RetryFirst: time.Hour, RetryMax: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, id: id, queue: q, archive: archive, u: u, lane: u.lanes[0]}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- u.Run(ctx) }()

		w.append(1)
		synctest.Wait()
		if attempts.Load() != 1 {
			t.Fatalf("%d attempts, want one at once", attempts.Load())
		}
		retry := u.Status().Lanes[0].NextRetry
		for time.Until(retry) > time.Second {
			w.append(1)
			synctest.Wait()
			if attempts.Load() != 1 {
				t.Fatalf("an append brought the attempt forward by %v", time.Until(retry))
			}
			time.Sleep(time.Until(retry) / 2)
		}
		up.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := w.waiting(); n != 0 {
			t.Fatalf("%d batches wait after the network came back", n)
		}
		now := time.Now()
		w.append(1)
		synctest.Wait()
		if w.waiting() != 0 || !time.Now().Equal(now) {
			t.Error("an append at rest was not delivered at once")
		}
		if s := u.Status(); s.State != StateIdle {
			t.Errorf("state %q", s.State)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// Promise: a server that takes the request and never answers is the state
// "unreachable" after the time limits, not a lane that hangs.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := seal.NewIdentity()
		keys := archivetest.NewKeys(t, "archive.test")
		q := queues["memory"](t, id, keys.Archive)
		remote, err := NewRemote("https://archive.test", "test", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		u, err := New(Options{Queue: q, Archive: keys.Archive, Identity: id, Remote: remote, Lanes: []seal.Lane{seal.Messages}})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, queue: q, lane: u.lanes[0]}
		w.append(1)
		if state := w.step(); state != StateUnreachable {
			t.Errorf("state %q", state)
		}
	})
}

// Promise: Drain returns nil only when the queue is empty, tries again where waiting
// may help, and otherwise says at once in which state it left what is there.
func TestDrain(t *testing.T) {
	for name, makeQueue := range queues {
		fast := func(o *Options) { o.RetryFirst, o.RetryMax = time.Microsecond, time.Microsecond }
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, makeQueue, fast)
			w.append(30)
			fails := 2
			w.set(func(a *archivetest.Archive) {
				a.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
					fails--
					return fails >= 0 && answer(503, "text/plain", "")(rw, r, body)
				}
			})
			if err := w.u.Drain(context.Background()); err != nil || w.waiting() != 0 {
				t.Fatalf("Drain: %v, %d wait", err, w.waiting())
			}
			w.append(2)
			w.set(func(a *archivetest.Archive) { a.Requests, a.Intercept = 0, answer(200, "text/html", "portal") })
			err := w.u.Drain(context.Background())
			if !errors.Is(err, ErrUndelivered) || !strings.Contains(err.Error(), string(StateNotArchive)) || w.archive.Requests != 1 {
				t.Errorf("Drain in front of a portal: %v after %d requests", err, w.archive.Requests)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := w.u.Drain(ctx); !errors.Is(err, ErrUndelivered) {
				t.Errorf("Drain without time: %v", err)
			}
			if w.waiting() != 2 {
				t.Errorf("%d wait, want 2", w.waiting())
			}
		})
	}
}

// Promise: with several goroutines at work, what is appended while Run runs arrives
// exactly once, in order, through an archive that fails every third request.
func TestRunDelivers(t *testing.T) {
	for name, makeQueue := range queues {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, makeQueue, func(o *Options) { o.RetryFirst, o.RetryMax = time.Microsecond, time.Microsecond })
			n := 0
			w.set(func(a *archivetest.Archive) {
				a.Intercept = func(rw http.ResponseWriter, r *http.Request, body []byte) bool {
					n++
					return n%3 == 0 && answer(500, "text/plain", "")(rw, r, body)
				}
				odd := 0
				a.After = func(r []string) []string {
					if odd++; odd%3 == 0 {
						panic(http.ErrAbortHandler) // kept, and the answer lost
					}
					return r
				}
			})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- w.u.Run(ctx) }()
			const total = 60
			for range total {
				w.append(1)
			}
			w.archive.WaitKept(func(kept []*seal.Batch) bool { return len(kept) == total })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("Run: %v", err)
			}
			w.wantArchived(total)
			for w.waiting() > 0 { // receipts whose answers were lost or that the end cut short
				w.until()
			}
		})
	}
}

// Promise: a failure is logged once when it begins and once when it ends, and
// nothing that a stranger's answer holds can break a log line or a status.
func TestLogIsQuietAndClean(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, queues["memory"], func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.append(1)
	w.set(func(a *archivetest.Archive) {
		a.Intercept = problemAnswer(503, protocol.Problem{Type: protocol.ProblemBusy, Title: "a\nb\x1b[31m" + strings.Repeat("長", 5000)})
	})
	for range 5 {
		w.step()
	}
	w.set(func(a *archivetest.Archive) { a.Intercept = nil })
	w.step()
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("%d log lines, want 2:\n%s", lines, log.String())
	}
	w.set(func(a *archivetest.Archive) {
		a.Intercept = problemAnswer(503, protocol.Problem{Type: protocol.ProblemBusy, Title: "a\nb\x1b[31m" + strings.Repeat("長", 5000)})
	})
	w.append(1)
	w.step()
	if e := w.lane.snapshot().Err; len(e) > 300 || strings.ContainsAny(e, "\n\x1b") {
		t.Errorf("status text of %d bytes: %.60q", len(e), e)
	}
}

// Promise: an address that would send tokens elsewhere than meant is refused.
func TestNewRemoteRefuses(t *testing.T) {
	for _, address := range []string{"", "archive.example.com", "ftp://a", "https://user:pw@a", "https://a?x=1", "https://a#f", "https://"} {
		if _, err := NewRemote(address, "test", nil); err == nil {
			t.Errorf("%q accepted", address)
		}
	}
	for _, address := range []string{"https://a", "https://a:8443/tidemark/", "http://127.0.0.1:80"} {
		if _, err := NewRemote(address, "test", nil); err != nil {
			t.Errorf("%q refused: %v", address, err)
		}
	}
}

// Promise: the worst lane gives the state of the whole.
func TestStatusIsTheWorstLane(t *testing.T) {
	w := newWorld(t, queues["memory"], func(o *Options) { o.Lanes = nil })
	w.u.lanes[1].failed(&Failure{State: StateFork, Err: fmt.Errorf("x")})
	w.u.lanes[0].failed(&Failure{State: StateBusy, Err: fmt.Errorf("y")})
	if s := w.u.Status(); s.State != StateFork || s.Err != "x" || len(s.Lanes) != 2 {
		t.Errorf("%+v", s)
	}
}
