package agent

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tidemark/agent/config"
	"tidemark/agent/disclosure"
	"tidemark/collector"
	"tidemark/collector/discover"
	"tidemark/record"
	"tidemark/spool"
)

// discloseEvery is how soon a change shows in the manifest, and an acknowledgement in a
// record. A manifest that says the same is written again after manifestFresh, so that
// its time tells whether somebody still writes it.
const (
	discloseEvery = 5 * time.Second
	manifestFresh = 5 * time.Minute
)

// The cursors: the words of the notice that were recorded last, and for each account
// folder the version whose acknowledgement was.
const (
	noticeCursor       = "notice"
	acknowledgedCursor = "notice/" // and disclosure.Ref of the folder
)

// NoticeOf is the notice of the configuration, for the archive of that name.
func NoticeOf(c *config.Config, archive string) disclosure.Notice {
	n := c.Notice
	n.Archive = archive
	return n.Complete()
}

// disclosed is what the agent tells the users of the device.
type disclosed struct {
	notice disclosure.Notice
	config *config.Config
	dir    string // public

	mu    sync.Mutex
	homes map[string]string // of account folders, by path

	written *disclosure.Manifest
	at      time.Time // when it was written
}

func newDisclosed(c *config.Config, archive string) *disclosed {
	return &disclosed{notice: NoticeOf(c, archive), config: c, dir: c.PublicDir(), homes: map[string]string{}}
}

// find finds the accounts and remembers whose they are.
func (d *disclosed) find() ([]discover.Account, []discover.Problem) {
	found, problems := discover.Find(d.config.Sources)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range found {
		d.homes[a.Path] = a.Home
	}
	return found, problems
}

// held says whether the account waits for its user's acknowledgement.
func (d *disclosed) held(a discover.Account) bool {
	if d.notice.Mode != disclosure.NoticeRequired {
		return false
	}
	_, ok := d.acknowledged(a.Home)
	return !ok
}

// acknowledged is the acknowledgement of the notice in force by the profile's user. What
// cannot be read is none.
func (d *disclosed) acknowledged(home string) (disclosure.Acknowledgement, bool) {
	if home == "" {
		home = d.config.StateDir // nobody's: an administrator acknowledges, see tidemark notice --help
	}
	list, err := disclosure.Acknowledged(home)
	if err != nil {
		return disclosure.Acknowledgement{}, false
	}
	return d.notice.Find(list)
}

