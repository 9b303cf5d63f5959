package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tidemark/internal/durable"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader"
)

// How often the archive is asked whether its keys have changed: once a day, soon after
// a failed attempt, and when an answer was not the archive's, but not much sooner.
const (
	followEvery = 24 * time.Hour
	followRetry = 30 * time.Minute
	followAgain = time.Minute
)

// errSucceeded ends a session: the archive has new keys, and everything that was made
// with the old ones is to be made anew.
var errSucceeded = errors.New("the archive has new keys")

// successionForm is succession.json: the key documents that were followed from the
// pinned one, oldest first.
type successionForm struct {
	V     int        `json:"v"`
	Links []followed `json:"links"`
}

type followed struct {
	seal.Link
	Followed time.Time `json:"followed"` // this device's clock; see seal.Archive.Succeed
}

// readArchive opens the pinned document in the folder and goes on to the newest that
// was followed from it. A succession that is damaged counts as far as it verifies: it is
// asked for again.
func readArchive(dir string, pinned seal.ArchiveKey) (*seal.Archive, error) {
	doc, err := os.ReadFile(filepath.Join(dir, archiveFile))
	if err != nil {
		return nil, fmt.Errorf("read archive key document: %w", err)
	}
	a, err := seal.OpenArchiveDocument(doc, pinned)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", archiveFile, err)
	}
	var form successionForm
	if err := readForm(filepath.Join(dir, successionFile), &form); err != nil {
		return a, nil
	}
	for _, l := range form.Links {
		next, err := a.Succeed(l.Link, l.Followed)
		if err != nil {
			return a, nil
		}
		a = next
	}
	return a, nil
}

// follow asks the archive for its key documents and goes on to the newest, which is in
// the folder when follow returns. It returns a itself when a is the newest. The error
// wraps seal.ErrForged when what answers is another archive, or an older copy of it.
func follow(ctx context.Context, dir string, a *seal.Archive, pinned seal.ArchiveKey, remote *uploader.Remote, now time.Time) (*seal.Archive, error) {
	chain, err := remote.Succession(ctx)
	if err != nil {
		return nil, fmt.Errorf("get archive key documents: %w", err)
	}
	if len(chain) == 0 {
		return a, nil // an archive that has never changed its keys need not have this answer
	}
	next, err := a.Follow(chain, now)
	if err != nil || next == a {
		return next, err
	}
	return next, keepSuccession(dir, chain, pinned, now)
}

// keepSuccession writes what was followed. Documents that were followed before keep
// their time.
func keepSuccession(dir string, chain []seal.Link, pinned seal.ArchiveKey, now time.Time) error {
	path := filepath.Join(dir, successionFile)
	var old, form successionForm
	if err := readForm(path, &old); err != nil {
		old = successionForm{} // made again, below
	}
	form.V = 1
	at := slices.IndexFunc(chain, func(l seal.Link) bool { return l.Key() == pinned })
	for i, l := range chain[at+1:] {
		f := followed{l, now.UTC()}
		if i < len(old.Links) && old.Links[i].Link == l {
			f.Followed = old.Links[i].Followed
		}
		form.Links = append(form.Links, f)
	}
	return writeForm(path, form)
}

// meet fetches the archive's key document when a device enrols, checks that it is the
// pinned one or one to follow from there, and keeps what it was told.
func meet(ctx context.Context, dir string, pinned seal.ArchiveKey, remote *uploader.Remote, now time.Time) (*seal.Archive, error) {
	doc, err := remote.Document(ctx)
	if err != nil {
		return nil, fmt.Errorf("get archive key document: %w", err)
	}
	served := seal.Link{Document: string(doc)}
	known, err := readArchive(dir, pinned) // it has met it before, and never goes back
	switch {
	case err == nil && known.Key == served.Key():
		return known, nil
	case err != nil && served.Key() == pinned:
		a, err := seal.OpenArchiveDocument(doc, pinned)
		if err != nil {
			return nil, err
		}
		return a, durable.WriteFile(filepath.Join(dir, archiveFile), doc, 0o600)
	}
	chain, chainErr := remote.Succession(ctx)
	if chainErr != nil || len(chain) == 0 {
		return nil, fmt.Errorf("another archive or server answers: %w", seal.ErrForged)
	}
	var a *seal.Archive
	if err == nil {
		a, err = known.Follow(chain, now)
	} else {
		a, err = seal.OpenSuccession(chain, pinned, now)
	}
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(chain, func(l seal.Link) bool { return l.Key() == pinned })
	if err := keepSuccession(dir, chain, pinned, now); err != nil {
		return nil, err
	}
	return a, durable.WriteFile(filepath.Join(dir, archiveFile), []byte(chain[at].Document), 0o600)
}

