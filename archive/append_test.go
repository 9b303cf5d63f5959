//go:build !windows

package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/fleet"
	"tidemark/archive/index"
	"tidemark/archive/registry"
	"tidemark/archive/store"
	"tidemark/archive/tlog"
	"tidemark/internal/durable"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// A batch sent again gets the same receipt to the byte: in the same process, in
// the next, and from an index that was made again; and its records stay one each.
func TestReceiptsAreForEver(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	one := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))
	two := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two"))
	first := append(w.append(d, one), w.append(d, two)...)
	w.now = w.now.Add(time.Hour)
	same := func(when string) {
		t.Helper()
		if again := w.append(d, one, two); !bytes.Equal(bytes.Join(again, nil), bytes.Join(first, nil)) {
			t.Errorf("%s: other receipts", when)
		}
	}
	same("at once")
	w.restart()
	same("after a restart")
	w.close()
	removeIndex(t, w.dir)
	w.open()
	same("from a new index")
	w.wantSound(2, 2)
}

func removeIndex(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(archive.Folder(dir).Index() + "*")
	if err != nil || len(names) == 0 {
		t.Fatal("no index to remove", err)
	}
	for _, n := range names {
		if err := os.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
}

// A batch that does not follow the head is answered with the head, and changes
// nothing: a gap, another order, a fork as a cloned laptop makes it, a replay of
// an old place with new content.
func TestHeadDisagreement(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	line := func(n int) []byte { return archivetest.Text(d.ID(), "c", n, fmt.Sprint(n)) }
	one, two := d.Seal(seal.Messages, line(1)), d.Seal(seal.Messages, line(2))
	w.append(d, one, two)
	three, four := d.Seal(seal.Messages, line(3)), d.Seal(seal.Messages, line(4))

	for name, batches := range map[string][]*seal.Batch{
		"gap":                                 {four},
		"other order":                         {four, three},
		"fork of the head":                    {d.Fork(seal.Messages, two, line(9))},
		"fork further back":                   {d.Fork(seal.Messages, one, line(9))},
		"right number, wrong batch before it": {forge(t, d, three, func(h *seal.Header) { h.Previous = one.Hash() })},
	} {
		_, err := w.a.Append(t.Context(), messages(d), batches)
		var head *archive.HeadError
		if !errors.As(err, &head) || head.Head != (protocol.Head{Seq: 2, Hash: two.Hash().String()}) {
			t.Errorf("%s: %v, want head 2", name, err)
		}
	}
	// What came before a wrong one is taken.
	notes, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{two, three, one})
	if err != nil || len(notes) != 2 {
		t.Errorf("%d receipts and %v for a kept one, a new one and a wrong one", len(notes), err)
	}
	w.append(d, four)
	w.wantSound(4, 4)
}

