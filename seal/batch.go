package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A batch. Integers are big-endian.
//
//	offset  size  field
//	0       4     magic "TMKB"
//	4       1     version, now 1
//	5       1     lane
//	6       2     length k of the key header, 0 when an earlier batch of the lane carried it
//	8       16    device id
//	24      16    data key id
//	40      8     sequence number, from 1
//	48      8     time sealed, Unix milliseconds of the device's clock
//	56      4     number of records
//	60      4     counter of the payload's nonce
//	64      4     length p of the payload
//	68      32    hash of the batch before it in the lane, zero for the first
//	100     64    Ed25519 signature over the batch's hash
//	164     k     key header
//	164+k   p     payload
//
// The batch's hash is the SHA-256 of the text "tidemark batch v1\n", bytes 0 to
// 99, the SHA-256 of the key header and the SHA-256 of the payload. The large
// part can so be hashed before the batch has its place in the chain.
const (
	batchMagic  = "TMKB"
	signedLen   = 100
	headerLen   = signedLen + ed25519.SignatureSize
	batchDomain = "tidemark batch v1\n"
)

// Limits that a reader holds before it takes memory.
const (
	MaxPayload = 16 << 20 // bytes of ciphertext in one batch
	MaxPlain   = 64 << 20 // bytes of NDJSON in one batch
	MaxRecords = 1 << 17  // records in one batch
	MaxBatch   = headerLen + maxKeyHeader + MaxPayload
)

// Header is what a batch says in clear.
type Header struct {
	Lane     Lane
	Device   DeviceID
	Key      KeyID
	Seq      uint64
	Sealed   time.Time // the device's clock, milliseconds, UTC
	Records  uint32
	Counter  uint32
	Previous Hash
}

// Batch is a parsed batch. Raw holds its exact bytes, of which the other slices
// are parts.
type Batch struct {
	Header
	KeyHeader []byte // nil when not carried
	Payload   []byte
	Raw       []byte
	hash      Hash
	signature []byte
}

// Hash returns the batch's hash, which the next batch of the lane, the receipt
// and the archive's log name.
func (b *Batch) Hash() Hash { return b.hash }

func (b *Batch) rehash() { b.rehashWith(sha256.Sum256(b.Payload)) }

// rehashWith is rehash when the payload's SHA-256 is known.
func (b *Batch) rehashWith(payload [32]byte) {
	h := sha256.New()
	h.Write([]byte(batchDomain))
	h.Write(b.Raw[:signedLen])
	k := sha256.Sum256(b.KeyHeader)
	h.Write(k[:])
	h.Write(payload[:])
	h.Sum(b.hash[:0])
}

// NewBatch gives sealed records their place in the chain: it writes the header
// and signs it. KeyHeader is nil when an earlier batch of the lane carried it.
func NewBatch(id *Identity, h Header, keyHeader, payload []byte) (*Batch, error) {
	raw, err := appendHeader(make([]byte, 0, headerLen+len(keyHeader)+len(payload)), h, len(keyHeader), len(payload))
	if err != nil {
		return nil, err
	}
	raw = raw[:headerLen]
	raw = append(raw, keyHeader...)
	raw = append(raw, payload...)
	b := &Batch{Header: h, Payload: raw[headerLen+len(keyHeader):], Raw: raw}
	if len(keyHeader) > 0 {
		b.KeyHeader = raw[headerLen : headerLen+len(keyHeader)]
	}
	b.rehash()
	b.signature = ed25519.Sign(id.private, b.hash[:])
	copy(raw[signedLen:], b.signature)
	return b, nil
}

func appendHeader(raw []byte, h Header, keyLen, payloadLen int) ([]byte, error) {
	switch {
	case !h.Lane.Valid(), h.Seq == 0, h.Records > MaxRecords, keyLen > maxKeyHeader, payloadLen > MaxPayload:
		return nil, fmt.Errorf("write batch: a field is out of range: %w", ErrMalformed)
	case h.Seq == 1 != (h.Previous == Hash{}):
		return nil, fmt.Errorf("write batch: only the first of a lane has no batch before it: %w", ErrMalformed)
	}
	raw = append(raw, batchMagic...)
	raw = append(raw, 1, byte(h.Lane))
	raw = binary.BigEndian.AppendUint16(raw, uint16(keyLen))
	raw = append(raw, h.Device[:]...)
	raw = append(raw, h.Key[:]...)
	raw = binary.BigEndian.AppendUint64(raw, h.Seq)
	raw = binary.BigEndian.AppendUint64(raw, uint64(h.Sealed.UnixMilli()))
	raw = binary.BigEndian.AppendUint32(raw, h.Records)
	raw = binary.BigEndian.AppendUint32(raw, h.Counter)
	raw = binary.BigEndian.AppendUint32(raw, uint32(payloadLen))
	return append(raw, h.Previous[:]...), nil
}

// ParseBatch reads exactly one batch. It checks form, not signature.
func ParseBatch(raw []byte) (*Batch, error) {
	b, n, err := parseBatch(raw)
	if err != nil {
		return nil, err
	}
	if n != len(raw) {
		return nil, fmt.Errorf("batch has %d bytes too many: %w", len(raw)-n, ErrMalformed)
	}
	return b, nil
}

