package seal

import (
	"crypto/hpke"
	"encoding/binary"
	"fmt"
)

// Device keys are what the organisation gives to one device through the archive: a key
// file, sealed to the device, so that the archive passes on what it cannot read.
//
// The bytes are "TMDK", a version byte of 1, the length of the encapsulated key (2
// bytes, big endian), that key, and the ciphertext, by the HPKE suite of data keys. The
// info is "tidemark device keys v1\n" and the device id as text, so that what is sealed
// to one device opens as no other's.
const (
	deviceKeysMagic = "TMDK"
	deviceKeysInfo  = "tidemark device keys v1\n"
	deviceKeysFixed = len(deviceKeysMagic) + 1 + 2
)

// MaxDeviceKeys is the most that is sealed to a device at once: a thousand keys and more.
const MaxDeviceKeys = 256 << 10

// keyRecipient derives the device's key pair for what is sealed to it. It comes from
// the identity, so that there is no other secret to keep or lose.
func (i *Identity) keyRecipient() (hpke.PrivateKey, error) {
	return kem().DeriveKeyPair(i.Secret("device keys recipient"))
}

// KeyRecipient is the public key that device keys are sealed to; see [SealDeviceKeys].
func (i *Identity) KeyRecipient() ([]byte, error) {
	k, err := i.keyRecipient()
	if err != nil {
		return nil, fmt.Errorf("device key recipient: %w", err)
	}
	return k.PublicKey().Bytes(), nil
}

// CheckKeyRecipient reports whether the bytes are a public key that device keys can be
// sealed to. The error wraps ErrMalformed.
func CheckKeyRecipient(recipient []byte) error {
	if _, err := kem().NewPublicKey(recipient); err != nil {
		return fmt.Errorf("device key recipient: %w: %w", ErrMalformed, err)
	}
	return nil
}

// SealDeviceKeys seals a key file to the device whose KeyRecipient is given.
func SealDeviceKeys(device DeviceID, recipient, file []byte) ([]byte, error) {
	if len(file) > MaxDeviceKeys {
		return nil, fmt.Errorf("seal device keys: more than %d bytes", MaxDeviceKeys)
	}
	public, err := kem().NewPublicKey(recipient)
	if err != nil {
		return nil, fmt.Errorf("seal device keys: %w: %w", ErrMalformed, err)
	}
	enc, sender, err := hpke.NewSender(public, kdf(), aead(), []byte(deviceKeysInfo+device.String()))
	if err != nil {
		return nil, fmt.Errorf("seal device keys: %w", err)
	}
	head := append([]byte(deviceKeysMagic), 1)
	head = binary.BigEndian.AppendUint16(head, uint16(len(enc)))
	sealed, err := sender.Seal(head, file)
	if err != nil {
		return nil, fmt.Errorf("seal device keys: %w", err)
	}
	return append(append(head, enc...), sealed...), nil
}

// OpenDeviceKeys opens what was sealed to this device. The error wraps ErrMalformed, or
// ErrForged when it was sealed to another device or altered.
func (i *Identity) OpenDeviceKeys(sealed []byte) ([]byte, error) {
	if len(sealed) < deviceKeysFixed || string(sealed[:len(deviceKeysMagic)]) != deviceKeysMagic || sealed[len(deviceKeysMagic)] != 1 {
		return nil, fmt.Errorf("open device keys: %w", ErrMalformed)
	}
	head, rest := sealed[:deviceKeysFixed], sealed[deviceKeysFixed:]
	n := int(binary.BigEndian.Uint16(head[deviceKeysFixed-2:]))
	if n > len(rest) {
		return nil, fmt.Errorf("open device keys: %w", ErrMalformed)
	}
	private, err := i.keyRecipient()
	if err != nil {
		return nil, fmt.Errorf("open device keys: %w", err)
	}
	r, err := hpke.NewRecipient(rest[:n], private, kdf(), aead(), []byte(deviceKeysInfo+i.ID().String()))
	if err != nil {
		return nil, fmt.Errorf("open device keys: %w: %w", ErrForged, err)
	}
	file, err := r.Open(head, rest[n:])
	if err != nil {
		return nil, fmt.Errorf("open device keys: %w: %w", ErrForged, err)
	}
	return file, nil
}