// forge signs a batch again with another header.
func forge(t *testing.T, d *archivetest.Device, b *seal.Batch, change func(*seal.Header)) *seal.Batch {
	t.Helper()
	h := b.Header
	change(&h)
	out, err := seal.NewBatch(d.Identity, h, b.KeyHeader, b.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A batch is refused for good when it is not the device's own: a receipt would
// say that the device delivered it.
func TestRefusedBatches(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	line := archivetest.Text(d.ID(), "c", 1, "one")
	flipped := slices.Clone(d.Seal(seal.Messages, line).Raw)
	flipped[len(flipped)-1] ^= 1
	altered, err := seal.ParseBatch(flipped)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*seal.Batch{
		"another device's":       other.Seal(seal.Messages, line),
		"another lane's":         d.Seal(seal.Media, line),
		"altered after signing":  altered,
		"signed by someone else": forge(t, other, d.Fork(seal.Messages, altered, line), func(*seal.Header) {}),
	} {
		if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{b}); !errors.Is(err, archive.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
	w.wantSound(0, 0)
}

// A revoked or unknown device delivers nothing more, and keeps what it delivered.
func TestRevoked(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	if err := w.a.Registry().Revoke(d.ID(), w.now); err != nil {
		t.Fatal(err)
	}
	next := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two"))
	if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{next}); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("revoked device: %v", err)
	}
	stranger := archivetest.NewDevice(t, w.identity())
	if _, err := w.a.Append(t.Context(), messages(stranger), []*seal.Batch{stranger.Seal(seal.Messages)}); !errors.Is(err, registry.ErrUnknown) {
		t.Errorf("device that never enrolled: %v", err)
	}
	w.wantSound(1, 1)
}

// Content that can't be read never blocks delivery: the batch is kept, logged and
// receipted, what can be read of it is indexed, and verify names the rest.
func TestUnreadableContentIsKept(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	good := func(n int) []byte { return archivetest.Text(d.ID(), "c", n, fmt.Sprint(n)) }
	w.append(d, d.Seal(seal.Messages, good(1)))
	w.append(d, d.Seal(seal.Messages, []byte("not JSON"), good(2), []byte(`{"v":1,"kind":"message"}`)))
	w.append(d, d.Seal(seal.Messages, []byte(strings.Replace(string(good(3)), `{"v":1,`, `{"v":1,"archive":{},`, 1))))
	// A batch whose payload was sealed under another key than it names.
	payload := d.Seal(seal.Messages, good(4))
	w.append(d, payload)
	tampered := forge(t, d, d.Seal(seal.Messages, good(5)), func(h *seal.Header) { h.Counter += 7 })
	w.append(d, tampered)
	// The lane goes on behind it, under a new data key.
	d2 := forge(t, d, d.Seal(seal.Messages, good(6)), func(h *seal.Header) { h.Previous = tampered.Hash() })
	w.append(d, d2)

	r := w.verify()
	var faults []string
	for _, f := range r.Faults {
		faults = append(faults, strings.SplitN(f.String(), "messages/", 2)[1])
	}
	for _, want := range []string{"2 line 0: record", "2 line 2: record", "3 line 0: record", "5: payload"} {
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("verify does not report %q in %q", want, faults)
		}
	}
	if len(faults) != 4 {
		t.Errorf("verify reports %d faults, want 4: %q", len(faults), faults)
	}
	if got := w.texts(index.Query{}); !slices.Equal(got, []string{"1", "2", "4", "6"}) {
		t.Errorf("records %q", got)
	}
}

// Without its private key the archive is blind: it takes and receipts batches all
// the same, and has no records to show.
func TestBlind(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.close()
	key := filepath.Join(archive.Folder(w.dir).Keys(), "recipient.pem")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	w.wantSound(1, 0)
	if !w.verify().Blind {
		t.Error("verify does not say that it could not read")
	}
	// With the key back, a new index can read what came meanwhile.
	w.close()
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	removeIndex(t, w.dir)
	w.open()
	w.wantSound(1, 1)
}

// The same message from a second capture is one record, though the other laptop
// keeps it under other names and in another row; the same id with another text is a
// second one, flagged, and the first stays as it was.
func TestOneRecordManyCaptures(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	line := archivetest.Text(d.ID(), "c", 1, "one")
	elsewhere := func(text string) []byte {
		r, err := record.Parse(archivetest.Text(other.ID(), "c", 1, text))
		if err != nil {
			t.Fatal(err)
		}
		r.CapturedAt, r.LocalID, r.Order = r.CapturedAt.Add(time.Hour), "4711", "1763884799999"
		r.Client.OS, r.Decoder, r.Sender.Name, r.Conversation.Name = "darwin", "weixin4/2", "李四", "新项目组"
		r.Source.File, r.Source.Row[0].Value.Int = "message/message_3.db", 4711
		return r.AppendJSON(nil)
	}
	w.append(d, d.Seal(seal.Messages, line, line))
	w.append(other, other.Seal(seal.Messages, elsewhere("one")))
	w.append(other, other.Seal(seal.Messages, elsewhere("changed")))
	w.append(other, other.Seal(seal.Messages, elsewhere("changed"), line))
	w.wantSound(4, 2) // every other line has its sighting, or verify would miss it
	got := w.records(index.Query{})
	if got[0].Text != "one" || got[0].Archive.Variant || got[1].Text != "changed" || !got[1].Archive.Variant {
		t.Errorf("records %+v", got)
	}
	if first, _, _ := strings.Cut(w.export(index.Query{}), "\n"); !strings.HasPrefix(first, strings.TrimSuffix(string(line), "}")) {
		t.Errorf("the first capture did not stay as it was: %s", first)
	}
}

