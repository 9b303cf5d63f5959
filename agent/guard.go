package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tidemark/agent/config"
)

// ErrOthersFolder reports a state folder that another user owns, who could read and
// replace the device's identity and keys.
var ErrOthersFolder = errors.New("the state folder belongs to another user")

// GuardStateDir is what the service does first with its state folder, for whoever
// installs it.
func GuardStateDir(c *config.Config) error {
	if err := MakeStateDir(c); err != nil {
		return err
	}
	_, err := guardStateDir(c.StateDir)
	return err
}

// guardStateDir makes sure that nobody else may enter the state folder. repaired says
// that somebody could until now.
func guardStateDir(dir string) (repaired bool, err error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("the state folder %s is no folder", dir)
	}
	if err = ownFolder(dir, info); err == nil || errors.Is(err, ErrOthersFolder) {
		return false, err
	}
	if err := closeFolder(dir); err != nil {
		return false, fmt.Errorf("close the state folder to others: %w", err)
	}
	return true, nil
}

// awaitStateDir makes the state folder and waits until it is this user's alone.
// Capturing into one that somebody else owns would hand over the device's identity.
func (a *Agent) awaitStateDir(ctx context.Context) error {
	for told := false; ; {
		repaired, err := guardStateDir(a.config().StateDir)
		if repaired {
			a.log.Warn("the state folder was open to other users and is closed now; whoever looked into it may have the device's identity and the keys", "dir", a.config().StateDir)
		}
		if err == nil {
			return nil
		}
		a.mu.Lock()
		a.wait = err
		a.mu.Unlock()
		if !told {
			a.log.Error("agent waits for its state folder, nothing is captured", "err", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.openPoll):
		}
	}
}
