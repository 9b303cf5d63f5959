package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/spool"
	"tidemark/uploader"
)

// Health says in one word whether what should be captured is.
type Health = state.Severity

// The healths, best first. "tidemark status" ends with 0, 1 and 2 for them.
const (
	Healthy  = state.Healthy
	Degraded = state.Degraded
	Blind    = state.Blind
)

// Reason is one cause of a health that is not Healthy: a named state of docs/states.md.
type Reason struct {
	ID      state.ID  `json:"id"`
	Health  Health    `json:"health"` // the state's severity, unless it is worse here
	Account string    `json:"account,omitempty"`
	What    string    `json:"what"` // with what is particular to this device
	Since   time.Time `json:"since,omitzero"`
	Do      string    `json:"do,omitempty"` // what a person can do about it

	path string // that the remedy speaks of
	url  string
}

// ArchiveStatus is the archive this device delivers to.
type ArchiveStatus struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Key  string `json:"key"`
}

// Status is the agent's account of itself. It holds names of accounts, files and
// states, counts and times; no content and no keys.
type Status struct {
	Overall  Health            `json:"overall"`
	Reasons  []Reason          `json:"reasons"` // worst first
	Running  bool              `json:"running"`
	Enrolled bool              `json:"enrolled"`
	Version  string            `json:"version"`
	PID      int               `json:"pid,omitempty"`
	Started  time.Time         `json:"started,omitzero"`
	At       time.Time         `json:"at"`
	Device   string            `json:"device,omitempty"`
	StateDir string            `json:"state_dir"`
	Secrets  string            `json:"secrets,omitempty"` // what the device's key is kept in: file, or the system's place for secrets
	Archive  *ArchiveStatus    `json:"archive,omitempty"`
	Capture  *collector.Status `json:"capture,omitempty"`
	Delivery *uploader.Status  `json:"delivery,omitempty"`
	Spool    *spool.Stats      `json:"spool,omitempty"`
	Reports  *ReportStatus     `json:"reports,omitempty"` // of this health to the archive
}

// Status says how the agent is as of now.
func (a *Agent) Status() *Status {
	a.mu.Lock()
	p, wait, noMetrics := a.pipe, a.wait, a.noMetrics
	a.mu.Unlock()
	s := &Status{
		Running: true, Version: a.opts.Version, PID: os.Getpid(), Started: a.started.UTC(), At: a.opts.Now().UTC(),
		StateDir: a.config().StateDir,
	}
	s.judgeSettings(a.config())
	s.judgeUnread(a)
	if a.noEndpoint != nil {
		s.reason(Reason{ID: state.NoEndpoint, What: "the agent cannot be asked for its status on this device: " + a.noEndpoint.Error()})
	}
	if noMetrics != nil {
		s.reason(Reason{ID: state.NoMetrics, What: "the metrics that are configured cannot be given: " + noMetrics.Error()})
	}
	if p == nil {
		s.reason(notOpen(wait, s.Started))
		s.Enrolled = wait != nil && !errors.Is(wait, ErrNotEnrolled)
		return s.settle()
	}
	s.Enrolled, s.Device = true, p.device
	s.Secrets, _ = IdentityVault(s.StateDir) // without it, it is not told
	s.Archive = &ArchiveStatus{Name: p.enrolment.archive.Name(), URL: p.enrolment.url, Key: p.enrolment.archive.Key.String()}
	capture, delivery := p.source.Status(), p.uploader.Status()
	s.Capture, s.Delivery = &capture, &delivery
	if stats, err := p.spool.Stats(); err == nil {
		s.Spool = &stats
	}
	if len(p.config.Held()) == 0 {
		s.judgeCapture(p.config)
	}
	s.judgeDelivery()
	s.judgeSpool()
	s.judgeArchive(p)
	s.judgeOrphans(p)
	s.judgeVitals(a.vitals)
	s.judgeQuarantine(a.config())
	for _, err := range p.ring.Problems() {
		s.reason(Reason{ID: state.KeySource, What: "a key source has a problem: " + err.Error()})
	}
	return s.settle()
}

// NotRunning is the status when no agent answers: blind, with what the state folder
// tells.
func NotRunning(c *config.Config, version string, cause error) *Status {
	s := &Status{Version: version, At: time.Now().UTC(), StateDir: c.StateDir}
	s.judgeSettings(c)
	r := Reason{ID: state.NotRunning, What: "the agent is not running, nothing is captured"}
	if !errors.Is(cause, ErrNotRunning) {
		r = Reason{ID: state.NotAnswering, What: "it cannot be told whether the agent is running: " + cause.Error()}
	}
	if info, err := os.Stat(filepath.Join(c.StateDir, heartbeatFile)); err == nil {
		r.Since = info.ModTime().UTC()
	}
	s.reason(r)
	switch _, err := readEnrolment(c); {
	case errors.Is(err, ErrNotEnrolled):
		s.reason(notEnrolled(err, time.Time{}))
	case err == nil:
		s.Enrolled = true
	}
	return s.settle()
}

// Unreadable is the status when the settings can't be read: nothing is known, which is
// no health.
func Unreadable(version string, cause error) *Status {
	s := &Status{Version: version, At: time.Now().UTC()}
	s.reason(Reason{ID: state.SettingsBad, What: cause.Error()})
	return s.settle()
}