// The index is made again from the batches, the same to the byte of what it
// shows, whatever was lost of it.
func TestIndexIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	for n := range 6 {
		w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", n, fmt.Sprint(n))))
		w.append(other, other.Seal(seal.Messages, archivetest.Text(other.ID(), "o", n, fmt.Sprint(n))))
		if n == 3 {
			d.Rotate(seal.Messages)
		}
	}
	before := w.export(index.Query{})
	w.close()
	removeIndex(t, w.dir)
	w.open()
	if after := w.export(index.Query{}); after != before {
		t.Errorf("the new index shows\n%s\nthe old one showed\n%s", after, before)
	}
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 9, "9")))
	w.wantSound(13, 13)
}

// Devices deliver in parallel without disturbing each other, and one device's own
// parallel resends settle to one chain.
func TestConcurrentDevices(t *testing.T) {
	w := newWorld(t)
	const devices, batches = 6, 8
	var wg sync.WaitGroup
	for range devices {
		d := w.device()
		var chain []*seal.Batch
		for n := range batches {
			chain = append(chain, d.Seal(seal.Messages, archivetest.Text(d.ID(), d.ID().String(), n, fmt.Sprint(n))))
		}
		for range 2 { // a device that lost an answer sends while the first is under way
			wg.Go(func() {
				for i := range chain {
					for {
						_, err := w.a.Append(context.Background(), messages(d), chain[:i+1])
						var head *archive.HeadError
						if errors.As(err, &head) {
							continue
						}
						if err != nil {
							t.Error(err)
						}
						break
					}
				}
			})
		}
	}
	wg.Wait()
	w.wantSound(devices*batches, devices*batches)
}

// A note torn by a power cut was given to nobody: it is cut off, and the batch
// gets a receipt anew.
func TestTornReceipt(t *testing.T) {
	for _, keep := range []int{0, 1, 40, 200} {
		t.Run(fmt.Sprintf("%d bytes left", keep), func(t *testing.T) {
			w := newWorld(t)
			d := w.device()
			one := w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))[0]
			two := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two"))
			w.close()
			w.openFailing("receipt", true, errInjected)
			if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{two}); !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			w.close()
			name := filepath.Join(archive.Folder(w.dir).Batches(), d.ID().String(), "messages", "receipts")
			if err := os.Truncate(name, int64(len(one)+keep)); err != nil {
				t.Fatal(err)
			}
			w.open()
			w.append(d, two)
			w.wantSound(2, 2)
		})
	}
}

// One process writes an archive at a time.
func TestHeldByOne(t *testing.T) {
	w := newWorld(t)
	if _, err := archive.Open(t.Context(), w.dir, archive.Options{}); !errors.Is(err, archive.ErrHeld) {
		t.Errorf("second open: %v, want ErrHeld", err)
	}
}

// What people wrote is readable for the archive's user alone, in whatever folder
// it stands: also in the write-ahead log beside the index. (The -shm file holds page
// numbers only.)
func TestFilesArePrivate(t *testing.T) {
	w := newWorldIn(t, "a strange % folder? #1")
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	names, err := filepath.Glob(filepath.Join(w.dir, "*.db*"))
	if err != nil || len(names) < 4 {
		t.Fatalf("databases %q, %v", names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "-shm") {
			continue
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", filepath.Base(name), info.Mode(), err)
		}
	}
}

