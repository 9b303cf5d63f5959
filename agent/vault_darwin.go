package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

const (
	vaultTitle     = "system keychain"
	keychainTool   = "/usr/bin/security"
	systemKeychain = "/Library/Keychains/System.keychain"
	keychainItem   = "-s tidemark -a state-key"
	// notFound is the tool's exit code for errSecItemNotFound.
	notFound = 44
)

// systemVault is that of the system keychain, which only root opens; nil for another
// user. Not seen on a real machine yet.
func systemVault() vault {
	if os.Geteuid() != 0 {
		return nil
	}
	return &keyVault{title: vaultTitle, key: keychainKey}
}

// keychainKey reads the key, and makes it if it is to be made. The key goes to the tool
// on its standard input, for every user may read a command line.
func keychainKey(make bool) ([]byte, error) {
	out, err := keychain("find-generic-password " + keychainItem + " -w " + systemKeychain)
	if err == nil {
		key, err := hex.DecodeString(string(bytes.TrimSpace(out)))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("%s: the item is not this program's: %w", vaultTitle, errVaultLost)
		}
		return key, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != notFound {
		return nil, fmt.Errorf("%s: %w: %w", vaultTitle, errVaultAway, err)
	}
	if !make {
		return nil, fmt.Errorf("%s: %w", vaultTitle, errVaultLost)
	}
	key := newVaultKey()
	if _, err := keychain("add-generic-password " + keychainItem + " -w " + hex.EncodeToString(key) + " " + systemKeychain); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", vaultTitle, errVaultAway, err)
	}
	return keychainKey(false) // what will be read, or nothing is wrapped with it
}

func newVaultKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

// keychain runs one command of the tool. Its output is never part of an error.
func keychain(command string) ([]byte, error) {
	cmd := exec.Command(keychainTool, "-i")
	cmd.Stdin = bytes.NewReader([]byte(command + "\n"))
	return cmd.Output()
}
