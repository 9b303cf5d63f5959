package seal

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A restart. Integers are big-endian.
//
//	offset  size  field
//	0       4     magic "TMKR"
//	4       1     version, now 1
//	5       1     lane
//	6       1     reason
//	7       1     number of key headers, 0 to 8
//	8       16    device id
//	24      8     time made, Unix milliseconds of the device's clock
//	32      8     sequence number of the last receipt known, 0 when none is
//	40      32    the hash in it, zero when none is
//	72      8     greatest sequence number known to have been used, 0 when none is
//	80      8     first: sequence number of the batch that follows, at least 2
//	88      32    previous: what that batch names as the hash before it; zero: the hash of this restart
//	120     64    Ed25519 signature over the restart's hash
//	184           for each key header: its length (2), its bytes
//
// The restart's hash is the SHA-256 of the text "tidemark restart v1\n", bytes 0 to
// 119 and the SHA-256 of what follows the signature.
const (
	restartMagic  = "TMKR"
	restartSigned = 120
	restartLen    = restartSigned + ed25519.SignatureSize
	restartDomain = "tidemark restart v1\n"
	maxRestartKey = 8
)

// MaxRestart is the most bytes a restart has.
const MaxRestart = restartLen + maxRestartKey*(2+maxKeyHeader)

// Reason says why a chain restarts. A reader shows one that it does not know as its
// number.
type Reason uint8

// The reasons.
const (
	Damaged Reason = 1 // the device's spool was damaged; what could be saved follows
	Lost    Reason = 2 // the device's spool was gone
	Forked  Reason = 3 // the archive's head is not in this device's chain: one of the two was restored or cloned
	Refused Reason = 4 // the archive refuses a batch for good; the device keeps it aside
)

