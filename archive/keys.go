package archive

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/seal"
	"tidemark/seal/protocol"
)

// ErrNoArchive reports a folder that holds no archive, or not all of one.
var ErrNoArchive = errors.New("not an archive")

const (
	recipientFile = "recipient.pem" // later ones are recipient-<id>.pem
	receiptFile   = "receipt.key"   // later ones are receipt-<hash of the verifier key>.key
	logFile       = "log.key"
	recipientType = "TIDEMARK RECIPIENT PRIVATE KEY"
)

// Keys is an archive's identity: its document, and those private keys that are
// in its folder.
type Keys struct {
	Document   []byte // exact bytes
	Archive    *seal.Archive
	Chain      []seal.Link       // every document that the archive has had, the last of them the one in force
	Recipients []hpke.PrivateKey // of any of the documents; none: the archive is blind
	Receipts   note.Signer       // nil when its file is not there
	Log        note.Signer       // nil when its file is not there
	LogKey     note.Verifier
}

// String keeps the keys out of what is printed.
func (k *Keys) String() string { return "keys of archive " + k.Archive.Name() }

// LoadKeys reads the documents and the private keys, and checks that they belong
// together. The first document's hash is what it is: whether it is the pinned one, its
// reader must know.
func (f Folder) LoadKeys() (*Keys, error) {
	k := &Keys{}
	var err error
	if k.Chain, err = f.chain(); err != nil {
		return nil, err
	}
	if k.Archive, err = seal.OpenSuccession(k.Chain, k.Chain[0].Key(), time.Time{}); err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	k.Document = []byte(k.Chain[len(k.Chain)-1].Document)
	if k.LogKey, err = note.NewVerifier(k.Archive.Document.LogKey); err != nil {
		return nil, fmt.Errorf("read archive: log key: %w", err)
	}
	if k.Receipts, err = f.loadReceiptKey(k.Archive.ReceiptVerifier()); err != nil {
		return nil, err
	}
	if k.Log, err = f.loadSigner(logFile, k.LogKey); err != nil {
		return nil, err
	}
	return k, k.loadRecipients(f)
}

// chain reads the documents that the archive has had.
func (f Folder) chain() ([]seal.Link, error) {
	doc, err := os.ReadFile(f.Document())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read archive %s: %w", string(f), ErrNoArchive)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	data, err := os.ReadFile(f.Succession())
	if errors.Is(err, os.ErrNotExist) {
		return []seal.Link{{Document: string(doc)}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var form protocol.Succession
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("read archive: %s: %w", filepath.Base(f.Succession()), seal.ErrMalformed)
	}
	if !slices.ContainsFunc(form.Succession, func(l seal.Link) bool { return l.Document == string(doc) }) {
		return nil, fmt.Errorf("read archive: %s is of another archive than %s: %w", filepath.Base(f.Succession()), filepath.Base(f.Document()), ErrNoArchive)
	}
	return form.Succession, nil
}

// loadRecipients reads the recipients' private keys that are in the folder. A file that
// is of no document is of an attempt to change the keys that came to nothing; but the
// first is not.
func (k *Keys) loadRecipients(f Folder) error {
	names, err := filepath.Glob(filepath.Join(f.Keys(), strings.TrimSuffix(recipientFile, ".pem")+"*.pem"))
	if err != nil {
		return fmt.Errorf("read recipient key: %w", err)
	}
	var public [][]byte
	for _, l := range k.Chain {
		a, err := seal.OpenArchiveDocument([]byte(l.Document), l.Key())
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		for _, r := range a.Document.Recipients {
			public = append(public, r.PublicKey)
		}
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read recipient key: %w", err)
		}
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != recipientType {
				continue
			}
			private, err := seal.ParsePrivateKey(block.Bytes)
			if err != nil {
				return err
			}
			ours := slices.ContainsFunc(public, func(p []byte) bool { return bytes.Equal(p, private.PublicKey().Bytes()) })
			switch {
			case ours:
				k.Recipients = append(k.Recipients, private)
			case filepath.Base(name) == recipientFile:
				return fmt.Errorf("read recipient key: %s is not of this archive: %w", recipientFile, ErrNoArchive)
			}
		}
	}
	return nil
}

// loadReceiptKey reads the private key of the receipt key in force.
func (f Folder) loadReceiptKey(v note.Verifier) (note.Signer, error) {
	s, err := f.loadSigner(laterReceiptFile(v), v)
	if s != nil || err != nil {
		return s, err
	}
	return f.loadSigner(receiptFile, v)
}

func laterReceiptFile(v note.Verifier) string { return fmt.Sprintf("receipt-%08x.key", v.KeyHash()) }

// loadSigner reads a signed note's private key and tries it against its verifier; nil
// when its file is not there.
func (f Folder) loadSigner(name string, v note.Verifier) (note.Signer, error) {
	data, err := os.ReadFile(filepath.Join(f.Keys(), name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("read key %s: not a signed note's private key", name) // its error quotes the key
	}
	probe := []byte("tidemark key probe\n")
	sig, err := s.Sign(probe)
	if err != nil || s.Name() != v.Name() || s.KeyHash() != v.KeyHash() || !v.Verify(probe, sig) {
		return nil, fmt.Errorf("read key %s: it is not of this archive: %w", name, ErrNoArchive)
	}
	return s, nil
}

// newSigner makes a signed note's key pair.
func newSigner(name string) (private, public string, err error) {
	private, public, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	return private, public, nil
}
