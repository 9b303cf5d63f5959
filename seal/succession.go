package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// ErrSuccession reports a chain of key documents that does not lead on from the one in
// use: it is forged, of another archive, or older than what this reader has followed.
// It comes with ErrForged.
var ErrSuccession = errors.New("succession does not lead on from the key document in use")

// maxChain is the most documents that an archive has had.
const maxChain = 256

// Succession is an archive's statement that a key document takes the place of another.
// It is a signed note (C2SP signed-note) under the receipt key of the old document,
// whose text is five lines:
//
//	tidemark/succession/v1
//	archive <name>
//	old tmk1…
//	new tmk1…
//	made <RFC 3339 in UTC, milliseconds>
//
// Whoever pinned the old document's ARCHIVEKEY follows it, and then the next.
type Succession struct {
	Archive string
	Old     ArchiveKey
	New     ArchiveKey
	Made    time.Time // the archive's clock
}

const successionKind = "tidemark/succession/"

func (s *Succession) text() string {
	return fmt.Sprintf("%sv1\narchive %s\nold %s\nnew %s\nmade %s\n", successionKind, s.Archive, s.Old, s.New, s.Made.UTC().Format(noteTime))
}

// Sign makes the note with the old document's receipt key.
func (s *Succession) Sign(signer note.Signer) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: s.text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign succession: %w", err)
	}
	return msg, nil
}

// openSuccession verifies a note under the receipt key of the archive's document, and
// reads it. It must be exactly what Sign writes.
func openSuccession(msg []byte, a *Archive) (*Succession, error) {
	text, _, err := openNote(msg, a.receipts.Verifier)
	if err != nil {
		return nil, fmt.Errorf("succession: %w", err)
	}
	var s Succession
	err = parseNote(successionKind, text, []noteLine{
		{"archive", func(v string) error { s.Archive = v; return nil }},
		{"old", func(v string) (err error) { s.Old, err = ParseArchiveKey(v); return }},
		{"new", func(v string) (err error) { s.New, err = ParseArchiveKey(v); return }},
		{"made", func(v string) (err error) { s.Made, err = time.Parse(noteTime, v); return }},
	})
	if err != nil {
		return nil, err
	}
	if s.text() != text {
		return nil, fmt.Errorf("succession is not in its one spelling: %w", ErrMalformed)
	}
	return &s, nil
}

// Link is one of the key documents that an archive has had, with the note by which it
// took the place of the one before.
type Link struct {
	Document string `json:"document"`       // exact bytes
	Note     string `json:"note,omitempty"` // none for the archive's first
}

// Key is the ARCHIVEKEY of the document.
func (l Link) Key() ArchiveKey { return sha256.Sum256([]byte(l.Document)) }

// OpenSuccession finds the document that pinned names among those that an archive has
// had, oldest first, and follows them from there to the newest.
func OpenSuccession(chain []Link, pinned ArchiveKey, now time.Time) (*Archive, error) {
	for _, l := range chain {
		if l.Key() == pinned {
			a, err := OpenArchiveDocument([]byte(l.Document), pinned)
			if err != nil {
				return nil, err
			}
			return a.Follow(chain, now)
		}
	}
	return nil, fmt.Errorf("the pinned archive key document is not among them: %w: %w", ErrSuccession, ErrForged)
}

// Follow verifies the documents that the archive has had, oldest first, and goes on to
// the newest; it returns a itself when a is the newest. A chain that does not hold a's
// document, leads back, or has one step that does not verify is refused as a whole.
func (a *Archive) Follow(chain []Link, now time.Time) (*Archive, error) {
	if len(chain) > maxChain {
		return nil, fmt.Errorf("succession of %d documents: %w", len(chain), ErrMalformed)
	}
	at := slices.IndexFunc(chain, func(l Link) bool { return l.Key() == a.Key })
	if at < 0 {
		return nil, fmt.Errorf("%w: %w", ErrSuccession, ErrForged)
	}
	for _, l := range chain[at+1:] {
		next, err := a.Succeed(l, now)
		if err != nil {
			return nil, err
		}
		a = next
	}
	return a, nil
}

// Succeed takes one step. Receipts under the keys of a count on for batches that were
// sealed until now; a zero time means for all.
func (a *Archive) Succeed(l Link, now time.Time) (*Archive, error) {
	refuse := func(err error) (*Archive, error) { return nil, fmt.Errorf("%w: %w", ErrSuccession, err) }
	s, err := openSuccession([]byte(l.Note), a)
	if err != nil {
		return refuse(err)
	}
	if s.Archive != a.Name() || s.Old != a.Key || s.New != l.Key() {
		return refuse(fmt.Errorf("its note is for another document: %w", ErrForged))
	}
	if a.Had(s.New) {
		return refuse(fmt.Errorf("it leads back to an older document: %w", ErrForged))
	}
	next, err := OpenArchiveDocument([]byte(l.Document), s.New)
	if err != nil {
		return refuse(err)
	}
	if next.Name() != a.Name() {
		return refuse(fmt.Errorf("the archive has another name: %w", ErrForged))
	}
	next.before = append(slices.Clone(a.before), a.Key)
	next.receipts.old = append(slices.DeleteFunc(slices.Clone(a.receipts.old), func(k oldKey) bool {
		return k.KeyHash() == a.receipts.KeyHash() // the same key served for several documents
	}), oldKey{a.receipts.Verifier, now})
	return next, nil
}

// Had says whether the key names the archive's document or one from which it was
// followed.
func (a *Archive) Had(key ArchiveKey) bool { return key == a.Key || slices.Contains(a.before, key) }