func parseBatch(raw []byte) (*Batch, int, error) {
	h, err := ParseHeader(raw)
	if err != nil {
		return nil, 0, err
	}
	k, p, _ := batchLengths(raw)
	n := headerLen + k + p
	if len(raw) < n {
		return nil, 0, fmt.Errorf("batch is cut short: %w", ErrMalformed)
	}
	b := &Batch{Header: h, Raw: raw[:n:n], KeyHeader: raw[headerLen : headerLen+k], Payload: raw[headerLen+k : n]}
	if k == 0 {
		b.KeyHeader = nil
	} else if KeyIDOf(b.KeyHeader) != b.Key {
		return nil, 0, fmt.Errorf("batch carries another data key than it names: %w", ErrMalformed)
	}
	b.signature = b.Raw[signedLen:headerLen]
	b.rehash()
	return b, n, nil
}

// ParseHeader reads a batch's header from its first bytes and no more of it. It
// proves nothing about the rest.
func ParseHeader(raw []byte) (Header, error) {
	if _, _, err := batchLengths(raw); err != nil {
		return Header{}, err
	}
	h := Header{
		Lane: Lane(raw[5]), Device: DeviceID(raw[8:24]), Key: KeyID(raw[24:40]),
		Seq:    binary.BigEndian.Uint64(raw[40:]),
		Sealed: time.UnixMilli(int64(binary.BigEndian.Uint64(raw[48:]))).UTC(), Records: binary.BigEndian.Uint32(raw[56:]),
		Counter: binary.BigEndian.Uint32(raw[60:]), Previous: Hash(raw[68:100]),
	}
	if h.Seq == 0 || h.Records > MaxRecords || (h.Seq == 1) != (h.Previous == Hash{}) {
		return Header{}, fmt.Errorf("batch header: a field is out of range: %w", ErrMalformed)
	}
	return h, nil
}

// batchLengths reads the lengths of key header and payload from a batch's first
// bytes, against the limits.
func batchLengths(raw []byte) (key, payload int, err error) {
	if len(raw) < headerLen {
		return 0, 0, fmt.Errorf("batch is cut short: %w", ErrMalformed)
	}
	if string(raw[:4]) != batchMagic || !Lane(raw[5]).Valid() {
		return 0, 0, fmt.Errorf("not a batch: %w", ErrMalformed)
	}
	if raw[4] != 1 {
		return 0, 0, fmt.Errorf("batch version %d: %w", raw[4], ErrNewer)
	}
	key, payload = int(binary.BigEndian.Uint16(raw[6:])), int(binary.BigEndian.Uint32(raw[64:]))
	if payload > MaxPayload || payload < payloadOverhead {
		return 0, 0, fmt.Errorf("batch payload of %d bytes: %w", payload, ErrMalformed)
	}
	return key, payload, nil
}

// ReadBatch reads the next batch of a stream of batches, or io.EOF at its end.
// It never takes more memory than [MaxBatch].
func ReadBatch(r io.Reader) (*Batch, error) {
	head := make([]byte, headerLen)
	if _, err := io.ReadFull(r, head); err != nil {
		if err == io.EOF {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read batch: %w: %w", ErrMalformed, err)
	}
	k, p, err := batchLengths(head)
	if err != nil {
		return nil, err
	}
	// Grown as bytes arrive: a header alone must not reserve what it claims.
	buf := bytes.NewBuffer(head)
	if _, err := io.CopyN(buf, r, int64(k+p)); err != nil {
		return nil, fmt.Errorf("read batch: %w: %w", ErrMalformed, err)
	}
	return ParseBatch(buf.Bytes())
}

// Verify checks that the batch was signed by the device it names, whose public
// key the caller knows.
func (b *Batch) Verify(public ed25519.PublicKey) error {
	if DeviceIDOf(public) != b.Device {
		return fmt.Errorf("batch %s/%d names another device: %w", b.Lane, b.Seq, ErrForged)
	}
	if !ed25519.Verify(public, b.hash[:], b.signature) {
		return fmt.Errorf("batch %s/%d: signature: %w", b.Lane, b.Seq, ErrForged)
	}
	return nil
}

// Open decrypts the records: NDJSON, one record a line. The key is the data key
// that the batch names.
func (b *Batch) Open(k *DataKey) ([]byte, error) {
	if k.ID != b.Key || k.Lane != b.Lane || k.Device != b.Device {
		return nil, fmt.Errorf("batch %s/%d: another data key: %w", b.Lane, b.Seq, ErrForged)
	}
	compressed, err := k.open(b.Payload, b.Counter)
	if err != nil {
		return nil, fmt.Errorf("batch %s/%d: %w", b.Lane, b.Seq, err)
	}
	plain, err := Decompress(compressed)
	if err != nil {
		return nil, fmt.Errorf("batch %s/%d: %w", b.Lane, b.Seq, err)
	}
	if n := bytes.Count(plain, []byte{'\n'}); n != int(b.Records) || (len(plain) > 0 && plain[len(plain)-1] != '\n') {
		return nil, fmt.Errorf("batch %s/%d holds %d lines, its header says %d: %w", b.Lane, b.Seq, n, b.Records, ErrForged)
	}
	return plain, nil
}
