package spool_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/spool"
)

// keysOf lists the data keys of what waits in a lane, and fails when a batch under a key
// that is new does not carry its header, or when a nonce is used twice.
func (w *world) keysOf(lane seal.Lane) []seal.KeyID {
	w.t.Helper()
	var out []seal.KeyID
	used := map[seal.KeyID]map[uint32]bool{}
	for _, b := range w.peek(lane) {
		if used[b.Key] == nil {
			used[b.Key] = map[uint32]bool{}
			out = append(out, b.Key)
			if b.KeyHeader == nil {
				w.t.Fatalf("batch %d begins a data key and does not carry it", b.Seq)
			}
		}
		if used[b.Key][b.Counter] {
			w.t.Fatalf("batch %d uses counter %d again", b.Seq, b.Counter)
		}
		used[b.Key][b.Counter] = true
		w.archive.Open(w.t, b) // fails when the key never came
	}
	return out
}

// clock opens the spool again under another clock.
func (w *world) clock(now func() time.Time) {
	w.t.Helper()
	w.s.Close()
	s, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive, Now: now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

// A data key serves for an hour by the device's clock and no longer, whichever way the
// clock jumps, and each lane has its own.
func TestKeyRotatesByTime(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	w.clock(func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		keys  int // so far
	}{
		{0, 1}, {59 * time.Minute, 1}, {time.Minute, 2}, {time.Minute, 2}, {-24 * time.Hour, 3}, {time.Minute, 3}, {10 * 365 * 24 * time.Hour, 4},
	} {
		now = now.Add(step.after)
		w.append(seal.Messages, 1, "x")
		if got := len(w.keysOf(seal.Messages)); got != step.keys {
			t.Fatalf("%d data keys at %s, want %d", got, now, step.keys)
		}
	}
	w.append(seal.Media, 1, "x")
	messages, media := w.keysOf(seal.Messages), w.keysOf(seal.Media)
	if len(media) != 1 || media[0] == messages[len(messages)-1] {
		t.Error("the lanes share a data key")
	}
}

// A data key seals 64 MiB and then another takes over.
func TestKeyRotatesBySize(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 15<<20) // six bits in each byte: about 11 MiB sealed
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[rng.IntN(64)]
	}
	sealed := 0
	for sealed < 64<<20 {
		if got := len(w.keysOf(seal.Messages)); sealed > 0 && got != 1 {
			t.Fatalf("%d data keys after %d bytes", got, sealed)
		}
		if err := w.s.Append(t.Context(), seal.Messages, spool.Records{NDJSON: append(noise, '\n'), Count: 1}); err != nil {
			t.Fatal(err)
		}
		batches := w.peek(seal.Messages)
		sealed += len(batches[len(batches)-1].Payload)
	}
	w.append(seal.Messages, 1, "x")
	if got := len(w.keysOf(seal.Messages)); got != 2 {
		t.Errorf("%d data keys after %d bytes", got, sealed)
	}
}
