package seal

import (
	"encoding/base64"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// maxNote is the most bytes of a signed note.
const maxNote = 4096

// openNote verifies a signed note under one key and returns its text. The note must be
// in its one spelling: exactly one signature, and of that key, in base64 without stray
// bits. So two different notes never say the same thing, and one that was kept or
// logged can be compared byte by byte.
func openNote(msg []byte, v note.Verifier) (string, error) {
	if len(msg) > maxNote {
		return "", fmt.Errorf("signed note of %d bytes: %w", len(msg), ErrMalformed)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("signed note: %w: %w", ErrForged, err)
	}
	sig := n.Sigs[0]
	raw, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
	if err != nil {
		return "", fmt.Errorf("signed note: its signature is not in its one spelling: %w", ErrMalformed)
	}
	if string(msg) != fmt.Sprintf("%s\n— %s %s\n", n.Text, v.Name(), base64.StdEncoding.EncodeToString(raw)) {
		return "", fmt.Errorf("signed note: more than one signature of its key: %w", ErrMalformed)
	}
	return n.Text, nil
}
