package spool_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// victim is a spool that is damaged again and again: 14 batches of messages under
// three data keys, of which the first 4 have their receipts, and 3 of media.
type victim struct {
	*world
	raw     []byte // of the sound file
	kept    []byte // of the cursors beside it
	layout  spool.Layout
	batches []*seal.Batch     // the messages that wait: 5 to 14
	acked   *seal.Batch       // the last that has its receipt
	records map[string]uint64 // by line: the number of the batch it came with
}

func newVictim(t *testing.T) *victim {
	v := &victim{world: newWorld(t), records: map[string]uint64{}}
	rng := rand.New(rand.NewPCG(3, 4))
	add := func(n int) {
		text := fmt.Sprintf("words of %d", n)
		if n%3 == 0 { // runs over several pages
			noise := make([]byte, 20<<10)
			for i := range noise {
				noise[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
			}
			text += string(noise)
		}
		v.append(seal.Messages, 1, text, spool.Cursor{Key: "h", Value: []byte(fmt.Sprint("h", n))}, spool.Cursor{Key: "n", Value: []byte(fmt.Sprint(n))}, spool.Cursor{Key: fmt.Sprintf("k/%d", n), Value: []byte("v")})
		v.records[string(lines(1, text).NDJSON)] = uint64(n)
	}
	for n := 1; n <= 4; n++ {
		add(n)
	}
	for _, b := range v.peek(seal.Messages) {
		v.archive.Open(t, b)
		if _, err := v.s.Ack(v.archive.Receipt(t, b)); err != nil {
			t.Fatal(err)
		}
		v.acked = b
	}
	v.reopen() // which keeps the cursors beside the spool
	for n := 5; n <= 14; n++ {
		add(n)
		if n == 9 {
			v.reopen()
			for i := range 3 {
				v.append(seal.Media, 1, fmt.Sprintf("picture %d", i))
			}
		}
	}
	v.batches = v.peek(seal.Messages)
	v.s.Close()
	v.raw, v.kept = v.readFile(v.path), v.readFile(v.path+".kept")
	v.layout = spool.LayoutOf(t, v.path)
	return v
}

func (v *victim) readFile(path string) []byte {
	v.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	return b
}

// copies is every place at which the batch stands: pages that are free again keep
// what was in them.
func (v *victim) copies(seq uint64) []int64 {
	raw := v.batches[seq-5].Raw
	var out []int64
	for i := 0; ; i++ {
		j := bytes.Index(v.raw[i:], raw)
		if j < 0 {
			return out
		}
		i += j
		out = append(out, int64(i))
	}
}

// spoil flips a bit in every copy of the batch.
func (v *victim) spoil(b []byte, seq uint64, at int) []byte {
	for _, i := range v.copies(seq) {
		b[i+int64(at)] ^= 0x10
	}
	return b
}

// gone lists the batches of which no copy is whole outside a range of the file.
func (v *victim) gone(from, to int64) string {
	var out []string
	for _, b := range v.batches {
		if !slices.ContainsFunc(v.copies(b.Seq), func(at int64) bool { return at >= to || at+int64(len(b.Raw)) <= from }) {
			out = append(out, fmt.Sprint(b.Seq))
		}
	}
	return strings.Join(out, " ")
}

// archive keeps what is delivered, as docs/format.md says that an archive does.
type keeper struct {
	a        *sealtest.Archive
	id       *seal.Identity
	head     map[seal.Lane]*seal.Batch
	records  map[string]int
	restarts int
}

// deliver sends everything that waits in the lane and acknowledges it.
func (k *keeper) deliver(t *testing.T, s *spool.Spool, lane seal.Lane) {
	t.Helper()
	for {
		batches, err := s.Peek(lane, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(batches) == 0 {
			return
		}
		b := batches[0]
		if err := b.Verify(k.id.Public()); err != nil {
			t.Fatal(err)
		}
		head := k.head[lane]
		if head == nil && b.Seq != 1 || head != nil && (b.Seq != head.Seq+1 || b.Previous != head.Hash()) {
			r, err := s.Restart(lane, b.Seq)
			if err != nil || r == nil {
				t.Fatalf("batch %s/%d does not follow and nothing introduces it (%v)", lane, b.Seq, err)
			}
			r, err = seal.ParseRestart(r.Raw)
			if err := errors.Join(err, r.Verify(k.id.Public()), r.Introduces(b)); err != nil {
				t.Fatal(err)
			}
			if head != nil && r.First <= head.Seq {
				t.Fatalf("restart at %d behind the head %d", r.First, head.Seq)
			}
			for _, h := range r.KeyHeaders {
				k.a.Learn(t, h)
			}
			k.restarts++
		}
		for line := range bytes.Lines(k.a.Open(t, b)) {
			k.records[string(line)]++
		}
		k.head[lane] = b
		if _, err := s.Ack(k.a.Receipt(t, b)); err != nil {
			t.Fatal(err)
		}
	}
}

// What must come of a damage.
type outcome struct {
	found   string // in the cause; "" when the spool is sound
	lost    string // numbers of the messages that are lost, as "6 7"
	cursors string
	whole   bool // nothing can be missing
}

// Every kind of damage is found, set aside with its reason, and healed without a
// person: what still verifies is delivered in an order that an archive accepts, what
// is lost is counted, and the cursors never pass a record that is lost.
func TestDamageTable(t *testing.T) {
	v := newVictim(t)
	l := v.layout
	zero := func(from, n int64) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:min(from+n, int64(len(b)))]); return b }
	}
	flip := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x10; return b }
	}
	put := func(at int64, text string) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], text); return b }
	}
	spoil := func(seq uint64, at int) func([]byte) []byte {
		return func(b []byte) []byte { return v.spoil(b, seq, at) }
	}
	size := int64(len(v.raw))
	in := l.Batches[12] + 100 // of a batch of several pages
	const all = "5 6 7 8 9 10 11 12 13 14"
	page := l.PageSize
	whole := func(found string) outcome { return outcome{found, "", spool.CursorsKept, true} }
	back := func(found, lost string) outcome { return outcome{found, lost, spool.CursorsAcknowledged, false} }
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		want   outcome
	}{
		// The file as a whole.
		{"nothing", func(b []byte) []byte { return b }, outcome{}},
		{"empty file", func(b []byte) []byte { return nil }, back("empty", all)},
		{"foreign file", func([]byte) []byte { return []byte("Dear diary, " + strings.Repeat("it rained. ", 1000)) }, back("not a spool", all)},
		{"all zeros", func(b []byte) []byte { clear(b); return b }, back("not a spool", all)},
		{"noise", func(b []byte) []byte {
			rand.NewChaCha8([32]byte{1}).Read(b)
			return b
		}, back("not a spool", all)},
		{"cut to a page", func(b []byte) []byte { return b[:page] }, back("", all)},
		{"cut behind the roots", func(b []byte) []byte { return b[:2*page] }, back("", all)},
		{"cut in the middle of a batch", func(b []byte) []byte { return b[:in] }, back("", v.gone(in, size))},
		{"one byte short of a page", func(b []byte) []byte { return b[:int64(len(b))-1] }, outcome{}},
		{"garbage behind the end", func(b []byte) []byte { return append(b, "garbage"...) }, outcome{}},
		{"all before the middle of a batch zeroed", zero(0, in), back("not a spool", v.gone(0, in))},
		{"all behind the middle of a batch zeroed", zero(in, size), back("", v.gone(in, size))},
		// The roots.
		{"root in force flipped", flip(l.Newest + 16 + 20), outcome{"root", "", spool.CursorsAcknowledged, false}},
		{"other root flipped", flip(l.Oldest + 16 + 20), outcome{"root", "", spool.CursorsAcknowledged, false}},
		{"both roots zeroed", zero(0, 2*page), back("not a spool", "")},
		// The structure.
		{"page of buckets zeroed", zero(l.Root, page), back("page", "")},
		{"page of buckets of another kind", put(l.Root+8, "\xff\xff"), back("page", "")},
		{"page of the lane zeroed", zero(l.Lane, page), whole("page")},
		{"page of the lane says another number", flip(l.Lane), whole("page")},
		{"page of the lane with too many elements", put(l.Lane+10, "\xff\xff"), whole("page")},
		{"page of the lane runs on for ever", put(l.Lane+12, "\xff\xff\xff\x7f"), whole("page")},
		{"page of the lane leads to itself", func(b []byte) []byte {
			copy(b[l.Lane+16+8:], b[l.Lane:l.Lane+8])
			return b
		}, whole("page")},
		{"page of the lane torn behind its header", zero(l.Lane+16, page-16), whole("page")},
		{"list of free pages zeroed", zero(l.Freelist, page), whole("page")},
		{"free page overwritten", put(l.Free, "garbage"), outcome{}},
		// The small values.
		{"version flipped", flip(l.Values["meta/version"]), back("version", "")},
		{"version of before", put(l.Values["meta/version"], "\x00\x00\x00\x01"), back("version", "")},
		{"cursor flipped", flip(l.Values["cursors/k/11"]), back("checksum", "")},
		{"cursors zeroed", zero(l.Buckets["cursors"], 200), back("", "")},
		{"chain head flipped", flip(l.Values["heads/messages"] + 20), back("checksum", "")},
		{"receipt flipped", flip(l.Values["receipts/messages"] + 20), whole("checksum")},
		{"counts flipped", flip(l.Values["counts/messages"]), whole("checksum")},
		{"header of a data key flipped", flip(l.Values["datakeys/"+dataKey(v.last())] + 100), whole("checksum")},
		// The batches.
		{"batch flipped where an older copy stands", flip(l.Batches[12] + 300), whole("does not verify")},
		{"batch flipped in its header", spoil(8, 50), back("", "8")},
		{"batch flipped in its number", spoil(8, 47), back("", "8")},
		{"batch flipped in its payload", spoil(12, 5000), back("does not verify", "12")},
		{"batch zeroed", func(b []byte) []byte {
			for _, at := range v.copies(9) {
				clear(b[at : at+int64(len(v.batches[4].Raw))])
			}
			return b
		}, back("", "9")},
		{"batch overwritten with an older one", func(b []byte) []byte {
			for _, at := range v.copies(12) {
				copy(b[at:], v.batches[1].Raw)
			}
			return b
		}, back("", "12")},
		{"first waiting batch flipped", spoil(5, 200), back("", "5")},
		{"last batch flipped", spoil(14, 200), back("does not verify", "14")},
		{"batch that carries the key flipped", spoil(10, 400), back("", "10")},
		{"two batches flipped", func(b []byte) []byte { return v.spoil(v.spoil(b, 6, 300), 12, 300) }, back("does not verify", "6 12")},
		{"every batch flipped", func(b []byte) []byte {
			for _, batch := range v.batches {
				v.spoil(b, batch.Seq, 150)
			}
			return b
		}, back("", all)},
	} {
		t.Run(c.name, func(t *testing.T) { v.check(t, c.damage, c.want) })
	}
}

