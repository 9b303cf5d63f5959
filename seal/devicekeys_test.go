package seal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tidemark/seal"
)

func identity(t *testing.T, n byte) *seal.Identity {
	t.Helper()
	id, err := seal.IdentityFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Promise: keys that are sealed to a device open as that device's and nobody else's,
// and every byte of them counts.
func TestDeviceKeys(t *testing.T) {
	id, other := identity(t, 1), identity(t, 2)
	recipient, err := id.KeyRecipient()
	if err != nil || seal.CheckKeyRecipient(recipient) != nil {
		t.Fatal(err)
	}
	if again, err := id.KeyRecipient(); err != nil || !bytes.Equal(again, recipient) {
		t.Error("the public key is another the second time")
	}
	file := []byte(`{"keys":[]}`)
	sealed, err := seal.SealDeviceKeys(id.ID(), recipient, file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := id.OpenDeviceKeys(sealed); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := other.OpenDeviceKeys(sealed); !errors.Is(err, seal.ErrForged) {
		t.Errorf("another device: %v", err)
	}
	misnamed, err := seal.SealDeviceKeys(other.ID(), recipient, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := id.OpenDeviceKeys(misnamed); !errors.Is(err, seal.ErrForged) {
		t.Errorf("sealed in another device's name: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := id.OpenDeviceKeys(bad); err == nil {
			t.Errorf("byte %d altered, and it opens", i)
		}
	}
	for n := range sealed {
		if _, err := id.OpenDeviceKeys(sealed[:n]); err == nil {
			t.Errorf("cut to %d bytes, and it opens", n)
		}
	}
	if _, err := seal.SealDeviceKeys(id.ID(), recipient[1:], file); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a public key that is none: %v", err)
	}
	if _, err := seal.SealDeviceKeys(id.ID(), recipient, make([]byte, seal.MaxDeviceKeys+1)); err == nil {
		t.Error("more than there may be was sealed")
	}
}

// Promise: what was sealed by an earlier release still opens. The file has the device's
// seed, its public key for this, and the sealed bytes, in hex.
func TestDeviceKeysGolden(t *testing.T) {
	path := filepath.Join("testdata", "golden", "devicekeys.hex")
	const file = `{"v":1,"keys":[{"account":"wxid_golden","key":"00"}]}`
	if *update {
		id := identity(t, 7)
		recipient, _ := id.KeyRecipient()
		sealed, err := seal.SealDeviceKeys(id.ID(), recipient, []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		text := hex.EncodeToString(id.Seed()) + "\n" + hex.EncodeToString(recipient) + "\n" + hex.EncodeToString(sealed) + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for line := range bytes.Lines(data) {
		b, err := hex.DecodeString(string(bytes.TrimSpace(line)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, b)
	}
	id, err := seal.IdentityFromSeed(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	if recipient, _ := id.KeyRecipient(); !bytes.Equal(recipient, parts[1]) {
		t.Error("the device's public key is another")
	}
	if got, err := id.OpenDeviceKeys(parts[2]); err != nil || string(got) != file {
		t.Errorf("%q, %v", got, err)
	}
}

// Promise: whatever an archive sends as device keys does no harm.
func FuzzDeviceKeys(f *testing.F) {
	id := seal.NewIdentity()
	recipient, _ := id.KeyRecipient()
	sealed, _ := seal.SealDeviceKeys(id.ID(), recipient, []byte("{}"))
	f.Add(sealed)
	f.Add([]byte("TMDK\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := id.OpenDeviceKeys(data); err == nil && !bytes.Equal(data, sealed) {
			t.Error("bytes that nobody sealed open")
		}
	})
}
