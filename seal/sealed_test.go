package seal_test

import (
	"bytes"
	"strings"
	"testing"

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
