package agent

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tidemark/agent/config"
	"tidemark/collector/keys"
	"tidemark/internal/durable"
	"tidemark/seal"
)

// The files of the state folder. Every one but the spool and the heartbeat is
// replaced whole by durable.WriteFile.
const (
	identityFile   = "identity.json"   // the device's seed, 0600; made when the device enrols
	archiveFile    = "archive.json"    // the archive's pinned key document, its exact bytes
	successionFile = "succession.json" // the documents that were followed from there; absent while there are none
	enrolmentFile  = "enrolment.json"  // where this device is enrolled; written last, so its presence means all three are there
	spoolFile      = "spool.db"
	keysFile       = "keys.json"
	deviceKeysFile = "keys.sealed" // as the archive gave it
	heartbeatFile  = "heartbeat"   // empty; its time is when the agent was last known to run
)

// ErrNotEnrolled reports that the state folder holds no enrolment for the archive
// of the configuration.
var ErrNotEnrolled = errors.New("this device is not enrolled")

// enrolment is who this device is and whom it delivers to.
type enrolment struct {
	identity *seal.Identity
	archive  *seal.Archive // the newest that was followed from the pinned one
	pinned   seal.ArchiveKey
	url      string
}

type identityForm struct {
	V      int    `json:"v"`
	Device string `json:"device"`
	Seed   string `json:"seed,omitempty"`   // base64 of 32 bytes
	Vault  string `json:"vault,omitempty"`  // what wraps the seed, see vault
	Sealed string `json:"sealed,omitempty"` // base64 of the wrapped seed
}

type enrolmentForm struct {
	V        int       `json:"v"`
	URL      string    `json:"url"`
	Key      string    `json:"key"`
	Device   string    `json:"device"`
	Enrolled time.Time `json:"enrolled"`
}

// MakeStateDir makes the state folder, which only this user may enter.
func MakeStateDir(c *config.Config) error {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	return nil
}

// errOtherArchive comes with ErrNotEnrolled.
var errOtherArchive = errors.New("with the archive of the configuration, but with another")

// readEnrolment opens the enrolment in the folder. The configuration's address wins over
// the one kept at enrolment; its key must be one that this archive has or has had, or it
// is another archive, for which this device is not enrolled.
func readEnrolment(c *config.Config) (*enrolment, error) {
	e, err := openEnrolment(c)
	if err != nil {
		return nil, err
	}
	if c.ArchiveKey != "" {
		if key, err := seal.ParseArchiveKey(c.ArchiveKey); err != nil || !e.archive.Had(key) {
			return nil, fmt.Errorf("%w %w", ErrNotEnrolled, errOtherArchive)
		}
	}
	e.identity, err = readIdentity(c.StateDir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errVaultLost) {
		return nil, fmt.Errorf("%w: %w", ErrNotEnrolled, ErrIdentityLost)
	}
	return e, err
}

// openEnrolment opens all of the enrolment but the identity.
func openEnrolment(c *config.Config) (*enrolment, error) {
	var form enrolmentForm
	if err := readForm(filepath.Join(c.StateDir, enrolmentFile), &form); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotEnrolled
		}
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	e := &enrolment{url: form.URL}
	if c.ArchiveURL != "" {
		e.url = c.ArchiveURL
	}
	var err error
	if e.pinned, err = seal.ParseArchiveKey(form.Key); err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	if e.archive, err = readArchive(c.StateDir, e.pinned); err != nil {
		return nil, err
	}
	return e, nil
}

// readIdentity opens the folder's identity. The error wraps fs.ErrNotExist when there is
// none, and errVaultLost when it can never be opened again.
func readIdentity(dir string) (*seal.Identity, error) {
	var form identityForm
	if err := readForm(filepath.Join(dir, identityFile), &form); err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	seed, err := form.open()
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	id, err := seal.IdentityFromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	if id.ID().String() != form.Device {
		return nil, errors.New("read identity: the seed is another device's")
	}
	return id, nil
}

