package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// credentialName is the systemd credential that holds the key: at least 16 random bytes,
// such as
//
//	head -c 32 /dev/urandom | systemd-creds encrypt --name=tidemark-state-key - FILE
//
// in the service as LoadCredentialEncrypted=tidemark-state-key:FILE.
const credentialName = "tidemark-state-key"

// systemVault is that of systemd's credentials, nil when this process was given none.
func systemVault() vault {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, credentialName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &keyVault{title: vaultTitle, key: func(bool) ([]byte, error) {
		key, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", vaultTitle, errVaultAway, err)
		}
		if len(key) < 16 {
			return nil, fmt.Errorf("%s: the credential %s is shorter than 16 bytes", vaultTitle, credentialName)
		}
		return key, nil
	}}
}

const vaultTitle = "systemd credential"
