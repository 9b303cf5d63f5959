package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

// A key header wraps one data key to every recipient. Integers are big-endian.
//
//	offset  size  field
//	0       4     magic "TMKK"
//	4       1     version, now 1
//	5       1     lane
//	6       1     number of recipients, 1 to 8
//	7       1     zero
//	8       16    device id
//	24      8     time made, Unix milliseconds of the device's clock
//	then for each recipient:
//	0       16    recipient id
//	16      2     HPKE KEM id
//	18      2     length e of the encapsulated key
//	20      e     encapsulated key
//	20+e    48    the data key, sealed: HPKE base mode, info "tidemark data key v1", bytes 0 to 31 as associated data
const (
	keyMagic      = "TMKK"
	keyFixed      = 32
	sealedKeyLen  = 48
	maxRecipients = 8
	maxEncLen     = 4096
	maxKeyHeader  = keyFixed + maxRecipients*(20+maxEncLen+sealedKeyLen)
	dataKeyInfo   = "tidemark data key v1"
)

// KeyID names a data key: the first 16 bytes of the SHA-256 of its key header.
type KeyID [16]byte

func (k KeyID) String() string { return fmt.Sprintf("%x", k[:]) }

// KeyIDOf returns the id of the data key that the header wraps.
func KeyIDOf(header []byte) KeyID {
	sum := sha256.Sum256(header)
	return KeyID(sum[:16])
}

// DataKey seals batch payloads of one lane of one device. It lives in memory
// only. Seal may be called concurrently.
type DataKey struct {
	Header  []byte // the key header, to be kept with the first batch sealed under it
	ID      KeyID
	Lane    Lane
	Device  DeviceID
	Created time.Time

	aead    cipher.AEAD
	counter atomic.Uint64
	bytes   atomic.Int64
}

// NewDataKey makes a data key and wraps it to every recipient of the archive.
func NewDataKey(a *Archive, device DeviceID, lane Lane, now time.Time) (*DataKey, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	h := make([]byte, 0, keyFixed+len(a.recipients)*(20+1120+sealedKeyLen))
	h = append(h, keyMagic...)
	h = append(h, 1, byte(lane), byte(len(a.recipients)), 0)
	h = append(h, device[:]...)
	h = binary.BigEndian.AppendUint64(h, uint64(now.UnixMilli()))
	for _, pub := range a.recipients {
		enc, sender, err := hpke.NewSender(pub, kdf(), aead(), []byte(dataKeyInfo))
		if err != nil {
			return nil, fmt.Errorf("wrap data key: %w", err)
		}
		sealed, err := sender.Seal(h[:keyFixed], secret)
		if err != nil {
			return nil, fmt.Errorf("wrap data key: %w", err)
		}
		id := recipientID(pub.Bytes())
		h = append(h, id[:]...)
		h = binary.BigEndian.AppendUint16(h, pub.KEM().ID())
		h = binary.BigEndian.AppendUint16(h, uint16(len(enc)))
		h = append(h, enc...)
		h = append(h, sealed...)
	}
	k, err := newDataKey(h, secret)
	if err != nil {
		return nil, err
	}
	k.Created = now
	return k, nil
}

func newDataKey(header, secret []byte) (*DataKey, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	return &DataKey{
		Header: header, ID: KeyIDOf(header), Lane: Lane(header[5]), Device: DeviceID(header[8:24]),
		Created: time.UnixMilli(int64(binary.BigEndian.Uint64(header[24:]))).UTC(), aead: gcm,
	}, nil
}

// Sealed returns how many bytes of ciphertext the key has made, for rotation.
func (k *DataKey) Sealed() int64 { return k.bytes.Load() }

// OpenDataKey unwraps a data key with whichever private key is a recipient.
func OpenDataKey(header []byte, private ...hpke.PrivateKey) (*DataKey, error) {
	recipients, err := parseKeyHeader(header)
	if err != nil {
		return nil, err
	}
	for _, p := range private {
		id := recipientID(p.PublicKey().Bytes())
		for _, r := range recipients {
			if r.id != id || r.kem != p.KEM().ID() {
				continue
			}
			rc, err := hpke.NewRecipient(r.enc, p, kdf(), aead(), []byte(dataKeyInfo))
			if err != nil {
				return nil, fmt.Errorf("unwrap data key: %w: %w", ErrForged, err)
			}
			secret, err := rc.Open(header[:keyFixed], r.sealed)
			if err != nil {
				return nil, fmt.Errorf("unwrap data key: %w: %w", ErrForged, err)
			}
			return newDataKey(header, secret)
		}
	}
	return nil, fmt.Errorf("unwrap data key: %w", ErrNoKey)
}

