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
	private, recipient, err := seal.NewRecipient()
	must(err)
	const name = "archive.test/tidemark"
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	must(err)
	_, logKey, err := note.GenerateKey(rand.Reader, name+"/log")
	must(err)
	doc := &seal.ArchiveDocument{V: 1, Archive: name, Recipients: []seal.RecipientKey{recipient}, ReceiptKey: vkey, LogKey: logKey, Created: time.Now().UTC()}
	data, key, err := doc.Marshal()
	must(err)
	a := &Archive{Bytes: data, keys: map[seal.KeyID]*seal.DataKey{}}
	a.Archive, err = seal.OpenArchiveDocument(data, key)
	must(err)
	a.Private, err = seal.ParsePrivateKey(private)
	must(err)
	a.Receipts, err = note.NewSigner(skey)
	must(err)
	return a
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
