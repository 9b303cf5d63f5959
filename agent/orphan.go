package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/spool"
	"tidemark/uploader"
)

// An identity that is lost, with identity.json, is replaced when the device enrols again.
// What the lost one had sealed stays as it is, in a spool of its own beside the new one,
// and the device delivers it under its new identity, on behalf of the old. Capture begins
// anew: what it meets again has the same ids.

// orphanPattern names the spools of lost identities in the state folder.
const orphanPattern = "orphan-*.db"

// orphanRetry is how long it takes until an undelivered one is tried again.
const orphanRetry = time.Minute

// ErrIdentityLost comes with ErrNotEnrolled when this device was enrolled and its
// identity is gone.
var ErrIdentityLost = errors.New("this device's identity is lost (what it had captured is kept)")

// leaveSpool sets the spool of a lost identity aside, before another takes its place. It
// does nothing while there is an identity.
func leaveSpool(dir string, now time.Time) error {
	path := filepath.Join(dir, identityFile)
	switch _, err := readIdentity(dir); {
	case errors.Is(err, errVaultLost):
		if err := os.Rename(path, fmt.Sprintf("%s.lost-%d", path, now.UnixNano())); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil // there is one; whether it can be used, whoever uses it finds out
	}
	aside := filepath.Join(dir, fmt.Sprintf("orphan-%d.db", now.UnixNano()))
	return spool.SetAside(filepath.Join(dir, spoolFile), aside)
}

// orphans lists the spools of lost identities.
func orphans(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, orphanPattern)) // no error but a bad pattern's
	return found
}

// deliverOrphans delivers what lost identities had sealed, until all is delivered.
func (p *pipeline) deliverOrphans(ctx context.Context) error {
	for {
		err := p.deliverOrphansOnce(ctx)
		if err == nil {
			<-ctx.Done()
			return ctx.Err()
		}
		p.log.Warn("what an earlier identity of this device sealed is not delivered yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(orphanRetry):
		}
	}
}

// deliverOrphansOnce tries each once. What is delivered is removed.
func (p *pipeline) deliverOrphansOnce(ctx context.Context) error {
	var errs []error
	for _, path := range orphans(p.dir) {
		if err := p.deliverOrphan(ctx, path); err != nil {
			errs = append(errs, err)
		}
	}
	err := errors.Join(errs...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orphaned = err
	return err
}

func (p *pipeline) deliverOrphan(ctx context.Context, path string) error {
	o, err := spool.OpenOrphan(path, p.enrolment.archive)
	if err != nil {
		return err
	}
	n, err := o.Batches()
	if err == nil && n > 0 {
		if err = p.tellOrphan(ctx, path, o, n); err == nil {
			err = p.drainOrphan(ctx, o)
		}
	}
	if err != nil {
		return errors.Join(err, o.Close())
	}
	return o.Remove()
}

func (p *pipeline) drainOrphan(ctx context.Context, o *spool.Orphan) error {
	u, err := uploader.New(uploader.Options{
		Queue: o, Archive: p.enrolment.archive, Identity: p.enrolment.identity, OnBehalf: o.Device(), Remote: p.remote,
		Logger: p.log.With("component", "uploader"), Now: p.now, Suspect: p.suspect,
	})
	if err != nil {
		return err
	}
	return u.Drain(ctx)
}

// tellOrphan records, once for each, that this device was another before.
func (p *pipeline) tellOrphan(ctx context.Context, path string, o *spool.Orphan, batches int) error {
	key := "agent/orphan/" + filepath.Base(path)
	if told, err := p.spool.Cursor(key); err != nil || told != nil {
		return err
	}
	e := p.event(record.EventIdentityLost, record.SeverityDegraded, p.now())
	e.Detail = map[string]string{"before": o.Device().String(), "waiting_batches": strconv.Itoa(batches)}
	return p.append(ctx, []*record.Record{e}, spool.Cursor{Key: key, Value: []byte("told")})
}

// judgeOrphans tells of what could not be delivered on behalf of an earlier identity.
func (s *Status) judgeOrphans(p *pipeline) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.orphaned != nil {
		s.reason(Reason{
			ID: state.Orphaned, What: "what this device sealed under an earlier identity is not delivered yet: " + p.orphaned.Error(),
		})
	}
}

var _ uploader.Queue = (*spool.Orphan)(nil)
