package seal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

// restart introduces the third batch of a chain, after a receipt for the first.
func restart(t testing.TB, id *seal.Identity, batches []*seal.Batch) *seal.Restart {
	t.Helper()
	r := &seal.Restart{
		Lane: seal.Messages, Reason: seal.Damaged, Made: when, ReceiptSeq: 1, ReceiptHash: batches[0].Hash(), Seen: 2,
		First: 3, Previous: batches[2].Previous, KeyHeaders: [][]byte{batches[0].KeyHeader},
	}
	if err := r.Sign(id); err != nil {
		t.Fatal(err)
	}
	return r
}

// A restart reads back as it was written, stands in a stream before the batch it
// introduces, and carries the key without which that batch could not be opened.
func TestRestart(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	batches := chain(t, a, id, 3)
	want := restart(t, id, batches)
	stream := bufio.NewReader(bytes.NewReader(append(append(bytes.Clone(batches[0].Raw), want.Raw...), batches[2].Raw...)))
	var got []*seal.Batch
	var found *seal.Restart
	for {
		r, err := seal.ReadRestart(stream)
		if err != nil {
			t.Fatal(err)
		}
		if r != nil {
			found = r
		}
		b, err := seal.ReadBatch(stream)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if (r != nil) != (b.Seq == 3) {
			t.Errorf("restart before batch %d: %v", b.Seq, r)
		}
		got = append(got, b)
	}
	if len(got) != 2 || found == nil {
		t.Fatalf("%d batches, restart %v", len(got), found)
	}
	if found.Hash() != want.Hash() || found.Hash() == (seal.Hash{}) || !bytes.Equal(found.Raw, want.Raw) || found.Seen != 2 ||
		found.ReceiptSeq != 1 || found.ReceiptHash != batches[0].Hash() || !found.Made.Equal(when) || found.Reason.String() != "damaged" {
		t.Errorf("read %+v", found)
	}
	if err := errors.Join(found.Verify(id.Public()), found.Introduces(got[1])); err != nil {
		t.Error(err)
	}
	if err := found.Introduces(got[0]); !errors.Is(err, seal.ErrForged) {
		t.Errorf("introduces another batch: %v", err)
	}
	if err := found.Verify(seal.NewIdentity().Public()); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another device's: %v", err)
	}
	header, err := seal.FindKeyHeader(append(bytes.Clone(found.KeyHeaders[0]), "and more"...))
	if err != nil || seal.KeyIDOf(header) != got[1].Key {
		t.Errorf("key header of %d bytes, %v", len(header), err)
	}
}

// A batch made after a restart names the restart's hash.
func TestRestartBeforeNewBatch(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	r := &seal.Restart{Lane: seal.Messages, Reason: seal.Lost, Made: when, First: 1000}
	if err := r.Sign(id); err != nil {
		t.Fatal(err)
	}
	key, err := seal.NewDataKey(a.Archive, id.ID(), seal.Messages, when)
	if err != nil {
		t.Fatal(err)
	}
	payload, counter, err := key.Seal(seal.Compress([]byte(ndjson)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := seal.NewBatch(id, seal.Header{
		Lane: seal.Messages, Device: id.ID(), Key: key.ID, Seq: 1000, Sealed: when, Records: 2, Counter: counter, Previous: r.Before(),
	}, key.Header, payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Introduces(b); err != nil {
		t.Error(err)
	}
}

// No bit of a restart can be changed without its being refused.
func TestEveryBitOfRestartCounts(t *testing.T) {
	id := seal.NewIdentity()
	r := restart(t, id, chain(t, sealtest.New(t), id, 3))
	for i := range r.Raw {
		for bit := range 8 {
			raw := bytes.Clone(r.Raw)
			raw[i] ^= 1 << bit
			c, err := seal.ParseRestart(raw)
			if err == nil {
				err = c.Verify(id.Public())
			}
			if err == nil {
				t.Fatalf("byte %d bit %d changed and not noticed", i, bit)
			}
		}
	}
}

// A restart that contradicts itself is not made and not read.
func TestRestartRefuses(t *testing.T) {
	id := seal.NewIdentity()
	for name, change := range map[string]func(*seal.Restart){
		"lane":               func(r *seal.Restart) { r.Lane = 9 },
		"no reason":          func(r *seal.Restart) { r.Reason = 0 },
		"first of all":       func(r *seal.Restart) { r.First = 1 },
		"behind what is":     func(r *seal.Restart) { r.Seen = r.First },
		"receipt ahead":      func(r *seal.Restart) { r.ReceiptSeq = r.First },
		"receipt of nothing": func(r *seal.Restart) { r.ReceiptSeq = 0 },
		"no key header":      func(r *seal.Restart) { r.KeyHeaders = [][]byte{[]byte("TMKK")} },
	} {
		r := restart(t, id, chain(t, sealtest.New(t), id, 3))
		change(r)
		if err := r.Sign(id); !errors.Is(err, seal.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A restart of this version is read for ever.
func TestGoldenRestart(t *testing.T) {
	file := filepath.Join("testdata", "golden", "restart.txt")
	id, err := seal.IdentityFromSeed(sha(7))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		r := restart(t, id, chain(t, sealtest.New(t), id, 3))
		text := fmt.Sprintf("hash: %s\nrestart: %x\n", r.Hash(), r.Raw)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v := readVector(t, file)
	r, err := seal.ParseRestart(unhex(t, v["restart"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(id.Public()); err != nil {
		t.Error(err)
	}
	if r.Hash().String() != v["hash"] || r.Lane != seal.Messages || r.Reason != seal.Damaged || !r.Made.Equal(when) || r.Seen != 2 || r.First != 3 || len(r.KeyHeaders) != 1 {
		t.Errorf("the restart says %+v", r)
	}
	newer := bytes.Clone(r.Raw)
	newer[4] = 2
	if _, err := seal.ParseRestart(newer); !errors.Is(err, seal.ErrNewer) {
		t.Errorf("version 2: %v", err)
	}
}

func FuzzRestart(f *testing.F) {
	id := seal.NewIdentity()
	r := restart(f, id, chain(f, sealtest.New(f), id, 3))
	f.Add(r.Raw)
	f.Add(r.Raw[:len(r.Raw)/2])
	f.Add([]byte("TMKR"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := seal.ParseRestart(raw)
		if err == nil && (!bytes.Equal(c.Raw, raw) || len(raw) > seal.MaxRestart) {
			t.Fatal("read otherwise than it stands")
		}
		if err == nil && c.Verify(id.Public()) == nil && !bytes.Equal(raw, r.Raw) {
			t.Fatal("forged")
		}
	})
}
