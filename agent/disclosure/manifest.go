package disclosure

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tidemark/internal/durable"
)

// Manifest says, without content, what this device's recorder does. Everybody on the
// device may read it; an account in it is known only to who knows its folder.
type Manifest struct {
	V       int       `json:"v"`
	Made    time.Time `json:"made"`
	Running bool      `json:"running"` // the agent, when this was made
	Version string    `json:"program_version"`
	Held    bool      `json:"held,omitempty"` // nothing is captured: what may be cannot be told from the settings

	Notice     Notice    `json:"notice"`
	ArchiveURL string    `json:"archive_url,omitempty"`
	History    string    `json:"history"` // capture.history as configured
	Accounts   Rule      `json:"accounts"`
	Talks      Rule      `json:"conversations"`
	Files      []string  `json:"files"`           // kinds of files that are captured
	MaxBytes   int64     `json:"max_bytes"`       // of one file; 0 means no limit
	Sources    []string  `json:"sources"`         // folders that are searched beside the usual ones
	Present    []Account `json:"account_folders"` // those on this device
}

// Rule is what is included and what of that is left out again.
type Rule struct {
	Include []string `json:"include"`
	Exclude []string `json:"exclude"`
}

// Account is one account folder of the device.
type Account struct {
	Ref      string    `json:"ref"` // Ref of its folder
	State    string    `json:"state"`
	Severity string    `json:"severity"` // info, degraded or blind
	Since    time.Time `json:"since,omitzero"`
	LastRead time.Time `json:"last_read,omitzero"`
}

// Ref names an account folder to who knows its path already.
func Ref(path string) string {
	sum := sha256.Sum256([]byte("tidemark account folder v1\n" + path))
	return hex.EncodeToString(sum[:16])
}

// ManifestName is the manifest's file name in the public folder.
const ManifestName = "manifest.json"

// maxManifest bounds what is read of a file of another user's.
const maxManifest = 1 << 20

// ErrNoManifest reports that no agent has said what it does.
var ErrNoManifest = errors.New("no recorder has said on this device what it does")

// Write puts the manifest into the folder, which it makes readable to everybody.
func (m *Manifest) Write(dir string) error {
	if err := makePublic(dir); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, ManifestName), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// Same says whether the manifests differ in nothing but the time they were made.
func (m *Manifest) Same(other *Manifest) bool {
	if m == nil || other == nil {
		return m == other
	}
	a, b := *m, *other
	a.Made, b.Made = time.Time{}, time.Time{}
	x, _ := json.Marshal(a) // plain data, cannot fail
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// ReadManifest reads the manifest of the folder. Without one the error is ErrNoManifest.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoManifest
	}
	if err == nil && info.Size() > maxManifest {
		err = errors.New("it is too large")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return parseManifest(data)
}

func parseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil || m.V != 1 {
		return nil, errors.New("read manifest: it is damaged or newer than this program")
	}
	return m, nil
}
