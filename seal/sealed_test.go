package seal_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

// Records sealed before their place is known make the same batches as any: they read
// back, verify, follow one another and open, with and without the key's header, also
// in memory that was used before.
func TestSealed(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	key, err := seal.NewDataKey(a.Archive, id.ID(), seal.Media, when)
	if err != nil {
		t.Fatal(err)
	}
	var previous seal.Hash
	for i := range 6 {
		text := []byte(strings.Repeat(ndjson, 1+(i%3)*1000))
		s, err := key.SealRecords(text)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Batch(id, seal.Header{Seq: uint64(i + 1), Sealed: when, Records: uint32(bytes.Count(text, []byte("\n"))), Previous: previous}, i == 0)
		if err != nil {
			t.Fatal(err)
		}
		c, err := seal.ParseBatch(bytes.Clone(b.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(id.Public()); err != nil {
			t.Fatal(err)
		}
		if c.Header != b.Header || c.Hash() != b.Hash() || c.Lane != seal.Media || c.Key != key.ID || (c.KeyHeader != nil) != (i == 0) ||
			len(c.Payload) != s.Len() || !bytes.Equal(a.Open(t, c), text) {
			t.Fatalf("batch %d came back as %+v", i, c.Header)
		}
		previous = b.Hash()
		s.Release()
	}
	if _, err := key.SealRecords(nil); err != nil {
		t.Error(err)
	}
}

// Promise of docs/benchmarks.md: what is sealed is smaller than the same records
// gzipped, a history without and a single message with all that its batch adds; but for
// a data key's header, which comes once.
func TestSealedIsSmallerThanGzipped(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	line := func(i int) string {
		var text strings.Builder
		for range 4 + rng.IntN(10) {
			fmt.Fprintf(&text, "%s %d ", []string{"invoice", "订单", "see ticket", "请查收", "container", "已经发出", "approved"}[rng.IntN(7)], rng.IntN(1000))
		}
		server := rng.Uint64() >> 1
		return fmt.Sprintf(`{"v":1,"kind":"message","id":"m_%013x%013x","device":"d_5zpwflwtnhbcwtamqi2pgywoyy","captured_at":"2026-11-23T08:00:%02d.123Z","account":{"id":"wxid_me","name":"Me"},"client":{"app":"weixin","generation":"4","os":"windows"},"conversation":{"id":"7@chatroom","kind":"room","name":"Room"},"sender":{"id":"wxid_%d","name":"Somebody","self":false},"sent_at":"2026-11-23T07:00:%02dZ","server_id":"%d","local_id":"%d","order":"17638%05d000","type":"text","text":"%s","native":{"type":1,"subtype":0},"decoder":"weixin4/2","source":{"file":"message/message_0.db","table":"Msg_9e20f478899dc29eb19741386f9343c8","row":{"local_id":%d,"server_id":{"int":"%d"},"local_type":1,"sort_seq":17638%05d000,"real_sender_id":%d,"create_time":17638%05d,"status":3,"source":"<msgsource><signature>N0_V1_%08x|v1_%08x</signature></msgsource>","message_content":"%s"}}}`+"\n",
			rng.Uint64()>>12, rng.Uint64()>>12, i%60, i%300, i%60, server, i, i, text.String(), i, server, i, i%300, i, rng.Uint32(), rng.Uint32(), text.String())
	}
	key, err := seal.NewDataKey(sealtest.New(t).Archive, seal.NewIdentity().ID(), seal.Messages, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 1000} {
		var ndjson []byte
		for i := range n {
			ndjson = append(ndjson, line(i)...)
		}
		s, err := key.SealRecords(ndjson)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Batch(seal.NewIdentity(), seal.Header{Seq: 1, Records: uint32(n)}, false)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(ndjson)
		z.Close()
		t.Logf("%d records, %d bytes: %d sealed, %d gzipped", n, len(ndjson), len(b.Raw), packed.Len())
		if len(b.Raw) > packed.Len() {
			t.Errorf("%d records: %d bytes sealed, %d gzipped", n, len(b.Raw), packed.Len())
		}
	}
}
