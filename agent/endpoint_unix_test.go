//go:build unix

package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/internal/state"
)

// Promise: the socket works below a state folder whose path is too long for one, is
// this user's alone, and is not taken for one when it is something else.
func TestSocket(t *testing.T) {
	w := newWorld(t)
	w.config.StateDir = filepath.Join(w.config.StateDir, strings.Repeat("long/", 30)+"state")
	if path := socketPath(w.config.StateDir); len(path) > maxSocketPath || strings.HasPrefix(path, w.config.StateDir) {
		t.Fatalf("socket at %s", path)
	}
	if _, err := FetchStatus(context.Background(), w.config.StateDir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	a := w.agent()
	stop, err := a.serve()
	if err != nil {
		t.Fatal(err)
	}
	path := socketPath(w.config.StateDir)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	if s, err := FetchStatus(context.Background(), w.config.StateDir); err != nil || s.Overall != Degraded || s.Reasons[0].ID != state.Starting {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := w.agent().serve(); !errors.Is(err, ErrRunning) {
		t.Errorf("second endpoint: %v", err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after the stop: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	if _, err := FetchStatus(context.Background(), w.config.StateDir); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("a file in the socket's place: %v", err)
	}
}
