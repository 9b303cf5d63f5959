package collector_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/simtest"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

const message0 = "message/message_0.db"

// quiet is a world with a small account whose client has quit.
func quiet(t *testing.T, messages int) (*simtest.World, *device) {
	w := simtest.New(t)
	w.Make(messages, 8)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	return w, d
}

func messages(records []*record.Record) (n int) {
	for _, r := range records {
		if r.Kind == record.KindMessage {
			n++
		}
	}
	return n
}

func find(records []*record.Record, event string) []*record.Record {
	var out []*record.Record
	for _, r := range records {
		if r.Event == event {
			out = append(out, r)
		}
	}
	return out
}

// Without a key the account is blind: named once in the archive, not once a pass,
// and the key that arrives late opens everything that waited for it, with a record
// that closes the gap.
func TestKeyMissing(t *testing.T) {
	w, d := quiet(t, 200)
	d.keys.set()
	for range 3 {
		s := d.once()
		if a := s.Accounts[0]; a.State != collector.StateKeyMissing || a.Severity != record.SeverityBlind || a.Account != "wxid_tide" {
			t.Fatalf("status %+v", a)
		}
	}
	gap := find(d.all(), record.EventKeyMissing)
	if len(gap) != 1 || gap[0].Severity != record.SeverityBlind || gap[0].Account.ID != "wxid_tide" || gap[0].Since.IsZero() {
		t.Fatalf("gap records %+v", gap)
	}
	d.keys.set(w.Key())
	if s := d.once(); s.Accounts[0].Severity != record.SeverityInfo {
		t.Errorf("with the key: %+v", s.Accounts[0])
	}
	if closed := find(d.all(), record.EventRecovered); len(closed) != 1 || closed[0].Of != gap[0].ID {
		t.Errorf("closing record %+v", closed)
	}
	d.compare()
}

// A wrong key is named with the file it does not open, at once and once; the other
// files of the account, which it opens, go on. Looking again costs no key derivation.
func TestKeyRejected(t *testing.T) {
	w, d := quiet(t, 200)
	// The session database gets another key, as after a restore from another machine.
	other := simtest.New(t)
	other.Make(10, 2, "--seed", "99")
	for _, side := range []string{"", "-wal", "-shm"} {
		os.Remove(w.DB("session/session.db" + side))
		if data, err := os.ReadFile(other.DB("session/session.db" + side)); err == nil {
			os.WriteFile(w.DB("session/session.db"+side), data, 0o644)
		}
	}
	for range 3 {
		s := d.once()
		if got := database(t, s, "session/session.db"); got.State != collector.StateKeyRejected {
			t.Fatalf("session.db is %+v", got)
		}
		if got := database(t, s, message0); got.State != collector.StateCurrent {
			t.Fatalf("message_0.db is %+v", got)
		}
		if s.Accounts[0].Severity != record.SeverityDegraded {
			t.Errorf("account is %s", s.Accounts[0].Severity)
		}
	}
	e := find(d.all(), record.EventKeyRejected)
	if len(e) != 1 || e[0].Detail["file"] != "session/session.db" {
		t.Fatalf("events %+v", e)
	}
	d.compare()

	// Every file rejected: blind.
	d.keys.set(strings.Repeat("ab", 32))
	if s := d.once(); s.Accounts[0].Severity != record.SeverityBlind || database(t, s, message0).State != collector.StateKeyRejected {
		t.Errorf("all rejected: %+v", s.Accounts[0])
	}
}

// A key that is withdrawn while the agent runs makes the account blind, whatever its
// databases were before.
func TestKeyWithdrawn(t *testing.T) {
	_, d := quiet(t, 20)
	c := d.collector()
	for _, want := range []string{record.SeverityInfo, record.SeverityBlind} {
		if err := c.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := c.Status().Accounts[0]; a.Severity != want {
			t.Errorf("severity is %s, want %s: %+v", a.Severity, want, a)
		}
		d.keys.set()
	}
}

// A key source that fails is not a missing key, and its coming back is noticed.
func TestKeySourceFails(t *testing.T) {
	w, d := quiet(t, 20)
	d.keys.err = context.DeadlineExceeded
	if s := d.once(); s.Accounts[0].State != collector.StateNoSource || s.Accounts[0].Severity != record.SeverityBlind {
		t.Fatalf("%+v", s.Accounts[0])
	}
	d.keys.err = nil
	d.keys.set(w.Key())
	d.once()
	d.compare()
}

