package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tidemark/seal"
	"tidemark/seal/sealtest"
)

// The fields come from the tables of docs/format.md, which must cover every byte, so
// that a field that is added to a format can not be forgotten here.

// known says whether a refusal is of one of the kinds that callers tell apart.
func known(err error) bool {
	for _, kind := range []error{seal.ErrMalformed, seal.ErrForged, seal.ErrNewer, seal.ErrNoKey} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// alterEach changes each bit of each field in turn, one bit of each byte in long fields;
// open must refuse every change.
func alterEach(t *testing.T, raw []byte, fields []sealtest.Field, open func([]byte) error) {
	t.Helper()
	if err := open(raw); err != nil {
		t.Fatalf("unaltered: %v", err)
	}
	for _, f := range fields {
		t.Run(f.Name, func(t *testing.T) {
			for i := f.Start; i < f.End; i++ {
				for bit := range 8 {
					if f.End-f.Start > 64 && bit != i%8 {
						continue
					}
					altered := bytes.Clone(raw)
					altered[i] ^= 1 << bit
					if err := open(altered); !known(err) {
						t.Fatalf("bit %d of byte %d may be changed: %v", bit, i, err)
					}
				}
			}
		})
	}
}

// keyHeaderFields are the fields of a key header for n recipients.
func keyHeaderFields(t *testing.T, header []byte, n int) []sealtest.Field {
	const encapsulated = 1120
	fields := sealtest.Fields(t, "## Data keys and key headers", 0, 32, nil)
	at := 32
	for range n {
		size := 20 + encapsulated + 48
		for _, f := range sealtest.Fields(t, "## Data keys and key headers", 1, size, map[string]int{"e": encapsulated}) {
			fields = append(fields, sealtest.Field{Name: f.Name, Start: at + f.Start, End: at + f.End})
		}
		at += size
	}
	if at != len(header) {
		t.Fatalf("the fields of the key header end at %d of %d", at, len(header))
	}
	return fields
}

// No field of a batch can be altered, with or without a key header.
func TestForgedBatch(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	for _, b := range chain(t, a, id, 2) {
		fields := sealtest.Fields(t, "## Batches", 0, len(b.Raw), map[string]int{"k": len(b.KeyHeader), "p": len(b.Payload)})
		alterEach(t, b.Raw, fields, func(raw []byte) error {
			c, err := seal.ParseBatch(raw)
			if err != nil {
				return err
			}
			return c.Verify(id.Public())
		})
	}
}

// No field of a key header can be altered: it gives no key, or one of another name,
// with which no batch opens.
func TestForgedKeyHeader(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	b := chain(t, a, id, 1)[0]
	alterEach(t, b.KeyHeader, keyHeaderFields(t, b.KeyHeader, 1), func(header []byte) error {
		k, err := seal.OpenDataKey(header, a.Private)
		if err != nil {
			return err
		}
		_, err = b.Open(k)
		return err
	})
}

// No field of a restart can be altered, the key headers in it included.
func TestForgedRestart(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	batches := chain(t, a, id, 3)
	r := restart(t, id, batches)
	alterEach(t, r.Raw, sealtest.Fields(t, "## Restarts", 0, len(r.Raw), nil), func(raw []byte) error {
		r, err := seal.ParseRestart(raw)
		if err != nil {
			return err
		}
		return errors.Join(r.Verify(id.Public()), r.Introduces(batches[2]))
	})
}

// No line of a receipt can be altered, nor its signature; and a receipt that says
// something else under a good signature covers no other batch.
func TestForgedReceipt(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	b := chain(t, a, id, 1)[0]
	msg := a.Receipt(t, b)
	fields := sealtest.Lines(t, "## Receipts", string(msg))
	whole := append(fields, sealtest.Field{Name: "signature", Start: fields[len(fields)-1].End, End: len(msg)})
	alterEach(t, msg, whole, func(msg []byte) error {
		r, err := seal.OpenReceipt(msg, a.ReceiptVerifier())
		if err != nil {
			return err
		}
		return r.Covers(b)
	})
	for what, bad := range map[string][]byte{
		"stray bits at the end of the signature": strayBits(t, msg),
		"the signature twice":                    append(bytes.Clone(msg), msg[bytes.LastIndex(msg, []byte("— ")):]...),
		"another's signature beside":             cosigned(t, msg, a),
	} {
		if _, err := seal.OpenReceipt(bad, a.ReceiptVerifier()); !known(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// strayBits spells the last signature of a note in another way that lenient decoders
// read as the same.
func strayBits(t *testing.T, msg []byte) []byte {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(msg) - len("=\n") - 1
	if !bytes.HasSuffix(msg, []byte("=\n")) {
		t.Fatal("the signature has no spare bits")
	}
	bad := bytes.Clone(msg)
	bad[at] = alphabet[bytes.IndexByte([]byte(alphabet), bad[at])|1]
	if bytes.Equal(bad, msg) {
		t.Fatal("the signature has its spare bits set")
	}
	return bad
}

// cosigned adds a good signature of another key.
func cosigned(t *testing.T, msg []byte, a *sealtest.Archive) []byte {
	t.Helper()
	other := sealtest.New(t)
	n, err := note.Open(msg, note.VerifierList(a.ReceiptVerifier()))
	if err != nil {
		t.Fatal(err)
	}
	msg, err = note.Sign(n, other.Receipts)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// A log entry says all of what it must: each line changes with the batch.
func TestLogEntryNamesTheBatch(t *testing.T) {
	a, id := sealtest.New(t), seal.NewIdentity()
	b := chain(t, a, id, 1)[0]
	fields := sealtest.Lines(t, "## Log entries", string(b.LogEntry()))
	want := map[string]string{"tidemark/batch/v1": "tidemark/batch/v1", "device": id.ID().String(), "lane": "messages", "seq": "1", "hash": b.Hash().String()}
	for _, f := range fields {
		if got := string(b.LogEntry()[f.Start:f.End]); got != want[f.Name] {
			t.Errorf("%s is %q, want %q", f.Name, got, want[f.Name])
		}
	}
	if len(fields) != len(want) {
		t.Errorf("%d lines", len(fields))
	}
}
