package seal

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// maxNote is the most bytes of a signed note.
const maxNote = 4096

// noteTime is how a note writes a time: RFC 3339 in UTC with milliseconds.
const noteTime = "2006-01-02T15:04:05.000Z"

// receiptKeys verify an archive's receipts: the key in force, which it is as a
// verifier, and those that were in force before.
type receiptKeys struct {
	note.Verifier
	old []oldKey
}

// oldKey is a receipt key that was replaced. It counts for batches sealed until then;
// zero means for all.
type oldKey struct {
	note.Verifier
	until time.Time
}

// openNote verifies a signed note under one of the keys that v stands for, and returns
// its text and until when its key was in force. The note must be in its one spelling:
// exactly one signature, and in base64 without stray bits. So two different notes never
// say the same thing, and one that was kept or logged can be compared byte by byte.
func openNote(msg []byte, v note.Verifier) (text string, until time.Time, err error) {
	if len(msg) > maxNote {
		return "", until, fmt.Errorf("signed note of %d bytes: %w", len(msg), ErrMalformed)
	}
	known := []note.Verifier{v}
	keys, several := v.(*receiptKeys)
	if several {
		for _, k := range keys.old {
			if k.KeyHash() != v.KeyHash() { // note.VerifierList takes a key but once
				known = append(known, k)
			}
		}
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	if err != nil {
		return "", until, fmt.Errorf("signed note: %w: %w", ErrForged, err)
	}
	sig := n.Sigs[0]
	raw, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
	if err != nil {
		return "", until, fmt.Errorf("signed note: its signature is not in its one spelling: %w", ErrMalformed)
	}
	if string(msg) != fmt.Sprintf("%s\n— %s %s\n", n.Text, v.Name(), base64.StdEncoding.EncodeToString(raw)) {
		return "", until, fmt.Errorf("signed note: more than one signature of its key: %w", ErrMalformed)
	}
	if several && sig.Hash != v.KeyHash() {
		for _, k := range keys.old {
			if k.KeyHash() == sig.Hash {
				until = k.until
			}
		}
	}
	return n.Text, until, nil
}

// noteLine is a line of a note's text: a name, a space and a value.
type noteLine struct {
	name string
	set  func(string) error
}

// parseNote reads the text of a note of the kind ("tidemark/receipt/") and version 1.
func parseNote(kind, text string, fields []noteLine) error {
	what := strings.Split(kind, "/")[1]
	lines := strings.Split(text, "\n")
	if title := lines[0]; title != kind+"v1" {
		if strings.HasPrefix(title, kind) {
			return fmt.Errorf("%s %q: %w", what, title, ErrNewer)
		}
		return fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	if len(lines) != len(fields)+2 {
		return fmt.Errorf("%s has %d lines: %w", what, len(lines), ErrMalformed)
	}
	for i, f := range fields {
		value, ok := strings.CutPrefix(lines[i+1], f.name+" ")
		if !ok {
			return fmt.Errorf("%s lacks %s: %w", what, f.name, ErrMalformed)
		}
		if err := f.set(value); err != nil {
			return fmt.Errorf("%s %s: %w: %w", what, f.name, ErrMalformed, err)
		}
	}
	return nil
}