// ParsePrivateKey reads a recipient's private key from the bytes that
// [NewRecipient] gave.
func ParsePrivateKey(b []byte) (hpke.PrivateKey, error) {
	k, err := kem().NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("recipient private key: %w: %w", ErrMalformed, err)
	}
	return k, nil
}

type wrappedKey struct {
	id     [16]byte
	kem    uint16
	enc    []byte
	sealed []byte
}

func parseKeyHeader(h []byte) ([]wrappedKey, error) {
	out, n, err := cutKeyHeader(h)
	if err == nil && n != len(h) {
		err = fmt.Errorf("key header has %d bytes too many: %w", len(h)-n, ErrMalformed)
	}
	return out, err
}

// FindKeyHeader returns the key header that the bytes begin with. It checks form and
// proves nothing about who made it; [KeyIDOf] tells which key it is.
func FindKeyHeader(raw []byte) ([]byte, error) {
	_, n, err := cutKeyHeader(raw)
	if err != nil {
		return nil, err
	}
	return raw[:n:n], nil
}

// cutKeyHeader reads the key header that the bytes begin with, and its length.
func cutKeyHeader(h []byte) ([]wrappedKey, int, error) {
	if len(h) < keyFixed || string(h[:4]) != keyMagic {
		return nil, 0, fmt.Errorf("key header: %w", ErrMalformed)
	}
	if h[4] != 1 {
		return nil, 0, fmt.Errorf("key header version %d: %w", h[4], ErrNewer)
	}
	n := int(h[6])
	if !Lane(h[5]).Valid() || n == 0 || n > maxRecipients || h[7] != 0 {
		return nil, 0, fmt.Errorf("key header: %w", ErrMalformed)
	}
	out := make([]wrappedKey, 0, n)
	rest := h[keyFixed:]
	for range n {
		if len(rest) < 20 {
			return nil, 0, fmt.Errorf("key header is cut short: %w", ErrMalformed)
		}
		w := wrappedKey{id: [16]byte(rest[:16]), kem: binary.BigEndian.Uint16(rest[16:])}
		e := int(binary.BigEndian.Uint16(rest[18:]))
		if e > maxEncLen || len(rest) < 20+e+sealedKeyLen {
			return nil, 0, fmt.Errorf("key header is cut short: %w", ErrMalformed)
		}
		w.enc, w.sealed = rest[20:20+e], rest[20+e:20+e+sealedKeyLen]
		rest = rest[20+e+sealedKeyLen:]
		out = append(out, w)
	}
	return out, len(h) - len(rest), nil
}

// A payload is AES-256-GCM over zstd-compressed NDJSON. The nonce is eight zero
// bytes and the counter that the batch header carries, which never repeats under
// one data key; the associated data binds lane, device and data key.
const payloadOverhead = 16

func (k *DataKey) nonce(counter uint32) []byte {
	var n [12]byte
	binary.BigEndian.PutUint32(n[8:], counter)
	return n[:]
}

func (k *DataKey) additional() []byte {
	b := append([]byte("tidemark payload v1\n"), byte(k.Lane))
	b = append(b, k.Device[:]...)
	return append(b, k.ID[:]...)
}

// Seal encrypts compressed records and returns the ciphertext with the counter of
// its nonce. After 2^32-1 payloads it fails: rotate long before.
func (k *DataKey) Seal(compressed []byte) (payload []byte, counter uint32, err error) {
	n := k.counter.Add(1)
	if n > math.MaxUint32 {
		return nil, 0, fmt.Errorf("seal: data key %s is used up", k.ID)
	}
	counter = uint32(n)
	payload = k.aead.Seal(make([]byte, 0, len(compressed)+payloadOverhead), k.nonce(counter), compressed, k.additional())
	k.bytes.Add(int64(len(payload)))
	return payload, counter, nil
}

// Open decrypts a batch's payload.
func (k *DataKey) open(payload []byte, counter uint32) ([]byte, error) {
	b, err := k.aead.Open(nil, k.nonce(counter), payload, k.additional())
	if err != nil {
		return nil, fmt.Errorf("open payload: %w", ErrForged)
	}
	return b, nil
}

// LogValue keeps the key out of logs.
func (k *DataKey) LogValue() slog.Value { return slog.StringValue("data key " + k.ID.String()) }