// disclose keeps the manifest true and records acknowledgements until the context ends.
func (p *pipeline) disclose(ctx context.Context) error {
	t := time.NewTicker(discloseEvery)
	defer t.Stop()
	defer p.writeManifest(false)
	for {
		if err := p.recordNotice(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("the notice is not recorded yet", "err", err)
		}
		p.writeManifest(true)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// recordNotice records the words of a notice that is new, and acknowledgements that are.
func (p *pipeline) recordNotice(ctx context.Context) error {
	d := p.disclosed
	if !d.notice.Active() {
		return nil
	}
	told, err := p.spool.Cursor(noticeCursor)
	if err != nil {
		return err
	}
	if now := d.notice.Version + " " + d.notice.Digest(); string(told) != now {
		e := p.event(record.EventNotice, record.SeverityInfo, p.now())
		e.Detail = map[string]string{"version": d.notice.Version, "digest": d.notice.Digest(), "mode": d.notice.Mode,
			"text": d.notice.In(disclosure.English)}
		if zh := d.notice.In(disclosure.Chinese); zh != e.Detail["text"] {
			e.Detail["text_zh"] = zh
		}
		if err := p.append(ctx, []*record.Record{e}, spool.Cursor{Key: noticeCursor, Value: []byte(now)}); err != nil {
			return err
		}
	}
	for _, a := range p.source.Status().Accounts {
		d.mu.Lock()
		home := d.homes[a.Path]
		d.mu.Unlock()
		ack, ok := d.acknowledged(home)
		if !ok || a.State == collector.StateExcluded {
			continue
		}
		key := acknowledgedCursor + disclosure.Ref(a.Path)
		if told, err := p.spool.Cursor(key); err != nil || string(told) == ack.Version {
			if err != nil {
				return err
			}
			continue
		}
		e := p.event(record.EventAcknowledged, record.SeverityInfo, p.now())
		e.Account, e.Since = &record.Party{ID: a.Account, Name: a.Name}, ack.At
		e.Detail = map[string]string{"version": ack.Version, "digest": ack.Digest, "user": ack.User, "language": ack.Language}
		if err := p.append(ctx, []*record.Record{e}, spool.Cursor{Key: key, Value: []byte(ack.Version)}); err != nil {
			return err
		}
	}
	return nil
}

// writeManifest writes what the agent does now, when it has changed or grown old.
func (p *pipeline) writeManifest(running bool) {
	d := p.disclosed
	m := d.manifest(p.source.Status().Accounts, running, p.version, p.enrolment.url)
	m.Made = p.now().UTC().Truncate(time.Second)
	if age := p.now().Sub(d.at); m.Same(d.written) && age >= 0 && age < manifestFresh {
		return
	}
	if err := m.Write(d.dir); err != nil {
		p.log.Warn("users of this device cannot see what is captured", "err", err)
		return
	}
	d.written, d.at = m, p.now()
}

func (d *disclosed) manifest(accounts []collector.AccountStatus, running bool, version, url string) *disclosure.Manifest {
	c := d.config
	m := &disclosure.Manifest{
		V: 1, Running: running, Version: version, Held: len(c.Held()) > 0, Notice: d.notice, ArchiveURL: url, History: c.HistoryText(),
		Accounts: rule(c.Scope.Accounts), Talks: rule(c.Scope.Conversations), Files: []string{}, MaxBytes: c.Media.MaxBytes,
		Sources: append([]string{}, c.Sources...), Present: []disclosure.Account{},
	}
	for _, kind := range []struct {
		name string
		out  bool
	}{{"images", c.Media.NoImages}, {"voice", c.Media.NoVoice}, {"video", c.Media.NoVideo}, {"files", c.Media.NoFiles}} {
		if !kind.out {
			m.Files = append(m.Files, kind.name)
		}
	}
	for _, a := range accounts {
		// To the minute: a file that changes with every message wears the disk for nothing.
		m.Present = append(m.Present, disclosure.Account{
			Ref: disclosure.Ref(a.Path), State: string(a.State), Severity: a.Severity, Since: a.Since.Truncate(time.Second), LastRead: a.LastRead.Truncate(time.Minute),
		})
	}
	return m
}

func rule(r collector.Rule) disclosure.Rule {
	return disclosure.Rule{Include: append([]string{}, r.Include...), Exclude: append([]string{}, r.Exclude...)}
}

// Mine is what a device's recorder does with the accounts of one of its users.
type Mine struct {
	Manifest     *disclosure.Manifest        `json:"manifest"` // account_folders: the user's own
	Accounts     []MyAccount                 `json:"accounts"`
	Acknowledged *disclosure.Acknowledgement `json:"acknowledged,omitempty"` // of the notice in force
	At           time.Time                   `json:"at"`
}

// MyAccount is an account of the user's.
type MyAccount struct {
	Name       string `json:"account"`
	Generation string `json:"generation"`
	Path       string `json:"path"`
	Known      bool   `json:"known"` // the recorder has looked at it
	disclosure.Account
}

// Due says whether the notice concerns this user: an account of theirs is recorded, or
// is to be. Known ones decide; what the recorder has not looked at yet may be excluded.
func (m *Mine) Due() bool {
	return slices.ContainsFunc(m.Accounts, func(a MyAccount) bool { return a.Known && a.State != string(collector.StateExcluded) })
}

// MineOf says what the manifest in the public folder means for the user of the profile
// at home. It asks nobody and needs no right but the user's own.
func MineOf(dir, home string, now time.Time) (*Mine, error) {
	m, err := disclosure.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	list, err := disclosure.Acknowledged(home)
	if err != nil {
		return nil, err
	}
	mine := &Mine{Manifest: m, Accounts: []MyAccount{}, At: now.UTC()}
	if a, ok := m.Notice.Find(list); ok {
		mine.Acknowledged = &a
	}
	found, _ := discover.Find(m.Sources) // what this user cannot see is not this user's
	for _, f := range found {
		if f.Home == "" || filepath.Clean(f.Home) != filepath.Clean(home) {
			continue
		}
		a := MyAccount{Name: f.ID, Generation: f.Generation, Path: f.Path}
		if i := slices.IndexFunc(m.Present, func(p disclosure.Account) bool { return p.Ref == disclosure.Ref(f.Path) }); i >= 0 {
			a.Known, a.Account = true, m.Present[i]
		}
		mine.Accounts = append(mine.Accounts, a)
	}
	m.Present = slices.DeleteFunc(m.Present, func(p disclosure.Account) bool {
		return !slices.ContainsFunc(mine.Accounts, func(a MyAccount) bool { return a.Ref == p.Ref })
	})
	return mine, nil
}