func (v *victim) last() *seal.Batch { return v.batches[len(v.batches)-1] }

func (v *victim) check(t *testing.T, damage func([]byte) []byte, want outcome) {
	path := filepath.Join(t.TempDir(), "spool.db")
	bad := damage(bytes.Clone(v.raw))
	for name, data := range map[string][]byte{path: bad, path + ".kept": v.kept} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *spool.Spool {
		t.Helper()
		s, err := spool.Open(path, spool.Options{Identity: v.id, Archive: v.archive.Archive, Lasting: []string{"h"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	k := &keeper{a: v.archive, id: v.id, head: map[seal.Lane]*seal.Batch{seal.Messages: v.acked}, records: map[string]int{}}
	// What opening does not see, reading does; the spool is then opened anew.
	for range 3 {
		_, err := s.Peek(seal.Messages, 1<<30)
		if err == nil {
			break
		}
		if c, _ := s.Condition(); !errors.Is(err, spool.ErrDamaged) || c.State != spool.StateDamaged {
			t.Fatalf("peek: %v, state %s", err, c.State)
		}
		if err := s.Append(t.Context(), seal.Messages, lines(1, "x")); !errors.Is(err, spool.ErrDamaged) {
			t.Errorf("a damaged spool takes records: %v", err)
		}
		s.Close()
		s = open()
	}
	defer func() { s.Close() }()
	if want == (outcome{}) {
		if r := s.Recovery(); r != nil {
			t.Fatalf("taken for damaged: %+v", r)
		}
	} else {
		v.checkRecovery(t, path, s.Recovery(), bad, want)
	}
	lost := map[uint64]bool{}
	for field := range strings.FieldsSeq(want.lost) {
		var n uint64
		fmt.Sscan(field, &n)
		lost[n] = true
	}
	cursor, _ := s.Cursor("n")
	if wantAt := map[string]string{"": "14", spool.CursorsKept: "14", spool.CursorsAcknowledged: "4"}[want.cursors]; string(cursor) != wantAt {
		t.Errorf("cursor at %s, want %s", cursor, wantAt)
	}
	if h, _ := s.Cursor("h"); string(h) != "h14" && string(h) != "h4" || strings.HasPrefix(want.found, "does not") && string(h) != "h14" {
		t.Errorf("the lasting cursor is %q", h)
	}
	if err := s.Append(t.Context(), seal.Messages, lines(1, "fresh")); err != nil {
		t.Fatal(err)
	}
	k.deliver(t, s, seal.Messages)
	if k.records[string(lines(1, "fresh").NDJSON)] != 1 {
		t.Error("a fresh record does not flow")
	}
	for line, n := range v.records {
		if got := k.records[line]; n > 4 && (got == 1) == lost[n] || got > 1 {
			t.Errorf("record of batch %d was delivered %d times", n, got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	if s.Recovery() != nil {
		t.Error("healed twice")
	}
}

func (v *victim) checkRecovery(t *testing.T, path string, r *spool.Recovery, bad []byte, want outcome) {
	t.Helper()
	if r == nil {
		t.Fatal("not found")
	}
	if !strings.Contains(r.Cause, want.found) || r.Cursors != want.cursors || r.Whole() != want.whole {
		t.Errorf("recovery %+v, whole %t", r, r.Whole())
	}
	aside := filepath.Join(filepath.Dir(path), r.Aside)
	if !bytes.Equal(v.readFile(aside), bad) && len(bad) > 0 {
		t.Error("what is set aside is not the damaged file")
	}
	var reason spool.Recovery
	if err := json.Unmarshal(v.readFile(aside+".json"), &reason); err != nil || reason.Cause != r.Cause || reason.Batches != r.Batches {
		t.Errorf("reason %+v, %v", reason, err)
	}
}

func dataKey(b *seal.Batch) string { return string(append([]byte{byte(b.Lane)}, b.Key[:]...)) }

// A batch in the quarantine is not missing when the spool is damaged later, whether
// others stand behind it or not.
func TestDamageBehindQuarantine(t *testing.T) {
	for _, behind := range []int{0, 2} {
		w := newWorld(t)
		w.append(seal.Media, 1, "picture")
		w.append(seal.Messages, 1, "refused", spool.Cursor{Key: "c", Value: []byte("1")})
		for range behind {
			w.append(seal.Messages, 1, "behind")
		}
		if _, err := w.s.Quarantine(seal.Messages, 1, "refused"); err != nil {
			t.Fatal(err)
		}
		w.s.Close()
		raw, l := w.read(), spool.LayoutOf(t, w.path)
		raw[l.Values["counts/messages"]] ^= 1
		if err := os.WriteFile(w.path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		w.open()
		if r := w.s.Recovery(); r == nil || !r.Whole() || r.Lanes["messages"].Batches != behind || r.Lanes["messages"].Missing != 0 {
			t.Errorf("%d behind: %+v", behind, r)
		}
		w.append(seal.Messages, 1, "after")
		k := &keeper{a: w.archive, id: w.id, head: map[seal.Lane]*seal.Batch{}, records: map[string]int{}}
		k.deliver(t, w.s, seal.Messages)
		if k.restarts != 1 {
			t.Errorf("%d restarts", k.restarts)
		}
	}
}

func (w *world) read() []byte {
	w.t.Helper()
	b, err := os.ReadFile(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}
