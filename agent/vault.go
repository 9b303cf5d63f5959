package agent

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// The device's secret at rest is the seed of its identity. Where the system has a place
// for secrets, identity.json holds it wrapped with what is there:
//
//	Windows   DPAPI of the machine: the service and an administrator who enrols are different users
//	macOS     a key in the system keychain, by way of /usr/bin/security
//	Linux     a key that systemd hands the service as the credential "tidemark-state-key",
//	          which systemd-creds seals to the machine's TPM where there is one
//
// Elsewhere it is a file that only the agent's user reads. What a wiped keychain or a
// reset TPM takes away is the identity, never a record: the device enrols anew, and what
// the lost identity had sealed is delivered on its behalf.
//
// A vault wraps a secret. Its errors quote nothing of it.
type vault interface {
	name() string
	// wrap seals the secret, bound to a name.
	wrap(secret []byte, boundTo string) ([]byte, error)
	// unwrap opens it. The error wraps errVaultLost when it can never be opened again.
	unwrap(sealed []byte, boundTo string) ([]byte, error)
}

var (
	errVaultLost = errors.New("what it was sealed with is gone")
	errVaultAway = errors.New("what it is sealed with is not within reach of this process")
)

// vaultFile is what secrets are kept in without a vault.
const vaultFile = "file"

// keyVault wraps with a key that the system keeps.
type keyVault struct {
	title string
	key   func(make bool) ([]byte, error) // make: put one there if there is none
}

func (v *keyVault) name() string { return v.title }

func (v *keyVault) aead(make bool, boundTo string) (cipher.AEAD, error) {
	secret, err := v.key(make)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "tidemark vault v1\n"+boundTo, 32)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.title, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.title, err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (v *keyVault) wrap(secret []byte, boundTo string) ([]byte, error) {
	a, err := v.aead(true, boundTo)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, secret, []byte(boundTo)), nil
}

func (v *keyVault) unwrap(sealed []byte, boundTo string) ([]byte, error) {
	a, err := v.aead(false, boundTo)
	if err != nil {
		return nil, err
	}
	secret, err := a.Open(nil, nil, sealed, []byte(boundTo))
	if err != nil {
		return nil, fmt.Errorf("%s: another key is there: %w", v.title, errVaultLost)
	}
	return secret, nil
}

// vaultFor is the vault that the setting asks for: nil for "file", and for "auto" where the
// system has none.
func vaultFor(setting string) (vault, error) {
	if setting == vaultFile {
		return nil, nil
	}
	v := systemVault()
	if v == nil && setting == "system" {
		return nil, errors.New("secrets: system is configured, and the system offers no place for them to this process")
	}
	return v, nil
}
