// Package sealtest makes archives for tests: the public document that devices pin,
// and the private keys with which a test plays the archive.
package sealtest

import (
	"crypto/hpke"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/seal"
)

// Archive is an archive of which a test holds every key.
type Archive struct {
	*seal.Archive
	Bytes    []byte // the key document
	Private  hpke.PrivateKey
	Receipts note.Signer
	Chain    []seal.Link // every key document so far

	keys map[seal.KeyID]*seal.DataKey
}

// New makes an archive with fresh keys.
func New(t testing.TB) *Archive {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, logKey, err := note.GenerateKey(rand.Reader, name+"/log")
	must(err)
	a := &Archive{keys: map[seal.KeyID]*seal.DataKey{}}
	doc := a.renew(t, logKey)
	data, key, err := doc.Marshal()
	must(err)
	a.Bytes, a.Chain = data, []seal.Link{{Document: string(data)}}
	a.Archive, err = seal.OpenArchiveDocument(data, key)
	must(err)
	return a
}

const name = "archive.test/tidemark"

// renew makes new keys, and a document of them.
func (a *Archive) renew(t testing.TB, logKey string) *seal.ArchiveDocument {
	t.Helper()
	private, recipient, err := seal.NewRecipient()
	if err == nil {
		a.Private, err = seal.ParsePrivateKey(private)
	}
	if err != nil {
		t.Fatal(err)
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err == nil {
		a.Receipts, err = note.NewSigner(skey)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &seal.ArchiveDocument{V: 1, Archive: name, Recipients: []seal.RecipientKey{recipient}, ReceiptKey: vkey, LogKey: logKey, Created: time.Now().UTC()}
}

// Rollover makes the archive's next document, with new keys, and returns the archive
// that has it. Readers of the old one do not know it before they follow Chain.
func (a *Archive) Rollover(t testing.TB) *Archive {
	t.Helper()
	next := &Archive{keys: a.keys}
	doc := next.renew(t, a.Document.LogKey)
	return a.Adopt(t, next, doc, a.Receipts)
}

// Adopt makes doc the archive's next document, of whose keys next holds the private
// ones, with a note under the signer's key.
func (a *Archive) Adopt(t testing.TB, next *Archive, doc *seal.ArchiveDocument, signer note.Signer) *Archive {
	t.Helper()
	data, key, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	next.Archive, _ = seal.OpenArchiveDocument(data, key) // nil for a document that no reader takes
	s := seal.Succession{Archive: doc.Archive, Old: a.Key, New: key, Made: time.Now()}
	msg, err := s.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	next.Bytes = data
	next.Chain = append(a.Chain[:len(a.Chain):len(a.Chain)], seal.Link{Document: string(data), Note: string(msg)})
	return next
}

// Learn opens the header of a data key, which a batch or a restart carries.
func (a *Archive) Learn(t testing.TB, header []byte) {
	t.Helper()
	k, err := seal.OpenDataKey(header, a.Private)
	if err != nil {
		t.Fatal(err)
	}
	a.keys[k.ID] = k
}

// Open decrypts a batch; batches of a lane must come in their order.
func (a *Archive) Open(t testing.TB, b *seal.Batch) []byte {
	t.Helper()
	if b.KeyHeader != nil {
		a.Learn(t, b.KeyHeader)
	}
	k := a.keys[b.Key]
	if k == nil {
		t.Fatalf("batch %s/%d: its data key was never carried", b.Lane, b.Seq)
	}
	plain, err := b.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// Receipt signs a receipt for the batch.
func (a *Archive) Receipt(t testing.TB, b *seal.Batch) []byte {
	t.Helper()
	r := seal.Receipt{Archive: a.Name(), Device: b.Device, Lane: b.Lane, Seq: b.Seq, Hash: b.Hash(), Log: b.Seq - 1, Received: time.Now()}
	msg, err := r.Sign(a.Receipts)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}