// notOpen is why an agent that runs has no pipeline.
func notOpen(err error, since time.Time) Reason {
	if err == nil {
		return Reason{ID: state.Starting, What: "the agent is starting", Since: since}
	}
	if errors.Is(err, ErrNotEnrolled) {
		return notEnrolled(err, since)
	}
	id := state.CannotOpen
	switch {
	case errors.Is(err, errPausing):
		id = state.Pausing
	case errors.Is(err, ErrOthersFolder):
		id = state.OthersFolder
	}
	return Reason{ID: id, What: err.Error() + ", nothing is captured", Since: since}
}

func notEnrolled(err error, since time.Time) Reason {
	id, what := state.NotEnrolled, ErrNotEnrolled.Error()
	switch {
	case errors.Is(err, ErrIdentityLost):
		id = state.IdentityLost
	case errors.Is(err, errOtherArchive):
		id = state.OtherArchive
	}
	if err != nil {
		what = err.Error()
	}
	return Reason{ID: id, What: what + ", nothing is captured", Since: since}
}

// reason adds a state, with the list's severity and remedy.
func (s *Status) reason(r Reason) {
	e, _ := state.Get(r.ID)
	r.Health = cmp.Or(r.Health, e.Severity)
	r.Do = cmp.Or(r.Do, state.Fill(e.Remedy.EN, "account", r.Account, "path", r.path, "url", r.url, "state_dir", s.StateDir))
	s.Reasons = append(s.Reasons, r)
}

// settle sorts the reasons and draws the sum.
func (s *Status) settle() *Status {
	slices.SortStableFunc(s.Reasons, func(a, b Reason) int { return cmp.Compare(b.Health.Rank(), a.Health.Rank()) })
	s.Overall = Healthy
	if len(s.Reasons) > 0 {
		s.Overall = s.Reasons[0].Health
	} else {
		s.Reasons = []Reason{} // "reasons": [] in JSON
	}
	return s
}

// staleAfter is when a look that has not ended is told to a person. A pass over a
// large history takes minutes and shows in the accounts' states.
const staleAfter = 10 * time.Minute

// readWithin is how old a look at an account may be while capture goes well.
func readWithin(c *config.Config) time.Duration { return max(staleAfter, 10*c.Poll) }

func (s *Status) judgeCapture(c *config.Config) {
	look := s.Capture
	if look.Passes == 0 {
		s.reason(Reason{ID: state.FirstPass, What: "the first look at the accounts has not finished", Since: s.Started})
		return
	}
	within := readWithin(c)
	stalled := s.At.Sub(look.LastPass) > within
	if stalled {
		s.reason(Reason{ID: state.Stalled, What: "no look at the accounts has finished lately", Since: look.LastPass})
	}
	for _, p := range look.Problems {
		s.reason(Reason{ID: state.NotSearchable, What: fmt.Sprintf("a folder could not be searched for accounts: %s: %s", p.Path, p.Cause)})
	}
	if len(look.Accounts) == 0 {
		s.reason(Reason{ID: state.NoAccount, What: "no WeChat account is found on this device", Since: s.Started})
	}
	inScope := 0
	for i := range look.Accounts {
		account := &look.Accounts[i]
		if account.State == collector.StateExcluded {
			continue
		}
		inScope++
		r := Reason{ID: state.Account(string(account.State)), Health: Degraded, Account: account.Account, What: describe(account), Since: account.Since, path: account.Path}
		switch account.Severity {
		case record.SeverityBlind:
			r.Health = Blind
		case record.SeverityInfo: // read as a whole at least this often, unless a long history is being read
			last := account.LastRead
			if last.IsZero() {
				last = account.Since
			}
			if stalled || account.State == collector.StateCatchingUp || s.At.Sub(last) <= within {
				continue
			}
			r = Reason{ID: state.NotReadLately, Account: account.Account, What: fmt.Sprintf("account %s: not read as a whole lately", account.Account), Since: last}
		}
		s.reason(r)
	}
	if inScope == 0 && len(look.Accounts) > 0 {
		s.reason(Reason{ID: state.AllExcluded, What: "every account found is out of scope by configuration", Since: s.Started})
	}
}

// describe says what is wrong with an account and names the first databases that
// are in its state, with the cause where the state does not say it all.
func describe(a *collector.AccountStatus) string {
	what := fmt.Sprintf("account %s: %s", a.Account, a.State)
	var named []string
	for _, d := range a.Databases {
		item := d.File
		if d.State != collector.StateKeyRejected && d.Detail != "" {
			item = strings.TrimPrefix(item+": "+d.Detail, ": ")
		}
		if d.State == a.State && item != "" {
			named = append(named, item)
		}
	}
	if more := len(named) - 3; more > 0 {
		named = append(named[:3], fmt.Sprintf("%d more", more))
	}
	if len(named) > 0 {
		what += " (" + strings.Join(named, ", ") + ")"
	}
	return what
}

func (s *Status) judgeDelivery() {
	d := s.Delivery
	if !d.State.OK() {
		what := fmt.Sprintf("delivery: %s: %s", d.State, d.Err)
		if oldest := s.oldest(); !oldest.IsZero() {
			what += fmt.Sprintf("; the oldest record waits for %s", age(s.At.Sub(oldest)))
		}
		s.reason(Reason{ID: state.Delivery(string(d.State)), What: what, Since: d.Since})
	}
}

// oldest is when the oldest batch that waits was sealed.
func (s *Status) oldest() time.Time {
	var oldest time.Time
	if s.Spool == nil {
		return oldest
	}
	for _, l := range s.Spool.Lanes {
		if l.Batches > 0 && (oldest.IsZero() || l.Oldest.Before(oldest)) {
			oldest = l.Oldest
		}
	}
	return oldest
}
