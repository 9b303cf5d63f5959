package archive

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"tidemark/seal"
)

// ErrNoArchive reports a folder that holds no archive, or not all of one.
var ErrNoArchive = errors.New("not an archive")

const (
	recipientFile = "recipient.pem"
	receiptFile   = "receipt.key"
	logFile       = "log.key"
	recipientType = "TIDEMARK RECIPIENT PRIVATE KEY"
)

// Keys is an archive's identity: its document, and those private keys that are
// in its folder.
type Keys struct {
	Document   []byte // exact bytes
	Archive    *seal.Archive
	Recipients []hpke.PrivateKey // none: the archive is blind
	Receipts   note.Signer       // nil when its file is not there
	Log        note.Signer       // nil when its file is not there
	LogKey     note.Verifier
}

// String keeps the keys out of what is printed.
func (k *Keys) String() string { return "keys of archive " + k.Archive.Name() }

// LoadKeys reads the document and the private keys, and checks that they belong
// together. The document's hash is what it is: whether it is the pinned one, its
// reader must know.
func (f Folder) LoadKeys() (*Keys, error) {
	doc, err := os.ReadFile(f.Document())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read archive %s: %w", string(f), ErrNoArchive)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	k := &Keys{Document: doc}
	if k.Archive, err = seal.OpenArchiveDocument(doc, sha256.Sum256(doc)); err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	if k.LogKey, err = note.NewVerifier(k.Archive.Document.LogKey); err != nil {
		return nil, fmt.Errorf("read archive: log key: %w", err)
	}
	if k.Receipts, err = f.loadSigner(receiptFile, k.Archive.ReceiptVerifier()); err != nil {
		return nil, err
	}
	if k.Log, err = f.loadSigner(logFile, k.LogKey); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(f.Keys(), recipientFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read recipient key: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != recipientType {
			continue
		}
		private, err := seal.ParsePrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if !k.isRecipient(private) {
			return nil, fmt.Errorf("read recipient key: %s is not of this archive: %w", recipientFile, ErrNoArchive)
		}
		k.Recipients = append(k.Recipients, private)
	}
	return k, nil
}

func (k *Keys) isRecipient(private hpke.PrivateKey) bool {
	for _, r := range k.Archive.Document.Recipients {
		if bytes.Equal(r.PublicKey, private.PublicKey().Bytes()) {
			return true
		}
	}
	return false
}

// loadSigner reads a signed note's private key and tries it against its verifier.
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