func (r Reason) String() string {
	switch r {
	case Damaged:
		return "damaged"
	case Lost:
		return "lost"
	case Forked:
		return "forked"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Restart is a device's signed statement that a lane's chain has a hole, and how it
// goes on behind it. It stands in a stream directly before the batch it introduces,
// the one numbered First. It proves who says so and when; it does not prove that
// the hole was an accident.
//
// A restart is needed only when its batch neither continues the archive's head nor
// is there already. It then begins another segment of the same lane: numbers go on
// growing, and nothing of the segments before is replaced.
type Restart struct {
	Lane        Lane
	Reason      Reason
	Device      DeviceID
	Made        time.Time // the device's clock, milliseconds, UTC
	ReceiptSeq  uint64    // of the last receipt known, 0 for none
	ReceiptHash Hash
	Seen        uint64 // greatest sequence number known to have been used; those behind the archive's head up to it may be lost
	First       uint64 // the batch that follows
	// Previous is what that batch names as the hash before it. Zero: it was made
	// after the restart and names the restart's hash.
	Previous Hash
	// KeyHeaders are of data keys that batches behind the hole use and whose
	// carrying batch may be in it.
	KeyHeaders [][]byte

	Raw       []byte // the exact bytes, set by Sign and ParseRestart
	hash      Hash
	signature []byte
}

// Hash returns the hash that a batch made after the restart names. It is zero until
// Sign.
func (r *Restart) Hash() Hash { return r.hash }

// Before returns what the batch that follows must name as the hash before it.
func (r *Restart) Before() Hash {
	if r.Previous != (Hash{}) {
		return r.Previous
	}
	return r.hash
}

// Introduces reports why the restart does not introduce the batch, or nil.
func (r *Restart) Introduces(b *Batch) error {
	if r.Device != b.Device || r.Lane != b.Lane || r.First != b.Seq || r.Before() != b.Previous {
		return fmt.Errorf("restart of %s/%s at %d does not introduce batch %s/%s/%d: %w",
			r.Device, r.Lane, r.First, b.Device, b.Lane, b.Seq, ErrForged)
	}
	return nil
}

// Sign writes Raw in the device's name.
func (r *Restart) Sign(id *Identity) error {
	r.Device = id.ID()
	if err := r.check(); err != nil {
		return fmt.Errorf("write restart: %w", err)
	}
	raw := append([]byte(restartMagic), 1, byte(r.Lane), byte(r.Reason), byte(len(r.KeyHeaders)))
	raw = append(raw, r.Device[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.Made.UnixMilli()))
	raw = binary.BigEndian.AppendUint64(raw, r.ReceiptSeq)
	raw = append(raw, r.ReceiptHash[:]...)
	raw = binary.BigEndian.AppendUint64(raw, r.Seen)
	raw = binary.BigEndian.AppendUint64(raw, r.First)
	raw = append(raw, r.Previous[:]...)
	raw = append(raw, make([]byte, ed25519.SignatureSize)...)
	for _, k := range r.KeyHeaders {
		raw = binary.BigEndian.AppendUint16(raw, uint16(len(k)))
		raw = append(raw, k...)
	}
	r.Raw = raw
	r.rehash()
	r.signature = ed25519.Sign(id.private, r.hash[:])
	copy(raw[restartSigned:], r.signature)
	return nil
}

// check holds what every restart must be.
func (r *Restart) check() error {
	switch {
	case !r.Lane.Valid(), r.Reason == 0, r.First < 2, len(r.KeyHeaders) > maxRestartKey:
		return fmt.Errorf("a field is out of range: %w", ErrMalformed)
	case r.Seen >= r.First, r.ReceiptSeq >= r.First, (r.ReceiptSeq == 0) != (r.ReceiptHash == Hash{}):
		return fmt.Errorf("its numbers contradict each other: %w", ErrMalformed)
	}
	for _, k := range r.KeyHeaders {
		if len(k) > maxKeyHeader {
			return fmt.Errorf("key header of %d bytes: %w", len(k), ErrMalformed)
		}
		if _, err := parseKeyHeader(k); err != nil {
			return err
		}
		if Lane(k[5]) != r.Lane || DeviceID(k[8:24]) != r.Device {
			return fmt.Errorf("key header of another lane or device: %w", ErrMalformed)
		}
	}
	return nil
}

func (r *Restart) rehash() {
	h := sha256.New()
	h.Write([]byte(restartDomain))
	h.Write(r.Raw[:restartSigned])
	keys := sha256.Sum256(r.Raw[restartLen:])
	h.Write(keys[:])
	h.Sum(r.hash[:0])
}

// ParseRestart reads exactly one restart. It checks form, not signature.
func ParseRestart(raw []byte) (*Restart, error) {
	rest := bytes.NewReader(raw)
	r, err := ReadRestart(bufio.NewReader(rest))
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("not a restart: %w", ErrMalformed)
	}
	if len(r.Raw) != len(raw) {
		return nil, fmt.Errorf("restart has %d bytes too many: %w", len(raw)-len(r.Raw), ErrMalformed)
	}
	return r, nil
}

// ReadRestart reads the restart that a stream of batches goes on with; nil when
// something else follows, of which it takes nothing. It checks form, not signature,
// and takes no more memory than [MaxRestart].
func ReadRestart(stream *bufio.Reader) (*Restart, error) {
	if magic, err := stream.Peek(len(restartMagic)); err != nil || string(magic) != restartMagic {
		return nil, nil // also at the end, or when the stream fails: reading on tells
	}
	raw := make([]byte, restartLen)
	if _, err := io.ReadFull(stream, raw); err != nil {
		return nil, fmt.Errorf("read restart: %w: %w", ErrMalformed, err)
	}
	if raw[4] != 1 {
		return nil, fmt.Errorf("restart version %d: %w", raw[4], ErrNewer)
	}
	r := &Restart{
		Lane: Lane(raw[5]), Reason: Reason(raw[6]), Device: DeviceID(raw[8:24]),
		Made:       time.UnixMilli(int64(binary.BigEndian.Uint64(raw[24:]))).UTC(),
		ReceiptSeq: binary.BigEndian.Uint64(raw[32:]), ReceiptHash: Hash(raw[40:72]),
		Seen: binary.BigEndian.Uint64(raw[72:]), First: binary.BigEndian.Uint64(raw[80:]), Previous: Hash(raw[88:120]),
	}
	n := int(raw[7])
	if n > maxRestartKey {
		return nil, fmt.Errorf("restart with %d key headers: %w", n, ErrMalformed)
	}
	for range n {
		var size [2]byte
		if _, err := io.ReadFull(stream, size[:]); err != nil {
			return nil, fmt.Errorf("read restart: %w: %w", ErrMalformed, err)
		}
		k := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(stream, k); err != nil {
			return nil, fmt.Errorf("read restart: %w: %w", ErrMalformed, err)
		}
		raw = append(append(raw, size[:]...), k...)
		r.KeyHeaders = append(r.KeyHeaders, k)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("restart: %w", err)
	}
	r.Raw, r.signature = raw, raw[restartSigned:restartLen]
	r.rehash()
	return r, nil
}

// Verify checks that the restart was signed by the device it names, whose public
// key the caller knows.
func (r *Restart) Verify(public ed25519.PublicKey) error {
	if DeviceIDOf(public) != r.Device {
		return fmt.Errorf("restart of %s at %d names another device: %w", r.Lane, r.First, ErrForged)
	}
	if !ed25519.Verify(public, r.hash[:], r.signature) {
		return fmt.Errorf("restart of %s at %d: signature: %w", r.Lane, r.First, ErrForged)
	}
	return nil
}
