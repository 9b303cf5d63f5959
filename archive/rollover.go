package archive

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/internal/durable"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// ErrUnchanged reports a change of the keys that changes nothing.
var ErrUnchanged = errors.New("nothing would change")

// Change is what the archive's next key document has that its last has not.
type Change struct {
	NewKeys bool                // a new receipt key, and a new recipient in place of those whose private keys are in the folder
	Add     []seal.RecipientKey // more recipients, whose private keys are kept elsewhere
	Remove  []string            // ids of recipients that devices no longer seal to
}

// ChangeKeys makes the archive's next key document, signed by the key of the one in
// force, and returns its ARCHIVEKEY. Devices that pinned an older one follow it. No
// server may run; it wraps ErrHeld when one does. Private keys of recipients are never
// removed: they open what is there.
//
// Its commit point is the writing of the succession. A crash before it leaves the
// archive with its keys and some files that nothing names; after it, with the new ones
// and the replaced receipt key's file, which nothing uses.
func (f Folder) ChangeKeys(ctx context.Context, c Change, now time.Time) (key seal.ArchiveKey, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("change archive's keys: %w", err)
		}
	}()
	if _, err := f.LoadKeys(); err != nil { // leave no lock file where no archive is
		return key, err
	}
	lock, err := takeLock(ctx, f.Lock())
	if err != nil {
		return key, err
	}
	defer lock.Close()
	keys, err := f.LoadKeys()
	if err != nil {
		return key, err
	}
	if keys.Receipts == nil {
		return key, fmt.Errorf("%w: the private key for receipts is needed", ErrNoArchive)
	}
	doc := keys.Archive.Document
	doc.Recipients = slices.Clone(doc.Recipients)
	// Never the same document twice, for nobody would follow back to it.
	if doc.Created = now.UTC().Truncate(time.Second); !doc.Created.After(keys.Archive.Document.Created) {
		doc.Created = keys.Archive.Document.Created.Add(time.Second)
	}
	if err := c.apply(&doc); err != nil {
		return key, err
	}
	if c.NewKeys {
		if err := f.makeKeys(keys, &doc); err != nil {
			return key, err
		}
	}
	data, key, err := doc.Marshal()
	if err != nil {
		return key, err
	}
	s := seal.Succession{Archive: doc.Archive, Old: keys.Archive.Key, New: key, Made: now}
	msg, err := s.Sign(keys.Receipts)
	if err != nil {
		return key, err
	}
	chain := append(slices.Clone(keys.Chain), seal.Link{Document: string(data), Note: string(msg)})
	if _, err := seal.OpenSuccession(chain, chain[0].Key(), now); err != nil { // what devices will do
		return key, err
	}
	form, err := json.MarshalIndent(protocol.Succession{Succession: chain}, "", "  ")
	if err != nil {
		return key, err
	}
	if err := durable.WriteFile(f.Succession(), append(form, '\n'), 0o644); err != nil {
		return key, err
	}
	if err := durable.WriteFile(f.Document(), data, 0o644); err != nil {
		return key, err
	}
	if !c.NewKeys {
		return key, nil
	}
	for _, name := range []string{receiptFile, laterReceiptFile(keys.Archive.ReceiptVerifier())} {
		if err := os.Remove(filepath.Join(f.Keys(), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return key, err
		}
	}
	return key, nil
}

// apply takes recipients out of the document and puts others in.
func (c *Change) apply(doc *seal.ArchiveDocument) error {
	if !c.NewKeys && len(c.Add) == 0 && len(c.Remove) == 0 {
		return ErrUnchanged
	}
	for _, id := range c.Remove {
		at := slices.IndexFunc(doc.Recipients, func(r seal.RecipientKey) bool { return r.ID == id })
		if at < 0 {
			return fmt.Errorf("recipient %q is not in the key document: %w", id, ErrUnchanged)
		}
		doc.Recipients = slices.Delete(doc.Recipients, at, at+1)
	}
	for _, add := range c.Add {
		if slices.ContainsFunc(doc.Recipients, func(r seal.RecipientKey) bool { return r.ID == add.ID }) {
			return fmt.Errorf("recipient %s is in the key document already: %w", add.ID, ErrUnchanged)
		}
		doc.Recipients = append(doc.Recipients, add)
	}
	return nil
}

// makeKeys makes a receipt key, and one recipient in place of those that the archive
// itself can open; a blind archive keeps the recipients it has.
func (f Folder) makeKeys(keys *Keys, doc *seal.ArchiveDocument) error {
	own := map[string]bool{}
	for _, private := range keys.Recipients {
		own[string(private.PublicKey().Bytes())] = true
	}
	if len(own) > 0 {
		private, recipient, err := seal.NewRecipient()
		if err != nil {
			return err
		}
		doc.Recipients = slices.DeleteFunc(doc.Recipients, func(r seal.RecipientKey) bool { return own[string(r.PublicKey)] })
		doc.Recipients = append([]seal.RecipientKey{recipient}, doc.Recipients...)
		name := filepath.Join(f.Keys(), "recipient-"+recipient.ID+".pem")
		if err := durable.WriteFile(name, recipientPEM(private), 0o600); err != nil {
			return err
		}
	}
	private, public, err := newSigner(doc.Archive)
	if err != nil {
		return err
	}
	doc.ReceiptKey = public
	v, err := note.NewVerifier(public)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(f.Keys(), laterReceiptFile(v)), []byte(private+"\n"), 0o600)
}

func recipientPEM(private []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: recipientType, Bytes: private})
}

// NewOfflineRecipient makes a recipient whose private key is written to a new file, to be
// kept away from the archive: what devices seal can be opened with it when the archive's
// own key is lost. It opens nothing until its public half is in the key document. Put
// into the archive's keys folder as recipient-<anything>.pem, it is used like the
// archive's own.
func NewOfflineRecipient(file string) (seal.RecipientKey, error) {
	private, public, err := seal.NewRecipient()
	if err != nil {
		return public, err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return public, fmt.Errorf("write recipient key: %w", err)
	}
	_, err = out.Write(recipientPEM(private))
	if err == nil {
		err = durable.Sync(out)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return public, fmt.Errorf("write recipient key: %w", err)
	}
	return public, nil
}
