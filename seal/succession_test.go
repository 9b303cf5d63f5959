package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

// Whoever pinned any of an archive's documents follows it to the newest, seals to its
// recipients, and takes receipts under every key on the way: those under a replaced key
// only for batches that were sealed before this reader learned of it.
func TestFollow(t *testing.T) {
	first := sealtest.New(t)
	second := first.Rollover(t)
	third := second.Rollover(t)
	id := seal.NewIdentity()
	old := chain(t, first, id, 1)[0] // sealed at when
	for i, pinned := range []*sealtest.Archive{first, second, third} {
		a, err := seal.OpenSuccession(third.Chain, pinned.Key, when)
		if err != nil {
			t.Fatal(err)
		}
		if a.Key != third.Key || !a.Had(pinned.Key) || a.Had(first.Key) != (i == 0) {
			t.Fatalf("pinned document %d is followed to %s", i, a.Key)
		}
		for j, by := range []*sealtest.Archive{first, second, third} {
			r, err := seal.OpenReceipt(by.Receipt(t, old), a.ReceiptVerifier())
			if (err == nil) != (j >= i) {
				t.Errorf("pinned %d, receipt under key %d: %v", i, j, err)
			}
			if err == nil && r.Covers(old) != nil {
				t.Errorf("pinned %d, receipt under key %d does not cover a batch of before", i, j)
			}
		}
		later := chain(t, &sealtest.Archive{Archive: a}, id, 1)[0]
		if third.Open(t, later); later.Sealed != when {
			t.Fatal("sealed at another time")
		}
		if again, err := a.Follow(third.Chain, when); again != a || err != nil {
			t.Errorf("nothing new: %v", err)
		}
	}

	a, err := seal.OpenSuccession(third.Chain, first.Key, when.Add(-time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for i, by := range []*sealtest.Archive{first, second, third} {
		r, err := seal.OpenReceipt(by.Receipt(t, old), a.ReceiptVerifier())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Covers(old); (err == nil) != (i == 2) {
			t.Errorf("key %d, for a batch sealed after it was replaced: %v", i, err)
		}
	}
}

// A document that the same receipt key is in again changes nothing about receipts.
func TestFollowSameKey(t *testing.T) {
	a := sealtest.New(t)
	last := a
	for range 3 {
		doc := last.Document
		doc.Created = doc.Created.Add(time.Second)
		last = last.Adopt(t, &sealtest.Archive{Private: a.Private, Receipts: a.Receipts}, &doc, a.Receipts)
	}
	last = last.Rollover(t)
	got, err := seal.OpenSuccession(last.Chain, a.Key, when)
	if err != nil {
		t.Fatal(err)
	}
	b := chain(t, a, seal.NewIdentity(), 1)[0]
	for _, by := range []*sealtest.Archive{a, last} {
		if r, err := seal.OpenReceipt(by.Receipt(t, b), got.ReceiptVerifier()); err != nil || r.Covers(b) != nil {
			t.Errorf("receipt: %v", err)
		}
	}
}

// A chain is refused as a whole when it does not lead on from the document in use: rolled
// back, forked, cut out of, led in a circle, signed by another key, or of another archive.
func TestForgedSuccession(t *testing.T) {
	first := sealtest.New(t)
	second := first.Rollover(t)
	third := second.Rollover(t)
	stranger := sealtest.New(t)
	fork := first.Rollover(t)
	link := func(from, to *sealtest.Archive, doc *seal.ArchiveDocument, signed *sealtest.Archive) []seal.Link {
		if doc == nil {
			doc = &to.Document
		}
		return from.Adopt(t, &sealtest.Archive{}, doc, signed.Receipts).Chain
	}
	named := second.Document
	named.Archive = "another"
	newer := second.Document
	newer.V = 2
	for what, c := range map[string]struct {
		in    *sealtest.Archive
		chain []seal.Link
	}{
		"nothing":                        {second, nil},
		"rolled back":                    {second, first.Chain},
		"another archive":                {second, stranger.Chain},
		"forked":                         {second, fork.Chain},
		"forked and led on":              {second, fork.Rollover(t).Chain},
		"a step left out":                {first, []seal.Link{third.Chain[0], third.Chain[2]}},
		"a step's note missing":          {first, []seal.Link{third.Chain[0], {Document: third.Chain[1].Document}}},
		"notes swapped":                  {first, []seal.Link{third.Chain[0], {third.Chain[1].Document, third.Chain[2].Note}}},
		"signed by the new key":          {first, link(first, second, nil, second)},
		"signed by a stranger":           {first, link(first, second, nil, stranger)},
		"signed by a key before the old": {second, link(second, third, nil, first)},
		"led back":                       {second, link(second, first, nil, second)},
		"led to itself":                  {second, link(second, second, nil, second)},
		"under another name":             {first, link(first, second, &named, first)},
		"a good step and then a bad one": {first, append(slices.Clone(second.Chain), seal.Link{Document: third.Chain[2].Document, Note: third.Chain[1].Note})},
		"a receipt instead of a note":    {first, []seal.Link{first.Chain[0], {second.Chain[1].Document, string(first.Receipt(t, chain(t, first, seal.NewIdentity(), 1)[0]))}}},
		"a document without recipients":  {first, link(first, second, &seal.ArchiveDocument{V: 1, Archive: first.Name()}, first)},
	} {
		in, err := seal.OpenSuccession(c.in.Chain, first.Key, when)
		if err != nil {
			t.Fatal(err)
		}
		got, err := in.Follow(c.chain, when)
		if !errors.Is(err, seal.ErrSuccession) || !known(err) || got != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	in := first.Archive
	if _, err := in.Follow(link(first, second, &newer, first), when); !errors.Is(err, seal.ErrNewer) {
		t.Errorf("a document of a newer version: %v", err)
	}
	if _, err := in.Follow(make([]seal.Link, 257), when); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
	if _, err := seal.OpenSuccession(third.Chain, stranger.Key, when); !errors.Is(err, seal.ErrSuccession) {
		t.Errorf("pinned another: %v", err)
	}

	// Each field of the note, and each byte of the document.
	msg := []byte(second.Chain[1].Note)
	fields := sealtest.Lines(t, "## Succession of key documents", string(msg))
	fields = append(fields, sealtest.Field{Name: "signature", Start: fields[len(fields)-1].End, End: len(msg)})
	alterEach(t, msg, fields, func(msg []byte) error {
		_, err := in.Follow([]seal.Link{first.Chain[0], {second.Chain[1].Document, string(msg)}}, when)
		return err
	})
	doc := []byte(second.Chain[1].Document)
	alterEach(t, doc, []sealtest.Field{{Name: "document", End: len(doc)}}, func(doc []byte) error {
		_, err := in.Follow([]seal.Link{first.Chain[0], {string(doc), second.Chain[1].Note}}, when)
		return err
	})
	if _, err := in.Follow([]seal.Link{first.Chain[0], {second.Chain[1].Document, string(strayBits(t, msg))}}, when); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("stray bits at the end of the signature: %v", err)
	}
}

// A succession of this version, as an archive made it, is followed for ever.
func TestGoldenSuccession(t *testing.T) {
	name := filepath.Join("testdata", "golden", "succession.json")
	if *update {
		data, err := json.MarshalIndent(sealtest.New(t).Rollover(t).Rollover(t).Chain, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var links []seal.Link
	if err := json.Unmarshal(data, &links); err != nil {
		t.Fatal(err)
	}
	a, err := seal.OpenSuccession(links, links[0].Key(), when)
	if err != nil {
		t.Fatal(err)
	}
	if len(links) != 3 || a.Key != links[2].Key() || !a.Had(links[1].Key()) {
		t.Errorf("followed to %s", a.Key)
	}
}

// No note but the archive's own leads on.
func FuzzSuccession(f *testing.F) {
	first := sealtest.New(f)
	second := first.Rollover(f)
	good := second.Chain[1].Note
	f.Add(good)
	f.Add(strings.Replace(good, "/v1", "/v2", 1))
	f.Add(string(first.Receipt(f, chain(f, first, seal.NewIdentity(), 1)[0])))
	f.Fuzz(func(t *testing.T, msg string) {
		_, err := first.Follow([]seal.Link{first.Chain[0], {Document: second.Chain[1].Document, Note: msg}}, when)
		if err == nil && !bytes.Equal([]byte(msg), []byte(good)) {
			t.Fatal("another note is followed")
		}
	})
}