// open gives the seed.
func (f *identityForm) open() ([]byte, error) {
	if f.Vault == "" {
		seed, err := base64.StdEncoding.DecodeString(f.Seed)
		if err != nil {
			return nil, errors.New("the seed is not base64") // not err: it may show a part
		}
		return seed, nil
	}
	v := systemVault()
	if v == nil || v.name() != f.Vault {
		return nil, fmt.Errorf("it is sealed with the %s: %w", f.Vault, errVaultAway)
	}
	sealed, err := base64.StdEncoding.DecodeString(f.Sealed)
	if err != nil {
		return nil, errors.New("the sealed seed is not base64")
	}
	return v.unwrap(sealed, f.Device)
}

// makeIdentity returns the folder's identity, making one if there is none.
func makeIdentity(dir, setting string) (*seal.Identity, error) {
	id, err := readIdentity(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = seal.NewIdentity()
	return id, writeIdentity(dir, id, setting)
}

// writeIdentity keeps the identity as the setting wants it. With "auto", what the system's
// vault does not give back is kept in a file: a vault that does not work must not cost the
// identity.
func writeIdentity(dir string, id *seal.Identity, setting string) error {
	form := identityForm{V: 1, Device: id.ID().String()}
	v, err := vaultFor(setting)
	if err != nil {
		return err
	}
	if v != nil {
		sealed, err := v.wrap(id.Seed(), form.Device)
		if err == nil {
			var again []byte
			if again, err = v.unwrap(sealed, form.Device); err == nil && !bytes.Equal(again, id.Seed()) {
				err = fmt.Errorf("%s gives back something else", v.name())
			}
		}
		switch {
		case err == nil:
			form.Vault, form.Sealed = v.name(), base64.StdEncoding.EncodeToString(sealed)
		case setting != "auto":
			return err
		}
	}
	if form.Vault == "" {
		form.Seed = base64.StdEncoding.EncodeToString(id.Seed())
	}
	return writeForm(filepath.Join(dir, identityFile), form)
}

// guardIdentity moves an identity to where the setting wants it: it may have been made by
// an administrator at a terminal, whom systemd gives no credential.
func guardIdentity(dir string, id *seal.Identity, setting string) error {
	kept, err := IdentityVault(dir)
	if err != nil {
		return err
	}
	v, err := vaultFor(setting)
	if err != nil {
		return err
	}
	want := vaultFile
	if v != nil {
		want = v.name()
	}
	if kept == want {
		return nil
	}
	return writeIdentity(dir, id, setting)
}

// IdentityVault says what the folder's identity is kept in: "file", or the system's place
// for secrets by its name.
func IdentityVault(dir string) (string, error) {
	var form identityForm
	if err := readForm(filepath.Join(dir, identityFile), &form); err != nil {
		return "", err
	}
	return cmp.Or(form.Vault, vaultFile), nil
}

// readForm reads a small JSON file of this program's. Errors quote nothing of it.
func readForm(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var version struct{ V int }
	if json.Unmarshal(data, &version) != nil || json.Unmarshal(data, into) != nil {
		return fmt.Errorf("%s is damaged", filepath.Base(path))
	}
	if version.V != 1 {
		return fmt.Errorf("%s is of version %d, this program knows 1", filepath.Base(path), version.V)
	}
	return nil
}

func writeForm(path string, form any) error {
	data, err := json.MarshalIndent(form, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// KeyStore is the store of the keys that were added on this device.
func KeyStore(c *config.Config) *keys.Store {
	return keys.NewStore(filepath.Join(c.StateDir, keysFile))
}

// KeyRing is all the places that database keys come from, the store first.
func KeyRing(c *config.Config) (*keys.Ring, error) {
	sources := []keys.Source{KeyStore(c)}
	for _, s := range c.Keys {
		switch s.Source {
		case "file":
			sources = append(sources, keys.NewFile(s.Path))
		case "exec":
			e, err := keys.NewExec(s.Command, keys.ExecOptions{})
			if err != nil {
				return nil, err
			}
			sources = append(sources, e)
		case "archive":
			sources = append(sources, keys.NewSealed(filepath.Join(c.StateDir, deviceKeysFile), func(sealed []byte) ([]byte, error) {
				id, err := readIdentity(c.StateDir)
				if err != nil {
					return nil, err
				}
				return id.OpenDeviceKeys(sealed)
			}))
		}
	}
	return keys.NewRing(sources...), nil
}
