package seal

import (
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// ArchiveKey is the SHA-256 of an archive's key document. Its text form, "tmk1"
// and 56 letters, is what an administrator pins on every laptop; the last letters
// are a checksum against slips of the hand.
type ArchiveKey Hash

const archiveKeyPrefix = "tmk1"

func (k ArchiveKey) check() []byte {
	sum := sha256.Sum256(append([]byte(archiveKeyPrefix), k[:]...))
	return sum[:3]
}

func (k ArchiveKey) String() string {
	return archiveKeyPrefix + base32Lower.EncodeToString(append(append([]byte{}, k[:]...), k.check()...))
}

// ParseArchiveKey reads the text form and verifies its checksum.
func ParseArchiveKey(s string) (ArchiveKey, error) {
	var k ArchiveKey
	rest, ok := strings.CutPrefix(s, archiveKeyPrefix)
	if !ok {
		return k, fmt.Errorf("archive key does not begin with %s: %w", archiveKeyPrefix, ErrMalformed)
	}
	b, err := base32Lower.DecodeString(rest)
	if err != nil || len(b) != len(k)+3 {
		return k, fmt.Errorf("archive key is not %s and 56 letters: %w", archiveKeyPrefix, ErrMalformed)
	}
	copy(k[:], b)
	if subtle.ConstantTimeCompare(k.check(), b[len(k):]) != 1 {
		return k, fmt.Errorf("archive key has a wrong checksum, it was mistyped: %w", ErrMalformed)
	}
	if k.String() != s { // line breaks within, which the decoder passes over
		return k, fmt.Errorf("archive key has more in it than letters and digits: %w", ErrMalformed)
	}
	return k, nil
}

// RecipientKey is a public key that batches are sealed to.
type RecipientKey struct {
	ID        string `json:"id"`         // first 16 bytes of the SHA-256 of PublicKey, hex
	KEM       uint16 `json:"kem"`        // HPKE registry, 0x647a = MLKEM768-X25519
	PublicKey []byte `json:"public_key"` // 1216 bytes, base64 in JSON
}

// RecipientID names a recipient's public key: the first 16 bytes of its SHA-256.
func recipientID(public []byte) [16]byte {
	sum := sha256.Sum256(public)
	return [16]byte(sum[:16])
}

// ArchiveDocument says who an archive is: what devices seal to, and whose
// receipts they accept. Its exact bytes, as the archive serves them, hash to the
// [ArchiveKey].
type ArchiveDocument struct {
	V          int            `json:"v"`           // 1
	Archive    string         `json:"archive"`     // the archive's name, the origin of its notes; no spaces
	Recipients []RecipientKey `json:"recipients"`  // at least one
	ReceiptKey string         `json:"receipt_key"` // verifier key of a signed note
	LogKey     string         `json:"log_key"`     // verifier key of the log's checkpoints
	Created    time.Time      `json:"created"`
}

// Marshal returns the document's bytes and its key.
func (d *ArchiveDocument) Marshal() ([]byte, ArchiveKey, error) {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, ArchiveKey{}, fmt.Errorf("write archive key document: %w", err)
	}
	b = append(b, '\n')
	return b, ArchiveKey(sha256.Sum256(b)), nil
}

// Archive is a verified key document, ready for use. It is immutable.
type Archive struct {
	Key        ArchiveKey
	Document   ArchiveDocument
	recipients []hpke.PublicKey
	receipts   *receiptKeys
	before     []ArchiveKey // the documents from which this one was followed, oldest first
}

// Name is the archive's name, the origin of its receipts.
func (a *Archive) Name() string { return a.Document.Archive }

// ReceiptVerifier verifies the archive's receipts, for [OpenReceipt]: under the key in
// force, and under those before it.
func (a *Archive) ReceiptVerifier() note.Verifier { return a.receipts }

// OpenArchiveDocument verifies that data is the document that pinned names, and
// reads it. ErrForged means another archive (or something in between) answered.
func OpenArchiveDocument(data []byte, pinned ArchiveKey) (*Archive, error) {
	if sum := sha256.Sum256(data); subtle.ConstantTimeCompare(sum[:], pinned[:]) != 1 {
		return nil, fmt.Errorf("archive key document is not the pinned one: %w", ErrForged)
	}
	a := &Archive{Key: pinned}
	if err := json.Unmarshal(data, &a.Document); err != nil {
		return nil, fmt.Errorf("archive key document: %w: %w", ErrMalformed, err)
	}
	if a.Document.V != 1 {
		return nil, fmt.Errorf("archive key document version %d: %w", a.Document.V, ErrNewer)
	}
	if n := len(a.Document.Recipients); n == 0 || n > maxRecipients {
		return nil, fmt.Errorf("archive key document has %d recipients: %w", n, ErrMalformed)
	}
	for _, r := range a.Document.Recipients {
		if r.KEM != kem().ID() {
			return nil, fmt.Errorf("recipient %s uses KEM %#04x: %w", r.ID, r.KEM, ErrNewer)
		}
		pub, err := kem().NewPublicKey(r.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("recipient %s: %w: %w", r.ID, ErrMalformed, err)
		}
		if id := recipientID(r.PublicKey); r.ID != fmt.Sprintf("%x", id) {
			return nil, fmt.Errorf("recipient %q is not named by its key: %w", r.ID, ErrMalformed)
		}
		a.recipients = append(a.recipients, pub)
	}
	v, err := note.NewVerifier(a.Document.ReceiptKey)
	if err != nil {
		return nil, fmt.Errorf("receipt key: %w: %w", ErrMalformed, err)
	}
	a.receipts = &receiptKeys{Verifier: v}
	return a, nil
}

// NewRecipient makes a recipient key pair: the private key's bytes, which only
// the archive keeps, and the public half for its key document.
func NewRecipient() (private []byte, public RecipientKey, err error) {
	k, err := kem().GenerateKey()
	if err != nil {
		return nil, public, fmt.Errorf("make recipient key: %w", err)
	}
	if private, err = k.Bytes(); err != nil {
		return nil, public, fmt.Errorf("make recipient key: %w", err)
	}
	pub := k.PublicKey().Bytes()
	id := recipientID(pub)
	return private, RecipientKey{ID: fmt.Sprintf("%x", id), KEM: kem().ID(), PublicKey: pub}, nil
}