// What stands where a database should be is a named state and a record; it stops
// nothing else, and is over when it is over.
func TestNotADatabase(t *testing.T) {
	damage := map[string]struct {
		do    func(path string)
		state collector.State
	}{
		"a directory":           {func(p string) { os.Remove(p); os.Mkdir(p, 0o755) }, collector.StateNotReadable},
		"a few bytes":           {func(p string) { os.WriteFile(p, []byte("short"), 0o644) }, collector.StateNotReadable},
		"text":                  {func(p string) { os.WriteFile(p, bytes.Repeat([]byte("no database "), 1000), 0o644) }, collector.StateKeyRejected},
		"nothing":               {func(p string) { os.WriteFile(p, nil, 0o644) }, collector.StateEmpty},
		"gone":                  {func(p string) { os.Remove(p) }, collector.StateGone},
		"a plain database":      {func(p string) { os.WriteFile(p, append([]byte("SQLite format 3\x00"), make([]byte, 8176)...), 0o644) }, collector.StateNotReadable},
		"half of itself":        {func(p string) { i, _ := os.Stat(p); os.Truncate(p, i.Size()/2/4096*4096) }, collector.StateCorrupt},
		"its first page spoilt": {func(p string) { spoil(p, 0) }, collector.StateKeyRejected},
	}
	for name, c := range damage {
		t.Run(name, func(t *testing.T) {
			w, d := quiet(t, 300)
			path := w.DB(message0)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(path + "-wal")
			os.Remove(path + "-shm")
			col := d.collector() // one process sees the damage come and go
			pass := func() collector.Status {
				if err := col.Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				return col.Status()
			}
			if c.state == collector.StateGone {
				pass() // it must have been there to be missed
			}
			before := len(d.all())
			c.do(path)
			for range 2 {
				s := pass()
				if got := database(t, s, message0); got.State != c.state || got.Since.IsZero() {
					t.Fatalf("%+v, want %s", got, c.state)
				}
				if got := database(t, s, "contact/contact.db"); got.State != collector.StateCurrent {
					t.Errorf("contact.db is %s", got.State)
				}
			}
			named := 0
			for _, r := range d.all()[before:] {
				if r.Kind == record.KindEvent && r.Severity != record.SeverityInfo && r.Event != record.EventGap {
					named++
				}
			}
			if named != 1 && c.state != collector.StateEmpty { // an empty file is given a minute
				t.Errorf("named by %d events: %v", named, d.events())
			}
			os.RemoveAll(path)
			if err := os.WriteFile(path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			pass()
			time.Sleep(d.options.Poll + 10*time.Millisecond) // damage is looked at again once a poll
			s := pass()
			if got := database(t, s, message0); got.State != collector.StateCurrent {
				t.Errorf("healed, it is %+v", got)
			}
			d.compare()
		})
	}
}

// spoil turns a page into rubbish.
func spoil(path string, page int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	junk := make([]byte, 4096)
	for i := range junk {
		junk[i] = byte(i*7 + 13)
	}
	if page == 0 {
		_, err = f.WriteAt(junk[:2000], 100)
	} else {
		_, err = f.WriteAt(junk, page*4096)
	}
	if err != nil {
		panic(err)
	}
}

// Each damaged page costs the rows on it and nothing else: every other row of every
// conversation is captured, the damage is named with its range of ids, and what is
// readable again later is captured then.
func TestDamagedPages(t *testing.T) {
	w, d := quiet(t, 4000)
	path := w.DB(message0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The newest account is in the main file alone after make's checkpoint.
	pages := int64(len(whole) / 4096)
	for p := pages / 2; p < pages; p += 40 {
		spoil(path, p)
	}
	s := d.once()
	if got := database(t, s, message0); got.State != collector.StateCorrupt {
		t.Fatalf("%+v", got)
	}
	got := messages(d.all())
	if got < 3000 || got >= 4000 {
		t.Errorf("%d of 4000 messages captured around the damage", got)
	}
	if len(find(d.all(), record.EventGap)) == 0 {
		t.Error("no gap record names the range")
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	d.once()
	if s := d.once(); database(t, s, message0).State != collector.StateCurrent {
		t.Errorf("healed: %+v", database(t, s, message0))
	}
	d.compare()
}

// Damage among rows that were captured already ends no pass's work and hides no new
// row: it is a state, no gap is invented, and a change behind it is seen once it heals.
func TestDamageAmongCapturedRows(t *testing.T) {
	w := simtest.New(t)
	// All in the main file, with rows young enough to be looked at again.
	w.Chat("--count", "300", "--rate", "0", "--recall", "0", "--compress", "0", "--checkpoint", "truncate", "--checkpoint-after", "50ms").Wait()
	rewrite(w, "PRAGMA wal_checkpoint(TRUNCATE)")
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.once()
	before := len(d.all())
	path := w.DB(message0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for p := int64(len(whole)/4096) / 3; p < int64(len(whole)/4096); p++ {
		spoil(path, p)
	}
	s := d.once() // a new collector looks at every young row again
	if got := database(t, s, message0); got.State != collector.StateCorrupt {
		t.Fatalf("%+v", got)
	}
	if gaps := find(d.all(), record.EventGap); len(gaps) != 0 {
		t.Errorf("%d gaps, and nothing is missing", len(gaps))
	}
	if n := messages(d.all()[before:]); n != 0 {
		t.Errorf("%d messages captured again", n)
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if s := d.once(); database(t, s, message0).State != collector.StateCurrent {
		t.Errorf("healed: %+v", database(t, s, message0))
	}
	d.compare()
}

// refusing is a spool that takes nothing.
type refusing struct{ *spool.Spool }

func (refusing) Append(context.Context, seal.Lane, spool.Records, ...spool.Cursor) error {
	return errors.New("no space left on device")
}

// A spool that does not take the records is never a healthy account.
func TestSpoolFails(t *testing.T) {
	_, d := quiet(t, 20)
	o := d.options
	d.once() // known, so that the account itself needs no record
	d.world.Chat("--count", "5", "--rate", "0").Wait()
	o.Spool = refusing{d.spool}
	c, err := collector.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Once(t.Context()); err == nil {
		t.Error("the pass had no error")
	}
	if a := c.Status().Accounts[0]; a.State != collector.StateFailed || a.Severity != record.SeverityDegraded {
		t.Errorf("%+v", a)
	}
}

// An account in which nothing is found that could be captured is blind, not healthy.
func TestNoMessageDatabase(t *testing.T) {
	w, d := quiet(t, 20)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		for _, name := range []string{"message_0", "biz_message_0"} {
			os.Rename(w.DB("message/"+name+".db"+suffix), w.DB("message/renamed_"+name+".db"+suffix))
		}
	}
	s := d.once()
	if a := s.Accounts[0]; a.Severity != record.SeverityBlind || a.State != collector.StateNoMessages {
		t.Errorf("%+v", a)
	}
}

// A WAL's torn tail, stale frames of an earlier generation and an uncommitted
// transaction are not there: what is captured is some commit's state, later the
// newest.
func TestTornWAL(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "200", "--rate", "0", "--checkpoint", "never", "--recall", "0", "--compress", "0").Wait()
	wal := w.DB(message0) + "-wal"
	whole, err := os.ReadFile(wal)
	if err != nil || len(whole) < 100<<10 {
		t.Fatalf("WAL of %d bytes, %v", len(whole), err)
	}
	d := newDevice(t, w)
	d.keys.set(w.Key())
	os.Remove(w.DB(message0) + "-shm")
	for _, cut := range []int{33, len(whole) / 3, len(whole) / 2, len(whole) - 4096*3 + 1, len(whole) - 1} {
		torn := append(slices.Clone(whole[:cut]), bytes.Repeat([]byte{0xa5}, 5000)...)
		if err := os.WriteFile(wal, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		before := len(d.all())
		s := d.once()
		for _, a := range s.Accounts {
			if a.Severity == record.SeverityBlind {
				t.Errorf("cut at %d: %+v", cut, a)
			}
		}
		if n := messages(d.all()[before:]); n > 200 {
			t.Errorf("cut at %d: %d messages", cut, n)
		}
	}
	// A header of the next generation before the frames of the last one: all stale.
	stale := slices.Clone(whole)
	binary.BigEndian.PutUint32(stale[16:], binary.BigEndian.Uint32(stale[16:])+1)
	if err := os.WriteFile(wal, stale, 0o644); err != nil {
		t.Fatal(err)
	}
	d.once()
	if err := os.WriteFile(wal, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	d.once()
	d.compare()
}

// A database that another one replaces while the agent runs is read from its
// beginning, and the change is a record.
func TestReplaced(t *testing.T) {
	w, d := quiet(t, 100)
	next := simtest.New(t)
	next.Make(150, 8, "--seed", "2", "--key", w.Key())
	c := d.collector()
	pass := func() {
		if err := c.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	for _, side := range []string{"-wal", "-shm", ""} {
		data, err := os.ReadFile(next.DB(message0 + side))
		if err != nil && side == "" {
			t.Fatal(err)
		}
		os.Remove(w.DB(message0 + side))
		if err == nil {
			temp := w.DB(message0) + ".new"
			os.WriteFile(temp, data, 0o644)
			os.Rename(temp, w.DB(message0+side))
		}
	}
	pass()
	pass()
	all := d.all()
	if n := messages(all); n != 250 {
		t.Errorf("%d messages of 100 and 150", n)
	}
	if e := find(all, record.EventDatabaseReplaced); len(e) != 1 || e[0].Detail["file"] != message0 {
		t.Errorf("events %v", d.events())
	}
}

// Conversations and accounts out of scope leave no message behind, and history can
// be left out.
func TestScope(t *testing.T) {
	w, d := quiet(t, 400)
	d.once()
	var room string
	for _, r := range d.all() {
		if r.Kind == record.KindMessage && r.Conversation.Kind == "room" {
			room = r.Conversation.ID
		}
	}
	d = newDevice(t, w)
	d.keys.set(w.Key())
	d.options.Scope.Conversations = collector.Rule{Include: []string{"kind:direct", "kind:room"}, Exclude: []string{room[:len(room)-12] + "*"}}
	d.once()
	n := 0
	for _, r := range d.all() {
		if r.Kind != record.KindMessage {
			continue
		}
		n++
		if k := r.Conversation.Kind; k != "room" && k != "direct" || r.Conversation.ID == room {
			t.Errorf("%s is out of scope", r.Conversation.ID)
		}
	}
	if n == 0 {
		t.Error("nothing in scope was captured")
	}
	for name, o := range map[string]func(*collector.Options){
		"account": func(o *collector.Options) { o.Scope.Accounts.Exclude = []string{"wxid_*"} },
		"history": func(o *collector.Options) { o.History.None = true },
	} {
		d := newDevice(t, w)
		d.keys.set(w.Key())
		o(&d.options)
		s := d.once()
		if n := messages(d.all()); n != 0 {
			t.Errorf("%s: %d messages", name, n)
		}
		if name == "account" && (s.Accounts[0].State != collector.StateExcluded || !slices.Equal(d.events(), []string{"scope_changed info"})) {
			t.Errorf("an excluded account leaves %v, is %s", d.events(), s.Accounts[0].State)
		}
	}
	if _, err := collector.New(collector.Options{Spool: d.spool, Keys: d.keys, Secret: make([]byte, 32), Scope: collector.Scope{
		Conversations: collector.Rule{Include: []string{"kind:rooms"}}}}); err == nil {
		t.Error("a pattern that can match nothing is accepted")
	}
}

// Names, sender and conversation are as the client shows them; the raw row is whole.
func TestRecords(t *testing.T) {
	_, d := quiet(t, 500)
	d.once()
	rooms, self, named := 0, 0, 0
	for _, r := range d.all() {
		if r.Kind != record.KindMessage {
			continue
		}
		if r.Sender == nil || r.Conversation.Kind == "" || r.Account.Name == "" || r.Decoder == "" || r.SentAt.IsZero() {
			t.Fatalf("incomplete: %+v", r)
		}
		if len(r.Source.Row) < 15 || filepath.ToSlash(r.Source.File) != message0 {
			t.Fatalf("source %+v", r.Source)
		}
		if v, ok := r.Source.Row.Get("local_id"); !ok || fmt.Sprint(v.Int) != r.LocalID {
			t.Fatalf("row %+v", r.Source.Row)
		}
		if r.Conversation.Kind == "room" {
			rooms++
			if strings.HasPrefix(*r.Text, r.Sender.ID) {
				t.Errorf("the sender's prefix is still in the text")
			}
		}
		if r.Sender.Self {
			self++
		}
		if r.Sender.Name != "" && r.Conversation.Name != "" {
			named++
		}
	}
	if rooms == 0 || self == 0 || named == 0 {
		t.Errorf("%d in rooms, %d own, %d with names", rooms, self, named)
	}
}