// enrolment reads the enrolment. When the configuration names a key that is not known
// here, it may be the archive's next: the archive is asked once.
func (a *Agent) enrolment(ctx context.Context) (*enrolment, error) {
	c := a.config()
	e, err := readEnrolment(c)
	if !errors.Is(err, errOtherArchive) {
		return e, err
	}
	old, oldErr := openEnrolment(c)
	if oldErr != nil {
		return nil, err
	}
	remote, remoteErr := newRemote(c, old.url, a.opts.Version, a.opts.Client)
	if remoteErr != nil {
		return nil, err
	}
	if _, followErr := follow(ctx, c.StateDir, old.archive, old.pinned, remote, a.opts.Now()); followErr != nil {
		a.log.Debug("the archive of the enrolment does not lead on to the one of the configuration", "err", followErr)
		return nil, err
	}
	return readEnrolment(c)
}

// followOnce goes on to the archive's newest keys before a single pass, if the archive
// answers.
func (a *Agent) followOnce(ctx context.Context, e *enrolment) (*enrolment, error) {
	c := a.config()
	remote, err := newRemote(c, e.url, a.opts.Version, a.opts.Client)
	if err != nil {
		return nil, err
	}
	next, err := follow(ctx, c.StateDir, e.archive, e.pinned, remote, a.opts.Now())
	if err != nil {
		a.log.Warn("whether the archive's keys have changed is not known", "err", err)
		return e, nil
	}
	e.archive = next
	return e, nil
}

// watchArchive asks the archive whether its keys have changed, now and every day. It
// returns errSucceeded when they have.
func (p *pipeline) watchArchive(ctx context.Context) error {
	for {
		wait := followEvery
		next, err := follow(ctx, p.dir, p.enrolment.archive, p.enrolment.pinned, p.remote, p.now())
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, seal.ErrForged), errors.Is(err, seal.ErrMalformed), errors.Is(err, seal.ErrNewer):
			p.log.Warn("the archive's key documents do not lead on from the one in use, which stays", "err", err)
			p.setDistrust(err)
			wait = followRetry
		case err != nil:
			p.log.Debug("whether the archive's keys have changed is not known", "err", err)
			wait = followRetry
		case next.Key != p.enrolment.archive.Key:
			p.log.Info("the archive has new keys", "archive", next.Name(), "key", next.Key.String())
			return errSucceeded
		default:
			p.setDistrust(nil)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.askAgain:
			select { // whoever answers nonsense need not be asked without pause
			case <-ctx.Done():
			case <-time.After(p.followAgain):
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// suspect makes watchArchive ask soon: something that was not the archive's, or was
// under a key that is not known, came in an answer.
func (p *pipeline) suspect() {
	select {
	case p.askAgain <- struct{}{}:
	default:
	}
}

func (p *pipeline) setDistrust(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.distrust = err
}

// keysCursor holds the ARCHIVEKEY for which the last "archive_keys" event was recorded.
const keysCursor = "agent/archive-key"

// tellKeys records, once, that this device seals to other keys than before.
func (p *pipeline) tellKeys(ctx context.Context) error {
	key := p.enrolment.archive.Key.String()
	old, err := p.spool.Cursor(keysCursor)
	if err != nil || string(old) == key {
		return err
	}
	cursor := spool.Cursor{Key: keysCursor, Value: []byte(key)}
	if old == nil && p.enrolment.archive.Key == p.enrolment.pinned {
		return p.append(ctx, nil, cursor)
	}
	e := p.event(record.EventArchiveKeys, record.SeverityInfo, p.now())
	e.Detail = map[string]string{"key": key, "pinned": p.enrolment.pinned.String()}
	if old != nil {
		e.Detail["before"] = string(old)
	}
	p.vitals.occurred(state.ArchiveKeysMove, "key", key)
	return p.append(ctx, []*record.Record{e}, cursor)
}

// judgeArchive tells of an archive that offers keys which can not be followed.
func (s *Status) judgeArchive(p *pipeline) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.distrust != nil {
		s.reason(Reason{
			ID: state.KeysDistrusted, What: "the archive offers keys that do not lead on from those in use, which stay in use: " + p.distrust.Error(), url: p.enrolment.url,
		})
	}
}