// An archive whose log lacks what receipts name does not go on as if nothing were
// missing: that is an older copy, or someone's doing.
func TestLogRolledBack(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
	w.close()
	log := archive.Folder(w.dir).Log()
	older := filepath.Join(t.TempDir(), "log")
	if err := os.CopyFS(older, os.DirFS(log)); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two")))
	w.close()
	for _, withIndex := range []bool{true, false} {
		if !withIndex {
			removeIndex(t, w.dir)
		}
		os.RemoveAll(log)
		if _, err := archive.Open(t.Context(), w.dir, archive.Options{}); !errors.Is(err, tlog.ErrMissing) {
			t.Errorf("without a log: %v, want ErrMissing", err)
		}
		if err := os.CopyFS(log, os.DirFS(older)); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Open(t.Context(), w.dir, archive.Options{}); !errors.Is(err, archive.ErrLogShort) {
			t.Errorf("with an older log: %v, want ErrLogShort", err)
		}
	}
}

// Init makes an archive only of an empty folder, and what it leaves when it fails
// is no archive.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	key, err := archive.Init(t.Context(), dir, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := archive.Folder(dir).LoadKeys()
	if err != nil || keys.Archive.Key != key {
		t.Fatalf("the document's key is not the one that init printed: %v", err)
	}
	for _, name := range []string{"recipient.pem", "receipt.key", "log.key"} {
		info, err := os.Stat(filepath.Join(dir, "keys", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "index.db")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("index.db holds what people wrote, and others may read it: %v %v", info, err)
	}
	if _, err := archive.Init(t.Context(), dir, "", time.Now()); !errors.Is(err, archive.ErrNotEmpty) {
		t.Errorf("second init: %v, want ErrNotEmpty", err)
	}
	if again, err := archive.Folder(dir).LoadKeys(); err != nil || again.Archive.Key != key {
		t.Error("the second init changed the archive")
	}
	for _, name := range []string{"two words", "plus+", "new\nline", strings.Repeat("x", 200)} {
		if _, err := archive.Init(t.Context(), filepath.Join(t.TempDir(), "b"), name, time.Now()); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	// A half-made one: everything but the document, which comes last.
	if err := os.Remove(filepath.Join(dir, "archive.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Open(t.Context(), dir, archive.Options{}); !errors.Is(err, archive.ErrNoArchive) {
		t.Errorf("open of a half-made archive: %v, want ErrNoArchive", err)
	}
}

// Keys of another archive are noticed before anything is signed with them.
func TestKeysBelongTogether(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, dir := range []string{a, b} {
		if _, err := archive.Init(t.Context(), dir, "archive.test", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"recipient.pem", "receipt.key", "log.key"} {
		own, _ := os.ReadFile(filepath.Join(a, "keys", name))
		foreign, _ := os.ReadFile(filepath.Join(b, "keys", name))
		if err := os.WriteFile(filepath.Join(a, "keys", name), foreign, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Open(t.Context(), a, archive.Options{}); !errors.Is(err, archive.ErrNoArchive) {
			t.Errorf("%s of another archive: %v", name, err)
		}
		os.WriteFile(filepath.Join(a, "keys", name), own, 0o600)
	}
}

// Records are found by account, conversation, kind and time, come in order of
// arrival or of the conversation, and are the delivered bytes with one more member.
func TestExport(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	late := archivetest.Text(d.ID(), "b", 30, "b30")
	event := archivetest.Event(d.ID(), record.EventStarted, record.SeverityInfo, nil)
	w.append(d, d.Seal(seal.Messages, late, event))
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "a", 20, "a20"), archivetest.Text(d.ID(), "b", 10, "b10"), archivetest.Text(d.ID(), "a", 3, "a3")))
	at := func(n int) time.Time { return archivetest.Time.Add(time.Duration(n) * time.Second) }
	for name, c := range map[string]struct {
		q    index.Query
		want []string
	}{
		"all, by arrival":              {index.Query{}, []string{"b30", "", "a20", "b10", "a3"}},
		"all, by conversation":         {index.Query{ByConversation: true}, []string{"", "a3", "a20", "b10", "b30"}},
		"a conversation":               {index.Query{Conversation: "b"}, []string{"b30", "b10"}},
		"a conversation in its order":  {index.Query{Conversation: "b", ByConversation: true}, []string{"b10", "b30"}},
		"a conversation of an account": {index.Query{Conversation: "a", Account: "wxid_me"}, []string{"a20", "a3"}},
		"another account":              {index.Query{Account: "wxid_you"}, nil},
		"events":                       {index.Query{Kind: "event"}, []string{""}},
		"since is inclusive":           {index.Query{Since: at(20)}, []string{"b30", "a20"}},
		"until is exclusive":           {index.Query{Until: at(20), Kind: "message"}, []string{"b10", "a3"}},
		"events count by capture":      {index.Query{Since: at(0), Until: at(1)}, []string{""}},
	} {
		if got := w.texts(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	first, _, _ := strings.Cut(w.export(index.Query{}), "\n")
	if !strings.HasPrefix(first, strings.TrimSuffix(string(late), "}")+`,"archive":{"received_at":"2026-11-23T08:01:00Z","batch":{"device":"`+d.ID().String()+`","lane":"messages","seq":1,"hash":"`) ||
		!strings.HasSuffix(first, `"},"log":0}}`) {
		t.Errorf("a record is not its delivered bytes with one more member:\n%s", first)
	}
}

// A state that a device reported lasts until it reports that this very state has
// ended, and the worst one is the device's state. What happened once is no state.
func TestDeviceStates(t *testing.T) {
	w := newWorld(t)
	d, laptops := w.device(), fleet.Open(archive.Folder(w.dir))
	state := func(events ...[]byte) fleet.Device {
		t.Helper()
		if len(events) > 0 {
			w.append(d, d.Seal(seal.Messages, events...))
		}
		all, err := laptops.Devices(t.Context(), time.Now())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	event := func(name, severity string, detail map[string]string) []byte {
		return archivetest.Event(d.ID(), name, severity, detail)
	}
	file := func(n int) map[string]string {
		return map[string]string{"state": "key rejected", "file": fmt.Sprintf("message/message_%d.db", n)}
	}
	unfamiliar := event(record.EventUnfamiliar, record.SeverityDegraded, nil)
	rejected0, rejected1 := event(record.EventKeyRejected, record.SeverityBlind, file(0)), event(record.EventKeyRejected, record.SeverityBlind, file(1))
	stopped := event(record.EventGap, record.SeverityDegraded, map[string]string{"reason": "service stopped"})
	full := event(record.EventGap, record.SeverityDegraded, map[string]string{"state": "spool full"})
	started := event(record.EventStarted, record.SeverityInfo, nil)
	steps := []struct {
		name  string
		event []byte
		want  string
		open  int
	}{
		{"nothing is wrong", started, "ok", 0},
		{"a first state", unfamiliar, "degraded", 1},
		{"a worse one", rejected0, "blind", 2},
		{"the same of another file", rejected1, "blind", 3},
		{"a gap behind us", stopped, "blind", 3},
		{"its end", archivetest.Recovered(d.ID(), stopped), "blind", 3},
		{"damage, which never ends", event(record.EventGap, record.SeverityDegraded, map[string]string{"cause": "damaged pages"}), "blind", 3},
		{"the first file's end", archivetest.Recovered(d.ID(), rejected0), "blind", 2},
		{"once more", archivetest.Recovered(d.ID(), rejected0), "blind", 2},
		{"an end of no state", archivetest.Recovered(d.ID(), started), "blind", 2},
		{"the other file's end", archivetest.Recovered(d.ID(), rejected1), "degraded", 1},
		{"the first state's end", archivetest.Recovered(d.ID(), unfamiliar), "ok", 0},
		{"a gap that grows", full, "degraded", 1},
		{"its end", archivetest.Recovered(d.ID(), full), "ok", 0},
	}
	for i, step := range steps {
		got := state(step.event)
		if got.State != step.want || len(got.Open) != step.open {
			t.Errorf("%d, %s: state %s with %d open, want %s with %d", i, step.name, got.State, len(got.Open), step.want, step.open)
		}
		if step.name == "the first file's end" {
			left, err := record.Parse(rejected1)
			if err != nil {
				t.Fatal(err)
			}
			want := fleet.OpenState{ID: left.ID, Account: "wxid_me", Event: record.EventKeyRejected, Severity: record.SeverityBlind, Since: left.Since, File: "message/message_1.db"}
			if got.Open[1] != want {
				t.Errorf("open is %+v, want %+v", got.Open[1], want)
			}
		}
	}
	got := state()
	if got.Hostname != "laptop" || got.Batches != int64(len(steps)) || got.Records != int64(len(steps)) || got.Lanes["messages"] != int64(len(steps)) {
		t.Errorf("device %+v", got)
	}
}

// What was damaged stays a fault and stops nobody: an index made again from files
// of which one is gone and one is altered knows the chain from the receipts, and
// the lane goes on.
func TestIndexFromDamagedFiles(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	var chain []*seal.Batch
	for n := 1; n <= 5; n++ {
		chain = append(chain, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", n, fmt.Sprint(n))))
	}
	receipts := w.append(d, chain...)
	w.close()
	files := store.New(archive.Folder(w.dir).Batches())
	altered := slices.Clone(chain[1].Raw)
	altered[len(altered)-1] ^= 1
	os.Remove(files.Path(messages(d), 2))
	if err := errors.Join(os.WriteFile(files.Path(messages(d), 2), altered, 0o440), os.Remove(files.Path(messages(d), 3)),
		os.Remove(files.Path(messages(d), 5))); err != nil {
		t.Fatal(err)
	}
	removeIndex(t, w.dir)
	w.open()
	if again := w.append(d, chain...); !bytes.Equal(bytes.Join(again, nil), bytes.Join(receipts, nil)) {
		t.Error("other receipts")
	}
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 6, "6")))
	if got := w.texts(index.Query{}); !slices.Equal(got, []string{"1", "4", "6"}) {
		t.Errorf("records %q", got)
	}
	places := map[uint64]bool{}
	for _, f := range w.verify().Faults {
		places[f.Seq] = true
	}
	if want := (map[uint64]bool{2: true, 3: true, 5: true}); !maps.Equal(places, want) {
		t.Errorf("faults at %v, want %v", places, want)
	}
}

// A file that was put among the batches and that its device did not sign, or that
// does not follow the chain, is set aside when the archive opens, never receipted.
func TestPlantedFiles(t *testing.T) {
	w := newWorld(t)
	d, other := w.device(), w.device()
	one := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))
	w.append(d, one)
	two := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two"))
	path := store.New(archive.Folder(w.dir).Batches()).Path(messages(d), 2)
	for name, raw := range map[string][]byte{
		"garbage":                  []byte("garbage"),
		"another device's batch":   other.Seal(seal.Messages).Raw,
		"a batch of another chain": forge(t, d, two, func(h *seal.Header) { h.Previous = two.Hash() }).Raw,
	} {
		w.close()
		if err := os.WriteFile(path, raw, 0o440); err != nil {
			t.Fatal(err)
		}
		w.open()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: still there: %v", name, err)
		}
		w.wantSound(1, 1)
	}
	aside, err := filepath.Glob(path + ".aside-*")
	if err != nil || len(aside) != 3 {
		t.Errorf("%d files set aside, want 3", len(aside))
	}
	w.append(d, two)
	w.wantSound(2, 2)
}

// After a failed sync nothing is known about the disk: the archive takes nothing
// more until it is opened again, which finds out.
func TestFailedSync(t *testing.T) {
	faultPoints(t, archive.Steps, func(t *testing.T, step string, landed bool) {
		w := newWorld(t)
		d := w.device()
		w.close()
		w.openFailing(step, landed, fmt.Errorf("injected: %w", durable.ErrSync))
		one := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))
		if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{one}); !errors.Is(err, durable.ErrSync) {
			t.Fatalf("%v, want the failed sync", err)
		}
		<-w.a.Stopped()
		if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{one}); !errors.Is(err, archive.ErrStopped) {
			t.Errorf("append: %v, want ErrStopped", err)
		}
		if _, err := w.a.Head(t.Context(), messages(d)); !errors.Is(err, archive.ErrStopped) {
			t.Errorf("head: %v, want ErrStopped", err)
		}
		w.restart()
		w.append(d, one)
		w.wantSound(1, 1)
	})
}
