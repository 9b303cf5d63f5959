package collector_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tidemark/collector/simtest"
	"tidemark/record"
)

// running starts a collector and returns how to stop it and wait.
func (d *device) running() (stop func()) {
	c := d.collector()
	ctx, cancel := context.WithCancel(d.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// Whatever a live client writes, in each of its ways of checkpointing, is captured
// exactly once, unchanged and in order, recalls included.
func TestLive(t *testing.T) {
	for _, mode := range []string{"client", "never", "truncate"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := simtest.New(t)
			chat := w.Chat("--checkpoint", mode, "--rate", "150", "--count", "1500", "--recall", "0.05",
				"--recall-after", "400ms", "--checkpoint-after", checkpointAfter(mode))
			w.Ready(t.Context())
			d := newDevice(t, w)
			d.keys.set(w.Key())
			stop := d.running()
			chat.Wait()
			stop()
			d.once()                   // what was committed after the last pass
			d.compare("--grace", "1m") // a busy machine may see a recall first; TestRecall is strict
		})
	}
}

func checkpointAfter(mode string) string {
	if mode == "truncate" {
		return "100ms"
	}
	return "1s"
}

// A first run takes the whole history by several goroutines, and a second run takes
// nothing again.
func TestHistory(t *testing.T) {
	w := simtest.New(t)
	w.Make(30_000, 20)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.once()
	d.compare()
	before := len(d.all())
	d.once()
	if after := len(d.all()); after != before {
		t.Errorf("a second run captured %d records more", after-before)
	}
}

// A client that is killed and started again in the middle of writing costs nothing,
// and neither does a collector that is restarted at any moment.
func TestRestarts(t *testing.T) {
	w := simtest.New(t)
	d := newDevice(t, w)
	for range 4 {
		chat := w.Chat("--rate", "200", "--checkpoint-after", "500ms", "--recall-after", "300ms")
		w.Ready(t.Context())
		d.keys.set(w.Key())
		for range 3 {
			stop := d.running()
			time.Sleep(300 * time.Millisecond)
			stop()
		}
		chat.Kill()
	}
	chat := w.Chat("--count", "20", "--rate", "100", "--recall-after", "300ms")
	stop := d.running()
	chat.Wait()
	stop()
	d.once()
	d.compare("--grace", "1m")
}

// rewrite changes a row through real SQLCipher, as the client does it.
func rewrite(w *simtest.World, sql string) {
	w.Run("exec", "--db", w.DB("message/message_0.db"), "--key", w.Key(), "--journal", "wal", "--no-close-checkpoint", "--sql", sql)
}

// A captured message that is recalled stays in the archive with its text, and the
// recall is a revision that names it; so is a server id that is filled in later. A
// row that is only compressed, or whose delivery counters move, is no change.
func TestRecall(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "60", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.once()
	var target *record.Record
	for _, r := range d.all() {
		if r.Kind == record.KindMessage && r.Conversation.Kind == "room" && !r.Sender.Self {
			target = r
		}
	}
	where := fmt.Sprintf(" WHERE local_id = %s", target.LocalID)
	update := "UPDATE " + target.Source.Table + " SET "
	restart := d.collector // each step is seen by a collector that knows only the spool's cursors
	look := func() []*record.Record {
		t.Helper()
		before := len(d.all())
		if err := restart().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.all()[before:]
	}

	rewrite(w, update+"status = status + 1, server_seq = 77"+where)
	if got := look(); len(got) != 0 {
		t.Errorf("delivery counters gave %d records", len(got))
	}
	rewrite(w, update+"local_type = 10000, message_content = 'somebody recalled a message'"+where)
	got := look()
	if len(got) != 1 || got[0].Kind != record.KindRevision || got[0].Of != target.ID || got[0].Change != record.ChangeRecall ||
		got[0].Type != record.TypeRecall || *got[0].Text != "somebody recalled a message" {
		t.Fatalf("the recall gave %+v", got)
	}
	if got := look(); len(got) != 0 {
		t.Errorf("nothing happened and %d records came", len(got))
	}
}
