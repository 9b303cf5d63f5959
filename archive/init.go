package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"tidemark/archive/index"
	"tidemark/archive/registry"
	"tidemark/archive/tlog"
	"tidemark/internal/durable"
	"tidemark/seal"
)

// ErrNotEmpty reports a folder that holds something already.
var ErrNotEmpty = errors.New("folder is not empty")

// maxName is the longest name of an archive, in bytes.
const maxName = 100

// Init makes an archive in a folder that is empty or not there, and returns its
// ARCHIVEKEY. An empty name is replaced by one made at random. Devices seal to the
// other recipients too, whose private keys are kept elsewhere. What an Init that
// was cut short leaves behind is not an archive, and removed when it fails.
func Init(ctx context.Context, dir, name string, now time.Time, others ...seal.RecipientKey) (key seal.ArchiveKey, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make archive: %w", err)
		}
	}()
	if name == "" {
		name = "archive-" + strings.ToLower(rand.Text()[:10])
	}
	if err := checkName(name); err != nil {
		return key, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if len(entries) > 0 {
		return key, fmt.Errorf("%s: %w", dir, ErrNotEmpty)
	}
	made := errors.Is(err, os.ErrNotExist)
	if err := durable.MkdirAll(dir, 0o750); err != nil {
		return key, err
	}
	defer func() {
		if err == nil {
			return
		}
		f := Folder(dir)
		for _, name := range []string{f.Keys(), f.Batches(), f.Log(), f.Registry(), f.Registry() + "-wal", f.Registry() + "-shm", f.Index(), f.Index() + "-wal", f.Index() + "-shm",
			f.Heartbeats(), f.Heartbeats() + "-wal", f.Heartbeats() + "-shm", f.Document()} {
			os.RemoveAll(name)
		}
		if made {
			os.Remove(dir)
		}
	}()
	return build(ctx, Folder(dir), name, now, others)
}

func build(ctx context.Context, f Folder, name string, now time.Time, others []seal.RecipientKey) (key seal.ArchiveKey, err error) {
	private, recipient, err := seal.NewRecipient()
	if err != nil {
		return key, err
	}
	doc := seal.ArchiveDocument{V: 1, Archive: name, Recipients: append([]seal.RecipientKey{recipient}, others...), Created: now.UTC().Truncate(time.Second)}
	receiptPrivate, receiptPublic, err := newSigner(name)
	if err != nil {
		return key, err
	}
	logPrivate, logPublic, err := newSigner(name)
	if err != nil {
		return key, err
	}
	doc.ReceiptKey, doc.LogKey = receiptPublic, logPublic
	data, key, err := doc.Marshal()
	if err == nil {
		_, err = seal.OpenArchiveDocument(data, key) // the other recipients come from outside
	}
	if err != nil {
		return key, err
	}

	if err := durable.MkdirAll(f.Keys(), 0o700); err != nil {
		return key, err
	}
	for file, data := range map[string][]byte{
		recipientFile: recipientPEM(private),
		receiptFile:   []byte(receiptPrivate + "\n"),
		logFile:       []byte(logPrivate + "\n"),
	} {
		if err := durable.WriteFile(filepath.Join(f.Keys(), file), data, 0o600); err != nil {
			return key, err
		}
	}
	if err := durable.MkdirAll(f.Batches(), 0o750); err != nil {
		return key, err
	}
	signer, err := note.NewSigner(logPrivate)
	if err != nil {
		return key, err
	}
	if err := tlog.Create(ctx, f.Log(), signer); err != nil {
		return key, err
	}
	r, err := registry.Open(f.Registry())
	if err != nil {
		return key, err
	}
	if err := r.Close(); err != nil {
		return key, err
	}
	x, err := index.Open(f.Index())
	if err != nil {
		return key, err
	}
	if err := x.Close(); err != nil {
		return key, err
	}
	// The document last: a folder without one is not an archive. All it speaks of
	// is on the disk by then.
	return key, durable.WriteFile(f.Document(), data, 0o644)
}

// checkName holds what a name must be for signed notes, tokens and receipts.
func checkName(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '+' })
	if bad || len(name) > maxName {
		return fmt.Errorf("name %q: at most %d bytes, no spaces and no plus sign", name, maxName)
	}
	return nil
}
