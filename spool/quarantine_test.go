package spool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// A batch that the archive refuses for good is set aside with the reason, the lane goes
// on behind it also when it carried the key of what follows, and replaying it brings its
// records to the archive once: through restarts, and when nothing stands behind it yet.
func TestQuarantine(t *testing.T) {
	for _, behind := range []int{0, 2} {
		t.Run(fmt.Sprint(behind, " batches behind"), func(t *testing.T) {
			w := newWorld(t)
			k := &keeper{a: w.archive, id: w.id, head: map[seal.Lane]*seal.Batch{}, records: map[string]int{}}
			w.append(seal.Messages, 1, "kept")
			k.deliver(t, w.s, seal.Messages)
			w.reopen() // another data key, whose header the refused batch carries
			w.append(seal.Messages, 2, "refused")
			for i := range behind {
				w.append(seal.Messages, 1, fmt.Sprint("behind ", i))
			}
			refused := w.peek(seal.Messages)[0]
			if _, err := w.s.Quarantine(seal.Messages, refused.Seq+1, "x"); err == nil {
				t.Error("another batch than the oldest was set aside")
			}
			q, err := w.s.Quarantine(seal.Messages, refused.Seq, "the archive refuses it: does not verify")
			if err != nil || q.Seq != refused.Seq || q.Records != 2 {
				t.Fatalf("%+v, %v", q, err)
			}
			listed, err := spool.ListQuarantined(w.path)
			if err != nil || len(listed) != 1 || listed[0].Reason != "the archive refuses it: does not verify" {
				t.Fatalf("%+v, %v", listed, err)
			}
			if raw, err := os.ReadFile(filepath.Join(filepath.Dir(w.path), "quarantine", q.File)); err != nil || !slices.Equal(raw, refused.Raw) {
				t.Errorf("not the batch's exact bytes: %v", err)
			}
			w.append(seal.Messages, 1, "later")
			w.reopen()
			w.append(seal.Messages, 1, "later still")
			k.deliver(t, w.s, seal.Messages)
			if len(k.records) != 3+behind || k.restarts != 1 {
				t.Errorf("%v, %d restarts", k.records, k.restarts)
			}

			if err := w.s.Replay(listed[0]); err != nil {
				t.Fatal(err)
			}
			w.reopen()
			k.deliver(t, w.s, seal.Messages)
			if k.records["{\"text\":\"refused\"}\n"] != 2 || len(k.records) != 4+behind {
				t.Errorf("after the replay: %v", k.records)
			}
			if listed, err := spool.ListQuarantined(w.path); err != nil || len(listed) != 0 {
				t.Errorf("still in quarantine: %+v, %v", listed, err)
			}
			if s, err := w.s.Stats(); err != nil || s.Bytes != 0 || s.Lanes["messages"].Batches != 0 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// What is altered in the quarantine is not replayed, and says so.
func TestReplayVerifies(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "refused")
	q, err := w.s.Quarantine(seal.Messages, 1, "x")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(filepath.Dir(w.path), "quarantine", q.File)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Replay(*q); err == nil {
		t.Error("an altered batch was replayed")
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}
