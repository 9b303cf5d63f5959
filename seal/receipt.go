package seal

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Receipt is the archive's statement that it keeps a batch and has put its hash
// at a place of its log. It travels as a signed note (C2SP signed-note) under the
// archive's receipt key, whose text is eight lines:
//
//	tidemark/receipt/v1
//	archive <name>
//	device d_…
//	lane messages
//	seq 17
//	hash <64 hex>
//	log <index of the entry>
//	received <RFC 3339 in UTC, milliseconds>
type Receipt struct {
	Archive  string
	Device   DeviceID
	Lane     Lane
	Seq      uint64
	Hash     Hash
	Log      uint64    // index of the batch's entry in the archive's log
	Received time.Time // the archive's clock

	until time.Time // when its key was replaced, by the reader's clock; zero: it counts for all batches
}

const receiptKind = "tidemark/receipt/"

func (r *Receipt) text() string {
	return fmt.Sprintf("%sv1\narchive %s\ndevice %s\nlane %s\nseq %d\nhash %s\nlog %d\nreceived %s\n", receiptKind,
		r.Archive, r.Device, r.Lane, r.Seq, r.Hash, r.Log, r.Received.UTC().Format(noteTime))
}

// Sign makes the note. The signer's name must be the archive's.
func (r *Receipt) Sign(s note.Signer) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: r.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	return msg, nil
}

// OpenReceipt verifies a note under the archive's receipt key, or under one that was in
// force before, and reads it. It must be exactly what Sign writes: there is one spelling
// of a receipt.
func OpenReceipt(msg []byte, v note.Verifier) (*Receipt, error) {
	text, until, err := openNote(msg, v)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r, err := parseReceipt(text)
	if err != nil {
		return nil, err
	}
	r.until = until
	if r.Archive != v.Name() {
		return nil, fmt.Errorf("receipt of archive %q signed by %q: %w", r.Archive, v.Name(), ErrForged)
	}
	return r, nil
}

func parseReceipt(text string) (*Receipt, error) {
	var r Receipt
	err := parseNote(receiptKind, text, []noteLine{
		{"archive", func(s string) error { r.Archive = s; return nil }},
		{"device", func(s string) (err error) { r.Device, err = ParseDeviceID(s); return }},
		{"lane", func(s string) (err error) { r.Lane, err = ParseLane(s); return }},
		{"seq", func(s string) (err error) { r.Seq, err = strconv.ParseUint(s, 10, 64); return }},
		{"hash", func(s string) (err error) { r.Hash, err = ParseHash(s); return }},
		{"log", func(s string) (err error) { r.Log, err = strconv.ParseUint(s, 10, 64); return }},
		{"received", func(s string) (err error) { r.Received, err = time.Parse(noteTime, s); return }},
	})
	if err != nil {
		return nil, err
	}
	if r.text() != text {
		return nil, fmt.Errorf("receipt is not in its one spelling: %w", ErrMalformed)
	}
	return &r, nil
}

// Covers reports why the receipt is not one for the batch, or nil.
func (r *Receipt) Covers(b *Batch) error {
	if r.Device != b.Device || r.Lane != b.Lane || r.Seq != b.Seq || r.Hash != b.Hash() {
		return fmt.Errorf("receipt for %s/%s/%d is not for batch %s/%s/%d: %w",
			r.Device, r.Lane, r.Seq, b.Device, b.Lane, b.Seq, ErrForged)
	}
	if !r.until.IsZero() && b.Sealed.After(r.until) {
		return fmt.Errorf("receipt for batch %s/%d is signed with a key that was replaced before the batch was sealed: %w", b.Lane, b.Seq, ErrForged)
	}
	return nil
}

// LogEntry is the text that the archive's log holds for the batch: the receipt's
// subject without the archive's own words, so that anyone can recompute it from
// the stored batch.
func (b *Batch) LogEntry() []byte {
	return fmt.Appendf(nil, "tidemark/batch/v1\ndevice %s\nlane %s\nseq %d\nhash %s\n", b.Device, b.Lane, b.Seq, b.hash)
}
