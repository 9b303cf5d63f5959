package disclosure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"tidemark/internal/durable"
)

// Acknowledgement says that a user has read a version of the notice.
type Acknowledgement struct {
	Version  string    `json:"version"`
	Digest   string    `json:"digest"` // Notice.Digest of what was read
	At       time.Time `json:"at"`     // by the device's clock
	User     string    `json:"user"`   // who was logged in, by the system's name
	Language string    `json:"language,omitempty"`
}

type acknowledgements struct {
	V            int               `json:"v"`
	Acknowledged []Acknowledgement `json:"acknowledged"`
}

// maxAcknowledgements bounds the file of bytes that another user wrote.
const maxAcknowledgements = 64 << 10

// ErrNotTheirs reports an acknowledgement that somebody else than the profile's user
// may have made.
var ErrNotTheirs = errors.New("the acknowledgement is not a file of the profile's user")

// File is where a user's acknowledgements are kept, in the profile at home.
func File(home string) string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(home, "AppData", "Roaming", "Tidemark", "acknowledged.json")
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "Tidemark", "acknowledged.json")
	}
	return filepath.Join(home, ".config", "tidemark", "acknowledged.json")
}

// Acknowledged returns what the user of the profile at home has acknowledged, oldest
// first; nothing when there is no file.
func Acknowledged(home string) ([]Acknowledgement, error) {
	path := File(home)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read acknowledgement: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxAcknowledgements || !sameOwner(info, home) {
		return nil, ErrNotTheirs
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read acknowledgement: %w", err)
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, ErrNotTheirs
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAcknowledgements))
	if err != nil {
		return nil, fmt.Errorf("read acknowledgement: %w", err)
	}
	return parseAcknowledgements(data)
}

func parseAcknowledgements(data []byte) ([]Acknowledgement, error) {
	var a acknowledgements
	if err := json.Unmarshal(data, &a); err != nil || a.V != 1 {
		return nil, errors.New("read acknowledgement: the file is damaged or newer than this program")
	}
	return a.Acknowledged, nil
}

// Find returns the first acknowledgement of the notice's version.
func (n Notice) Find(list []Acknowledgement) (Acknowledgement, bool) {
	i := slices.IndexFunc(list, func(a Acknowledgement) bool { return a.Version == n.Version })
	if i < 0 {
		return Acknowledgement{}, false
	}
	return list[i], true
}

// Acknowledge keeps, in the profile at home, that its user has read the notice. A
// version that is acknowledged already stays as it was. Call it as that user.
func Acknowledge(home string, n Notice, user, language string, at time.Time) (Acknowledgement, error) {
	list, err := Acknowledged(home)
	if err != nil {
		return Acknowledgement{}, err
	}
	if a, ok := n.Find(list); ok {
		return a, nil
	}
	a := Acknowledgement{Version: n.Version, Digest: n.Digest(), At: at.UTC().Truncate(time.Second), User: user, Language: language}
	list = append(list, a)
	if excess := len(list) - 100; excess > 0 {
		list = list[excess:] // the archive has the rest
	}
	data, err := json.MarshalIndent(acknowledgements{1, list}, "", "  ")
	if err != nil {
		return a, fmt.Errorf("keep acknowledgement: %w", err)
	}
	path := File(home)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return a, fmt.Errorf("keep acknowledgement: %w", err)
	}
	if err := durable.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return a, fmt.Errorf("keep acknowledgement: %w", err)
	}
	return a, nil
}
