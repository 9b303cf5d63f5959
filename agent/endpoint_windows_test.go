package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/internal/state"
)

// Promise: on Windows the agent answers on a pipe that is the same for each way of
// writing the state folder, only once, and no longer than it runs.
func TestPipe(t *testing.T) {
	w := newWorld(t)
	dir := w.config.StateDir
	if _, err := FetchStatus(context.Background(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	stop, err := w.agent().serve()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, strings.ToUpper(dir), dir + string(filepath.Separator)} {
		if s, err := FetchStatus(context.Background(), name); err != nil || s.Overall != Degraded || s.Reasons[0].ID != state.Starting {
			t.Errorf("%s: status %+v, %v", name, s, err)
		}
	}
	if _, err := w.agent().serve(); !errors.Is(err, ErrRunning) {
		t.Errorf("second endpoint: %v", err)
	}
	stop()
	if _, err := FetchStatus(context.Background(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the stop: %v", err)
	}
}
