package collector_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/collector/discover"
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

// Whatever a live client of any generation writes, in each of its ways of
// checkpointing, is captured exactly once, unchanged and in order, recalls included.
func TestLive(t *testing.T) {
	for _, g := range simtest.Generations {
		for _, mode := range []string{"client", "never", "truncate"} {
			t.Run(string(g)+" "+mode, func(t *testing.T) {
				t.Parallel()
				w := simtest.NewOf(t, g)
				chat := w.Chat("--checkpoint", mode, "--rate", "150", "--count", "1000", "--recall", "0.05", "--officials", "2",
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
}

// What becomes of messages is captured with them: rows deleted, conversations cleared,
// rows gone before anybody could read them, files made anew, shards that appear, old
// messages imported; counters that move are nothing.
func TestChanges(t *testing.T) {
	for _, g := range simtest.Generations {
		t.Run(string(g), func(t *testing.T) {
			w := simtest.NewOf(t, g)
			w.Chat("--count", "20", "--rate", "0", "--recall", "0", "--officials", "1").Wait()
			d := newDevice(t, w)
			d.keys.set(w.Key())
			d.once() // so that nothing happens before capture began
			chat := w.Chat("--rate", "20", "--count", "400", "--recall", "0.03", "--recall-after", "15s", "--checkpoint-after", "1s",
				"--changes", "all")
			stop := d.running()
			chat.Wait()
			stop()
			d.once()
			d.compare("--grace", "1m")
		})
	}
}

// After an upgrade to 4.x the imported messages are the records that they were, those
// too that were captured before the server had numbered them.
func TestUpgrade(t *testing.T) {
	for _, g := range []simtest.Generation{simtest.W3, simtest.M3} {
		t.Run(string(g), func(t *testing.T) {
			t.Parallel()
			w := simtest.NewOf(t, g)
			chat := w.Chat("--rate", "60", "--count", "200", "--recall", "0.03", "--recall-after", "1s")
			w.Ready(t.Context())
			d := newDevice(t, w)
			d.keys.set(w.Key())
			stop := d.running()
			chat.Wait()
			stop()
			d.once()
			first := map[string]bool{}
			pending := 0
			for _, r := range d.all() {
				if r.Kind == record.KindMessage {
					first[r.ID] = true
					if r.ServerID == "" {
						pending++
					}
				}
			}
			if pending == 0 {
				t.Fatal("no message was captured before its server id: this tests nothing")
			}
			before := len(d.all())

			next := w.Upgrade()
			d.keys.set(w.Key(), next.Key())
			d.options.Find = func() ([]discover.Account, []discover.Problem) {
				accounts, problems := only(w.Root)
				more, others := only(next.Root)
				if g == simtest.M3 { // its root holds the other
					return accounts, problems
				}
				return append(accounts, more...), append(problems, others...)
			}
			d.once()
			again := 0
			for _, r := range d.all()[before:] {
				if r.Kind != record.KindMessage {
					continue
				}
				if again++; !first[r.ID] {
					t.Errorf("%s %s is another record after the upgrade", r.Conversation.ID, r.ServerID)
				}
			}
			if again < len(first)/2 {
				t.Errorf("%d of %d messages came again", again, len(first))
			}
			d.compare("--grace", "1m")
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
func rewrite(w *simtest.World, statements ...string) {
	args := []string{"exec", "--db", w.DB("message/message_0.db"), "--key", w.Key(), "--journal", "wal", "--no-close-checkpoint"}
	for _, s := range statements {
		args = append(args, "--sql", s)
	}
	w.Run(args...)
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

// A change is seen whichever row it strikes: on the first or a later leaf, beside or
// behind rows so long that they overflow to pages of their own, by a collector that
// goes by the pages that were written.
func TestEveryRowIsWatched(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "40", "--rate", "0", "--recall", "0", "--compress", "0", "--checkpoint", "never").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	c := d.collector()
	pass := func() []*record.Record {
		t.Helper()
		before := len(d.all())
		if err := c.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.all()[before:]
	}
	var table string
	for _, r := range pass() {
		if r.Kind == record.KindMessage {
			table = r.Source.Table
		}
	}
	var inserts []string
	const rows = 24
	for i := range rows {
		text := fmt.Sprintf("short %d", i)
		if i%3 == 1 {
			text = strings.Repeat(fmt.Sprintf("long %d ", i), 1500)
		}
		now := time.Now()
		inserts = append(inserts, fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (%d, 1, %d, 1, %d, '%s')",
			table, 1000+i, now.UnixMilli()+int64(i), now.Unix(), text))
	}
	rewrite(w, inserts...)
	added := pass()
	if len(added) != rows {
		t.Fatalf("%d of %d rows captured", len(added), rows)
	}
	// From the end to the beginning, so that no earlier change has a page looked at anyway.
	for i := rows - 1; i >= 0; i-- {
		rewrite(w, fmt.Sprintf("UPDATE %s SET local_type = 10000, message_content = 'recalled %d' WHERE local_id = %s", table, i, added[i].LocalID))
		got := pass()
		if len(got) != 1 || got[0].Of != added[i].ID || got[0].Change != record.ChangeRecall {
			t.Fatalf("recall of row %d gave %d records", i, len(got))
		}
	}
}
