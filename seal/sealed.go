package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Sealed is records under a data key that have no place in the chain yet. What takes
// time is done when it is made, by whoever has the records; [Sealed.Batch] only
// writes the header and signs. It belongs to one goroutine at a time.
type Sealed struct {
	key     *DataKey
	counter uint32
	sum     [32]byte // SHA-256 of the payload
	buf     []byte   // room for a batch's header and the key's, then the payload
}

// buffers are those of Sealed that have been released.
var buffers sync.Pool

// SealRecords compresses and encrypts records, NDJSON.
func (k *DataKey) SealRecords(ndjson []byte) (*Sealed, error) {
	n := k.counter.Add(1)
	if n > math.MaxUint32 {
		return nil, fmt.Errorf("seal: data key %s is used up", k.ID)
	}
	room := headerLen + len(k.Header)
	var buf []byte
	if b, ok := buffers.Get().(*[]byte); ok {
		buf = *b
	}
	buf = slices.Grow(buf[:0], room+len(ndjson)/8+512)
	buf = slices.Grow(encoder().EncodeAll(ndjson, buf[:room]), payloadOverhead)
	s := &Sealed{key: k, counter: uint32(n)}
	s.buf = buf[:room+len(k.aead.Seal(buf[room:room], k.nonce(s.counter), buf[room:], k.additional()))]
	if s.Len() > MaxPayload {
		return nil, fmt.Errorf("seal: %d bytes are more than a batch may have: %w", s.Len(), ErrMalformed)
	}
	s.sum = sha256.Sum256(s.buf[room:])
	k.bytes.Add(int64(s.Len()))
	return s, nil
}

// Key is the data key that it is sealed under.
func (s *Sealed) Key() *DataKey { return s.key }

// Len is the payload's length.
func (s *Sealed) Len() int { return len(s.buf) - headerLen - len(s.key.Header) }

// Batch gives it its place in the chain: the header's lane, device, key and counter
// are set here. carries says whether the key's header goes with it. The batch's bytes
// are the Sealed's own.
func (s *Sealed) Batch(id *Identity, h Header, carries bool) (*Batch, error) {
	h.Lane, h.Device, h.Key, h.Counter = s.key.Lane, s.key.Device, s.key.ID, s.counter
	var header []byte
	if carries {
		header = s.key.Header
	}
	raw := s.buf[len(s.key.Header)-len(header):]
	if _, err := appendHeader(raw[:0], h, len(header), s.Len()); err != nil {
		return nil, err
	}
	b := &Batch{Header: h, Raw: raw, Payload: raw[headerLen+len(header):]}
	if carries {
		b.KeyHeader = raw[headerLen : headerLen+len(header)]
		copy(b.KeyHeader, header)
	}
	b.rehashWith(s.sum)
	b.signature = ed25519.Sign(id.private, b.hash[:])
	copy(raw[signedLen:], b.signature)
	return b, nil
}

// Release lets its memory be used again; neither it nor its batch may be used after.
func (s *Sealed) Release() {
	buf := s.buf
	s.buf = nil
	buffers.Put(&buf)
}
