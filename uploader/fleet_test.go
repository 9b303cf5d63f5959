package uploader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader/archivetest"
)

// switched is the way to an archive that may be down. It counts requests by the second.
type switched struct {
	archive http.Handler
	began   time.Time

	mu      sync.Mutex
	down    bool
	seconds map[int]int
}

var errDown = errors.New("connection refused")

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.seconds[int(time.Since(s.began)/time.Second)]++
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errDown
	}
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Body, in.RequestURI = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI()
	s.archive.ServeHTTP(w, in)
	return w.Result(), nil
}

// peak is the busiest second of [from, to), and all requests of that time.
func (s *switched) peak(from, to time.Duration) (most, sum int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sec, n := range s.seconds {
		if sec >= int(from/time.Second) && sec < int(to/time.Second) {
			most, sum = max(most, n), sum+n
		}
	}
	return most, sum
}

// Promise: a fleet whose archive was away for an hour does not fall upon it when it is
// back: of 1,000 devices that all have something to deliver no more than 30 ask in any
// second, while it is down and afterwards, and within six minutes everything is there.
func TestFleetReturns(t *testing.T) {
	const devices, outage, patience = 1000, time.Hour, 6 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		archive := archivetest.New(t, "archive.test")
		way := &switched{archive: archive, began: time.Now(), down: true, seconds: map[int]int{}}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range devices {
			id := seal.NewIdentity()
			archive.Devices[id.ID()] = id.Public()
			queue := queues["memory"](t, id, archive.Keys.Archive)
			remote, err := NewRemote("http://archive.test", "test", &http.Client{Transport: way})
			if err != nil {
				t.Fatal(err)
			}
			u, err := New(Options{Queue: queue, Archive: archive.Keys.Archive, Identity: id, Remote: remote, Lanes: []seal.Lane{seal.Messages}})
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() { u.Run(ctx) })
			running.Go(func() {
				for range 4 { // in the first ten minutes, each at its own times
					time.Sleep(rand.N(150 * time.Second))
					if err := queue.Append(ctx, seal.Messages, spool.Records{NDJSON: []byte("{}\n"), Count: 1}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		kept := func() (n int) {
			archive.Do(func() { n = len(archive.Kept) })
			return n
		}
		time.Sleep(outage)
		if kept() != 0 {
			t.Fatal("the archive was not away")
		}
		way.mu.Lock()
		way.down = false
		way.mu.Unlock()
		returned := time.Now()
		for kept() < 4*devices && time.Since(returned) < patience {
			time.Sleep(time.Second)
		}
		all := time.Since(returned)
		stop()
		running.Wait()

		if n := kept(); n != 4*devices {
			t.Errorf("%d of %d batches after %v", n, 4*devices, all)
		}
		asking, sum := way.peak(outage/2, outage)
		back, delivering := way.peak(outage, outage+patience)
		t.Logf("while it is away %d requests a second at most, %.1f on average; back, %d at most, %d in all; everything is there after %v",
			asking, float64(sum)/(outage/2).Seconds(), back, delivering, all)
		const most = devices * 3 / 100
		if asking > most || back > most {
			t.Errorf("%d and %d requests in one second, want %d at most", asking, back, most)
		}
	})
}
