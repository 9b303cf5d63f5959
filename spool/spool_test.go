package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// world is a spool with an archive that a test plays.
type world struct {
	t       testing.TB
	path    string
	id      *seal.Identity
	archive *sealtest.Archive
	s       *spool.Spool
	max     int64
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, path: filepath.Join(t.TempDir(), "spool.db"), id: seal.NewIdentity(), archive: sealtest.New(t)}
	w.open()
	t.Cleanup(func() { w.s.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive, MaxBytes: w.max})
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) reopen() {
	w.t.Helper()
	if err := w.s.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func lines(n int, text string) spool.Records {
	return spool.Records{NDJSON: []byte(strings.Repeat(`{"text":"`+text+"\"}\n", n)), Count: n}
}

func (w *world) append(lane seal.Lane, n int, text string, cursors ...spool.Cursor) {
	w.t.Helper()
	if err := w.s.Append(w.t.Context(), lane, lines(n, text), cursors...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) peek(lane seal.Lane) []*seal.Batch {
	w.t.Helper()
	b, err := w.s.Peek(lane, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// What is appended comes out in order, chained and signed, across restarts, and only
// the archive can read it.
func TestOrderAndChain(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.append(seal.Messages, 1+i%3, fmt.Sprintf("secret words %d", i))
		if i%7 == 0 {
			w.append(seal.Media, 1, "picture")
		}
		if i%11 == 0 {
			w.reopen()
		}
	}
	batches := w.peek(seal.Messages)
	if len(batches) != 30 {
		t.Fatalf("%d batches", len(batches))
	}
	var previous seal.Hash
	for i, b := range batches {
		if b.Seq != uint64(i+1) || b.Previous != previous || b.Verify(w.id.Public()) != nil {
			t.Fatalf("batch %d: seq %d", i, b.Seq)
		}
		previous = b.Hash()
		if want := lines(1+i%3, fmt.Sprintf("secret words %d", i)); !bytes.Equal(w.archive.Open(t, b), want.NDJSON) {
			t.Fatalf("batch %d holds something else", i)
		}
	}
	if seq, hash := w.s.Head(seal.Messages); seq != 30 || hash != previous {
		t.Errorf("head is %d", seq)
	}
	if got := len(w.peek(seal.Media)); got != 5 {
		t.Errorf("media lane has %d batches", got)
	}
	raw, err := os.ReadFile(w.path)
	if err != nil || bytes.Contains(raw, []byte("secret words")) {
		t.Errorf("content in clear on the disk (%v)", err)
	}
}

// A batch leaves on a receipt that verifies and covers it, and on nothing else.
func TestReceiptOrKeep(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.append(seal.Messages, 1, strconv.Itoa(i))
	}
	b := w.peek(seal.Messages)
	other := newWorld(t)
	other.archive = w.archive
	other.reopenAs()
	other.append(seal.Messages, 1, "x")
	good := w.archive.Receipt(t, b[0])
	wrong := map[string][]byte{
		"empty":              nil,
		"html":               []byte("<html>Welcome to the hotel</html>"),
		"a changed byte":     append(append([]byte{}, good[:40]...), append([]byte{good[40] ^ 1}, good[41:]...)...),
		"another archive's":  sealtest.New(t).Receipt(t, b[0]),
		"another device's":   w.archive.Receipt(t, other.peek(seal.Messages)[0]),
		"one of the future":  w.sign(func(r *seal.Receipt) { r.Seq = 99 }, b[0]),
		"another hash":       w.sign(func(r *seal.Receipt) { r.Hash[0]++ }, b[0]),
		"another lane":       w.sign(func(r *seal.Receipt) { r.Lane = seal.Media }, b[0]),
		"another's sequence": w.sign(func(r *seal.Receipt) { r.Seq = 2 }, b[0]),
	}
	for name, msg := range wrong {
		if _, err := w.s.Ack(msg); err == nil {
			t.Errorf("%s is taken for a receipt", name)
		}
		if n := len(w.peek(seal.Messages)); n != 4 {
			t.Fatalf("%s: %d batches left", name, n)
		}
	}
	for range 2 { // the second time is harmless
		if _, err := w.s.Ack(good); err != nil {
			t.Fatal(err)
		}
	}
	w.reopen()
	if left := w.peek(seal.Messages); len(left) != 3 || left[0].Seq != 2 {
		t.Fatalf("%d left", len(left))
	}
	st, err := w.s.Stats()
	if err != nil || st.Lanes["messages"].Acked != 1 || st.Lanes["messages"].Seq != 4 || st.Lanes["messages"].Batches != 3 {
		t.Errorf("stats %+v %v", st, err)
	}
	// All or none: one bad note among several lets nothing go.
	if _, err := w.s.AckAll([][]byte{w.archive.Receipt(t, b[1]), w.sign(func(r *seal.Receipt) { r.Hash[0]++ }, b[2])}); err == nil {
		t.Error("a bad note among good ones is taken")
	}
	if n := len(w.peek(seal.Messages)); n != 3 {
		t.Errorf("%d left after a refused group", n)
	}
}

func (w *world) sign(change func(*seal.Receipt), b *seal.Batch) []byte {
	r := seal.Receipt{Archive: w.archive.Name(), Device: b.Device, Lane: b.Lane, Seq: b.Seq, Hash: b.Hash(), Received: time.Now()}
	change(&r)
	msg, err := r.Sign(w.archive.Receipts)
	if err != nil {
		w.t.Fatal(err)
	}
	return msg
}

// reopenAs begins an empty spool under the archive that was just set.
func (w *world) reopenAs() {
	w.s.Close()
	os.Remove(w.path)
	os.Remove(w.path + ".kept")
	w.open()
}

// Sequence numbers are never used twice, not even when everything has left.
func TestNumbersGoOn(t *testing.T) {
	w := newWorld(t)
	for i := 1; i <= 5; i++ {
		w.append(seal.Messages, 1, "x")
		b := w.peek(seal.Messages)
		if len(b) != 1 || b[0].Seq != uint64(i) {
			t.Fatalf("after %d: %v", i, b[0].Seq)
		}
		if _, err := w.s.Ack(w.archive.Receipt(t, b[0])); err != nil {
			t.Fatal(err)
		}
		w.reopen()
	}
}

// Each data key's header travels with the first batch under it, so an archive that
// takes the batches in order can open every one; after a restart the key is new.
func TestKeysTravel(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.append(seal.Messages, 1, "a")
		w.append(seal.Messages, 1, "b")
		w.reopen()
	}
	carried := 0
	for _, b := range w.peek(seal.Messages) {
		if b.KeyHeader != nil {
			carried++
		}
		w.archive.Open(t, b) // fails when its key was not carried before
	}
	if carried != 3 {
		t.Errorf("%d key headers for 3 runs", carried)
	}
}

// A full spool refuses and changes nothing, cursors included, and takes again when
// the archive has taken so much that at most 70 % is left, not before.
func TestFull(t *testing.T) {
	w := newWorld(t)
	w.s.Close()
	w.max = 64 << 10
	w.open()
	state := func() spool.State { c, _ := w.s.Condition(); return c.State }
	var err error
	appended := 0
	filling := false
	for range 1000 {
		if err = w.s.Append(t.Context(), seal.Messages, lines(1, "x"), spool.Cursor{Key: "c", Value: []byte(strconv.Itoa(appended + 1))}); err != nil {
			break
		}
		appended++
		if st, _ := w.s.Stats(); (state() == spool.StateFilling) != (st.Bytes*10 >= st.MaxBytes*9) {
			t.Fatalf("%s with %d of %d", state(), st.Bytes, st.MaxBytes)
		}
		filling = filling || state() == spool.StateFilling
	}
	if !errors.Is(err, spool.ErrFull) || !filling || state() != spool.StateFull {
		t.Fatalf("never full: %v, %s", err, state())
	}
	if c, _ := w.s.Cursor("c"); string(c) != strconv.Itoa(appended) || len(w.peek(seal.Messages)) != appended {
		t.Errorf("cursor %s after %d appends, %d batches", c, appended, len(w.peek(seal.Messages)))
	}
	if err := w.s.Append(t.Context(), seal.Messages, spool.Records{}, spool.Cursor{Key: "only", Value: []byte("c")}); err != nil {
		t.Errorf("a cursor alone needs no room: %v", err)
	}
	for _, b := range w.peek(seal.Messages) {
		_, changed := w.s.Condition()
		if _, err := w.s.Ack(w.archive.Receipt(t, b)); err != nil {
			t.Fatal(err)
		}
		st, _ := w.s.Stats()
		err := w.s.Append(t.Context(), seal.Messages, lines(1, "x"))
		if room := st.Bytes*100/st.MaxBytes <= 70; room != (err == nil) {
			t.Fatalf("%d of %d wait: %v", st.Bytes, st.MaxBytes, err)
		}
		if err == nil {
			select {
			case <-changed:
			default:
				t.Error("nobody is told that there is room")
			}
			return
		}
	}
	t.Error("never room again")
}

// Less free space than the floor stops appends with a reason of its own; cursors and
// deliveries go on.
func TestFloor(t *testing.T) {
	w := newWorld(t)
	w.append(seal.Messages, 1, "before")
	w.s.Close()
	s, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive, MinFree: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Append(t.Context(), seal.Messages, lines(1, "x"), spool.Cursor{Key: "c", Value: []byte("1")})
	if !errors.Is(err, spool.ErrLowDisk) || !errors.Is(err, spool.ErrFull) {
		t.Errorf("append: %v", err)
	}
	if c, _ := s.Condition(); c.State != spool.StateLowDisk || !c.State.Stopped() {
		t.Errorf("condition %+v", c)
	}
	if err := s.Append(t.Context(), seal.Messages, spool.Records{}, spool.Cursor{Key: "c", Value: []byte("1")}); err != nil {
		t.Error(err)
	}
	b, err := s.Peek(seal.Messages, 1)
	if err != nil || len(b) != 1 {
		t.Fatal(err)
	}
	if _, err := s.Ack(w.archive.Receipt(t, b[0])); err != nil {
		t.Error(err)
	}
	if st, _ := s.Stats(); st.FreeBytes <= 0 || st.MinFree != 1<<62 {
		t.Errorf("stats %+v", st)
	}
}

// One process at a time, and the other is told so.
func TestLocked(t *testing.T) {
	w := newWorld(t)
	if _, err := spool.Open(w.path, spool.Options{Identity: w.id, Archive: w.archive.Archive}); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
}

// A drained file gets small again and keeps cursors, chain and receipts; appends and
// peeks go on meanwhile.
func TestShrinks(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3<<20)
	for i := range noise { // does not compress
		noise[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
	}
	w.append(seal.Messages, 1, "first", spool.Cursor{Key: "kept", Value: []byte("yes")})
	for range 8 {
		w.append(seal.Messages, 1, string(noise))
	}
	before, _ := w.s.Stats()
	var notes [][]byte
	last := w.peek(seal.Messages)
	for _, b := range last {
		notes = append(notes, w.archive.Receipt(t, b))
	}
	if _, err := w.s.AckAll(notes); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		st, err := w.s.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if st.FileBytes < 1<<20 {
			w.append(seal.Messages, 1, "after")
			b := w.peek(seal.Messages)
			if len(b) != 1 || b[0].Previous != last[len(last)-1].Hash() {
				t.Fatal("the chain is broken")
			}
			w.reopen()
			if c, _ := w.s.Cursor("kept"); string(c) != "yes" {
				t.Fatal("the cursor is lost")
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	after, _ := w.s.Stats()
	t.Errorf("file of %d bytes is %d after draining", before.FileBytes, after.FileBytes)
}

// Appends and deliveries from many goroutines lose and double nothing.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	const writers, each = 8, 40
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				key := fmt.Sprintf("w%d", i)
				if err := w.s.Append(context.Background(), seal.Messages, lines(1, fmt.Sprintf("%d/%d", i, j)), spool.Cursor{Key: key, Value: []byte(strconv.Itoa(j))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := map[string]int{}
	next := map[string]int{}
	total := 0
	for total < writers*each {
		wait := w.s.Wait(seal.Messages)
		batches := w.peek(seal.Messages)
		if len(batches) == 0 {
			<-wait
			continue
		}
		for _, b := range batches {
			line := strings.TrimSpace(string(w.archive.Open(t, b)))
			got[line]++
			var i, j int
			fmt.Sscanf(line, `{"text":"%d/%d"}`, &i, &j)
			key := fmt.Sprintf("w%d", i)
			if next[key] != j {
				t.Fatalf("writer %d: %d comes before %d", i, j, next[key])
			}
			next[key]++
			total++
			if _, err := w.s.Ack(w.archive.Receipt(t, b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	for line, n := range got {
		if n != 1 {
			t.Errorf("%s came %d times", line, n)
		}
	}
}

// Killed at any moment, records and the cursor that passes them are both there or
// both not, what Append confirmed is there, and the chain has no hole.
func TestKilled(t *testing.T) {
	if os.Getenv("SPOOL_CHILD") != "" {
		child()
		return
	}
	w := newWorld(t)
	w.s.Close()
	kills := 12
	if testing.Short() {
		kills = 4
	}
	confirmed := 0
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "SPOOL_CHILD="+w.path, fmt.Sprintf("SPOOL_SEED=%x", w.id.Seed()), "SPOOL_DOC="+string(w.archive.Bytes), "SPOOL_KEY="+w.archive.Key.String())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for n := 0; n < 10+i*7 && said.Scan(); n++ { // dies after so many confirmations, in the middle of the next
			if v, err := strconv.Atoi(said.Text()); err == nil {
				confirmed = v
			}
		}
		cmd.Process.Kill()
		for said.Scan() {
			if v, err := strconv.Atoi(said.Text()); err == nil {
				confirmed = v
			}
		}
		cmd.Wait()
	}
	w.open()
	raw, _ := w.s.Cursor("n")
	cursor := 0
	if len(raw) == 8 {
		cursor = int(binary.BigEndian.Uint64(raw))
	}
	var previous seal.Hash
	found := 0
	for i, b := range w.peek(seal.Messages) {
		if b.Seq != uint64(i+1) || b.Previous != previous {
			t.Fatalf("hole at %d", i)
		}
		previous = b.Hash()
		for line := range bytes.Lines(w.archive.Open(t, b)) {
			found++
			if want := fmt.Sprintf("{\"n\":%d}\n", found); string(line) != want {
				t.Fatalf("record %d is %s", found, line)
			}
		}
	}
	if found != cursor || cursor < confirmed || confirmed == 0 {
		t.Errorf("%d records, cursor at %d, %d confirmed", found, cursor, confirmed)
	}
	t.Logf("%d records over %d kills", found, kills)
}

// child appends numbered records for ever, saying the last confirmed one.
func child() {
	seed := make([]byte, 32)
	fmt.Sscanf(os.Getenv("SPOOL_SEED"), "%x", &seed)
	id, err := seal.IdentityFromSeed(seed)
	if err != nil {
		panic(err)
	}
	key, err := seal.ParseArchiveKey(os.Getenv("SPOOL_KEY"))
	if err != nil {
		panic(err)
	}
	a, err := seal.OpenArchiveDocument([]byte(os.Getenv("SPOOL_DOC")), key)
	if err != nil {
		panic(err)
	}
	s, err := spool.Open(os.Getenv("SPOOL_CHILD"), spool.Options{Identity: id, Archive: a})
	if err != nil {
		panic(err)
	}
	n := uint64(0)
	if c, _ := s.Cursor("n"); len(c) == 8 {
		n = binary.BigEndian.Uint64(c)
	}
	for {
		var b []byte
		count := 1 + int(n%5)
		for range count {
			n++
			b = fmt.Appendf(b, "{\"n\":%d}\n", n)
		}
		if err := s.Append(context.Background(), seal.Messages, spool.Records{NDJSON: b, Count: count},
			spool.Cursor{Key: "n", Value: binary.BigEndian.AppendUint64(nil, n)}); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}
