package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/collector/keys"
	"tidemark/internal/durable"
	"tidemark/uploader"
)

// How often the archive is asked for keys: soon while an account lacks one, and for an
// archive that passes none on.
const (
	keysSoon  = time.Minute
	keysEvery = 15 * time.Minute
	keysNever = 24 * time.Hour
)

// fetchKeys keeps what the archive has for this device, sealed as it came, until the
// context ends. It does nothing unless the settings name the archive as a source.
func (p *pipeline) fetchKeys(ctx context.Context, c *config.Config) error {
	if !slices.ContainsFunc(c.Keys, func(s config.KeySource) bool { return s.Source == "archive" }) {
		return nil
	}
	for {
		err := p.fetchKeysOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := keysEvery
		switch {
		case errors.Is(err, uploader.ErrNoKeys):
			wait = keysNever
			p.log.Warn("the archive passes no keys on; take the source out of the settings", "source", "archive")
		case err != nil:
			p.log.Warn("keys could not be had from the archive", "err", err)
		case p.lacksKeys():
			wait = keysSoon
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)): // a fleet does not ask at one time
		}
	}
}

func (p *pipeline) lacksKeys() bool {
	return slices.ContainsFunc(p.source.Status().Accounts, func(a collector.AccountStatus) bool {
		return a.State == collector.StateKeyMissing || a.State == collector.StateKeyRejected
	})
}

// fetchKeysOnce asks once. What does not open, or is no key file, changes nothing: keys
// that work are worth more than an archive's mistake.
func (p *pipeline) fetchKeysOnce(ctx context.Context) error {
	sealed, err := p.uploader.DeviceKeys(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, deviceKeysFile)
	if sealed == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget keys: %w", err)
		}
		return nil
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, sealed) {
		return nil
	}
	file, err := p.enrolment.identity.OpenDeviceKeys(sealed)
	if err == nil {
		err = keys.CheckFile(file)
	}
	if err != nil {
		return fmt.Errorf("the archive's keys for this device are of no use: %w", err)
	}
	if err := durable.WriteFile(path, sealed, 0o600); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	p.log.Info("keys came from the archive")
	return nil
}
