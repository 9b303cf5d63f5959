package uploader

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader/archivetest"
)

// queue is what the tests need of a queue beside what the uploader needs.
type queue interface {
	Queue
	Append(ctx context.Context, lane seal.Lane, r spool.Records, c ...spool.Cursor) error
	Close() error
}

// queues are the queues that every delivery test runs with. What holds for the
// memory queue holds for the spool, so tests that need fake time may use it.
var queues = map[string]func(t *testing.T, id *seal.Identity, a *seal.Archive) queue{
	"spool": func(t *testing.T, id *seal.Identity, a *seal.Archive) queue {
		s, err := spool.Open(filepath.Join(t.TempDir(), "spool.db"), spool.Options{Identity: id, Archive: a})
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
	"memory": func(t *testing.T, id *seal.Identity, a *seal.Archive) queue {
		return &memory{t: t, id: id, archive: a, lane: seal.Messages, wake: make(chan struct{})}
	},
}

// memory is a queue of one lane that fails the test when it is asked to let
// go of a batch without the archive's receipt.
type memory struct {
	t       *testing.T
	id      *seal.Identity
	archive *seal.Archive
	lane    seal.Lane

	mu      sync.Mutex
	batches []*seal.Batch
	last    *seal.Batch
	wake    chan struct{}
}

func (m *memory) Append(_ context.Context, lane seal.Lane, r spool.Records, _ ...spool.Cursor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := seal.Header{Lane: lane, Device: m.id.ID(), Seq: 1, Sealed: time.Now(), Records: uint32(r.Count)}
	if m.last != nil {
		h.Seq, h.Previous = m.last.Seq+1, m.last.Hash()
	}
	b, err := seal.NewBatch(m.id, h, nil, append(make([]byte, 16), r.NDJSON...)) // nobody opens it
	if err != nil {
		return err
	}
	m.batches, m.last = append(m.batches, b), b
	close(m.wake)
	m.wake = make(chan struct{})
	return nil
}

func (m *memory) Peek(lane seal.Lane, maxBytes int) ([]*seal.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*seal.Batch
	for _, b := range m.batches {
		if lane != m.lane || (len(out) > 0 && maxBytes < len(b.Raw)) {
			break
		}
		maxBytes -= len(b.Raw)
		out = append(out, b)
	}
	return out, nil
}

func (m *memory) AckAll(notes [][]byte) ([]*seal.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*seal.Receipt
	for _, n := range notes {
		r, err := seal.OpenReceipt(n, m.archive.ReceiptVerifier())
		if err != nil {
			m.t.Errorf("receipt that does not verify reached the queue: %v", err)
			return nil, err
		}
		for i, b := range m.batches {
			if r.Covers(b) == nil {
				m.batches = slices.Delete(m.batches, i, i+1)
				break
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// Rechain can't: a memory's forks stay.
func (m *memory) Rechain(seal.Lane, uint64, seal.Hash) (bool, error) { return false, nil }

func (m *memory) Restart(seal.Lane, uint64) (*seal.Restart, error) { return nil, nil }

func (m *memory) Head(seal.Lane) (uint64, seal.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return 0, seal.Hash{}
	}
	return m.last.Seq, m.last.Hash()
}

func (m *memory) Wait(seal.Lane) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wake
}

func (m *memory) Close() error { return nil }

// world is a device with a queue, and an archive.
type world struct {
	t       *testing.T
	id      *seal.Identity
	queue   queue
	archive *archivetest.Archive
	server  *httptest.Server
	u       *Uploader
	lane    *lane
}

func newWorld(t *testing.T, makeQueue func(*testing.T, *seal.Identity, *seal.Archive) queue, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, id: seal.NewIdentity()}
	w.archive = archivetest.New(t, "archive.test")
	w.archive.Devices[w.id.ID()] = w.id.Public()
	w.queue = makeQueue(t, w.id, w.archive.Keys.Archive)
	t.Cleanup(func() { w.queue.Close() })
	w.server = httptest.NewServer(w.archive)
	t.Cleanup(w.server.Close)
	remote, err := NewRemote(w.server.URL, "test", w.server.Client())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Queue: w.queue, Archive: w.archive.Keys.Archive, Identity: w.id, Remote: remote, Lanes: []seal.Lane{seal.Messages}}
	if change != nil {
		change(&o)
	}
	if w.u, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.lane = w.u.lanes[0]
	return w
}

// append fills the queue with n batches that differ.
func (w *world) append(n int) {
	w.t.Helper()
	for range n {
		seq, _ := w.queue.Head(seal.Messages)
		line := fmt.Sprintf("{\"n\":%s}\n", strconv.FormatUint(seq+1, 10))
		if err := w.queue.Append(context.Background(), seal.Messages, spool.Records{NDJSON: []byte(line), Count: 1}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// appendLarge fills the queue with n batches of about size bytes each.
func (w *world) appendLarge(n, size int) {
	w.t.Helper()
	for range n {
		random := make([]byte, size*3/4)
		rand.Read(random)
		line := base64.StdEncoding.EncodeToString(random) + "\n"
		if err := w.queue.Append(context.Background(), seal.Messages, spool.Records{NDJSON: []byte(line), Count: 1}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// step makes one step as run does and returns the failure's state, or "".
func (w *world) step() State {
	w.t.Helper()
	out, err := w.lane.step(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if out.fail != nil {
		w.lane.failed(out.fail)
		return out.fail.State
	}
	if out.acked == 0 && !out.again {
		w.lane.idle()
	}
	return ""
}

// until steps until a step fails or the queue is empty, at most 40 times.
func (w *world) until() State {
	w.t.Helper()
	for range 40 {
		if s := w.step(); s != "" {
			return s
		}
		if w.waiting() == 0 {
			return ""
		}
	}
	w.t.Fatal("40 requests and no end")
	return ""
}

func (w *world) waiting() int {
	w.t.Helper()
	b, err := w.queue.Peek(seal.Messages, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(b)
}

// set changes the archive's behaviour.
func (w *world) set(f func(a *archivetest.Archive)) { w.archive.Do(func() { f(w.archive) }) }

// wantArchived checks that the archive keeps n batches, each once, in order: numbers 1 to
// n, or from another number on behind a restart.
func (w *world) wantArchived(n int) {
	w.t.Helper()
	w.archive.Do(func() {
		if len(w.archive.Kept) != n {
			w.t.Fatalf("archive keeps %d batches, want %d", len(w.archive.Kept), n)
		}
		first := uint64(1)
		if len(w.archive.Restarts) > 0 {
			first = w.archive.Restarts[0].First
		}
		for i, b := range w.archive.Kept {
			if b.Seq != first+uint64(i) {
				w.t.Fatalf("batch %d of the archive has number %d", i+1, b.Seq)
			}
		}
	})
}
