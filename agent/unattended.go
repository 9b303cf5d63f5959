package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"tidemark/agent/config"
	"tidemark/uploader"
)

// Enrolment without a person: when the settings name an archive and its key, and there
// is a token, the agent enrols by itself, and asks until the archive answers. A token
// comes from managed policy (archive.token) or from a file that the deployment leaves
// (archive.token_file), which is deleted when it has done its work.

// How long the agent waits before it asks again: an interval that doubles between
// these, and of it a random part, for a fleet that is rolled out asks together.
const (
	enrolFirst = 5 * time.Second
	enrolMost  = 10 * time.Minute
)

// maxToken bounds a token's file.
const maxToken = 4096

// ErrNoToken reports that there is nothing to enrol with.
var ErrNoToken = errors.New("no enrolment token is given")

// ReadToken reads an enrolment token. Errors quote nothing of it.
func ReadToken(in io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || len(data) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("read enrolment token: it must hold one token and nothing else")
	}
	return token, nil
}

// givenToken is the token of the settings, the file's before the policy's: it is the
// one that somebody has brought for this device. Without any the error is ErrNoToken.
func givenToken(c *config.Config) (string, error) {
	f, err := os.Open(c.TokenFile)
	if err == nil {
		defer f.Close()
		token, err := ReadToken(f)
		if err != nil {
			err = fmt.Errorf("%s: %w", c.TokenFile, err)
		}
		return token, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	if c.Token == "" {
		return "", ErrNoToken
	}
	return c.Token, nil
}

// unattended enrols the device with what the settings give.
type unattended struct {
	a     *Agent
	wait  *backoff.ExponentialBackOff
	next  time.Time // not before
	tried string    // the token that was; another one need not wait
}

func newUnattended(a *Agent) *unattended {
	return &unattended{a: a, wait: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(a.enrolFirst), backoff.WithMultiplier(2), backoff.WithMaxInterval(enrolMost),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))}
}

// errLater reports that it is too early to ask again.
var errLater = errors.New("later")

// try enrols, if the settings have all that it takes and it is time. The error is
// ErrNoToken when something is missing, and errLater when it is not time yet.
func (u *unattended) try(ctx context.Context) error {
	c := u.a.config()
	if c.ArchiveURL == "" || c.ArchiveKey == "" {
		return ErrNoToken
	}
	token, err := givenToken(c)
	if err != nil {
		return err
	}
	if token != u.tried {
		u.tried, u.next = token, time.Time{}
		u.wait.Reset()
	}
	if time.Now().Before(u.next) {
		return errLater
	}
	done, err := Enrol(ctx, c, EnrolOptions{URL: c.ArchiveURL, Key: c.ArchiveKey, Token: token, Version: u.a.opts.Version, Client: u.a.opts.Client})
	if err != nil {
		u.next = time.Now().Add(rand.N(u.wait.NextBackOff()))
		u.a.log.Warn("enrolment failed and is tried again", "err", err)
		return err
	}
	u.tried, u.next = "", time.Time{}
	u.a.log.Info("enrolled", "device", done.Device, "archive", done.Archive)
	u.forget()
	return nil
}

// forget deletes the token's file, which has done its work: whoever reads it could
// enrol a device of their own.
func (u *unattended) forget() {
	file := u.a.config().TokenFile
	switch err := os.Remove(file); {
	case err == nil:
		u.a.log.Info("the enrolment token is used and its file deleted", "file", file)
	case !errors.Is(err, fs.ErrNotExist):
		u.a.log.Warn("the enrolment token is used and its file cannot be deleted", "file", file, "err", err)
	}
}

// keepEnrolled enrols again when the archive does not know this device, such as one
// that lost its registry, and deletes a token that is not needed.
func (u *unattended) keepEnrolled(ctx context.Context, p *pipeline) error {
	t := time.NewTicker(max(u.a.enrolPoll, time.Millisecond) * 10)
	defer t.Stop()
	for {
		switch s := p.uploader.Status(); {
		case s.State == uploader.StateNotEnrolled:
			if u.try(ctx) == nil {
				p.uploader.Wake()
			}
		case s.State.OK() && !s.LastReceipt.IsZero():
			u.forget()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
