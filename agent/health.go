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
	"tidemark/record"
	"tidemark/spool"
	"tidemark/uploader"
)

// Health says in one word whether what should be captured is.
type Health string

// The healths, best first. "tidemark status" ends with 0, 1 and 2 for them.
const (
	Healthy  Health = "healthy"  // all in scope is captured and delivered
	Degraded Health = "degraded" // captured, but late or not all
	Blind    Health = "blind"    // an account, or everything, is not captured
)

func (h Health) rank() int { return slices.Index([]Health{Healthy, Degraded, Blind}, h) }

// Reason is one cause of a health that is not Healthy.
type Reason struct {
	Health Health    `json:"health"`
	What   string    `json:"what"`
	Since  time.Time `json:"since,omitzero"`
	Do     string    `json:"do,omitempty"` // what a person can do about it
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
}

// Status says how the agent is as of now.
func (a *Agent) Status() *Status {
	a.mu.Lock()
	p, wait := a.pipe, a.wait
	a.mu.Unlock()
	s := &Status{
		Running: true, Version: a.opts.Version, PID: os.Getpid(), Started: a.started.UTC(), At: a.opts.Now().UTC(),
		StateDir: a.config().StateDir,
	}
	s.judgeSettings(a.config())
	s.judgeUnread(a)
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
	s.judgeQuarantine(a.config())
	for _, err := range p.ring.Problems() {
		s.reason(Reason{Health: Degraded, What: "a key source has a problem: " + err.Error(), Do: "put the key source right; tidemark keys check shows what opens"})
	}
	return s.settle()
}

// NotRunning is the status when no agent answers: blind, with what the state folder
// tells.
func NotRunning(c *config.Config, version string, cause error) *Status {
	s := &Status{Version: version, At: time.Now().UTC(), StateDir: c.StateDir}
	s.judgeSettings(c)
	r := Reason{Health: Blind, What: "the agent is not running, nothing is captured", Do: "start it: tidemark service start (or tidemark run)"}
	if !errors.Is(cause, ErrNotRunning) {
		r.What, r.Do = "it cannot be told whether the agent is running: "+cause.Error(), "ask as the user whom the service runs as (administrator, root)"
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

// notOpen is why an agent that runs has no pipeline.
func notOpen(err error, since time.Time) Reason {
	if err == nil || errors.Is(err, ErrNotEnrolled) {
		return notEnrolled(err, since)
	}
	return Reason{Health: Blind, What: err.Error() + ", nothing is captured", Since: since, Do: diskRemedy}
}

func notEnrolled(err error, since time.Time) Reason {
	what := ErrNotEnrolled.Error()
	if err != nil {
		what = err.Error()
	}
	return Reason{Health: Blind, What: what + ", nothing is captured", Since: since, Do: "enrol it: tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE"}
}

func (s *Status) reason(r Reason) { s.Reasons = append(s.Reasons, r) }

// settle sorts the reasons and draws the sum.
func (s *Status) settle() *Status {
	slices.SortStableFunc(s.Reasons, func(a, b Reason) int { return cmp.Compare(b.Health.rank(), a.Health.rank()) })
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

func (s *Status) judgeCapture(c *config.Config) {
	look := s.Capture
	if look.Passes == 0 {
		s.reason(Reason{Health: Degraded, What: "the first look at the accounts has not finished", Since: s.Started})
		return
	}
	if age := s.At.Sub(look.LastPass); age > max(staleAfter, 10*c.Poll) {
		s.reason(Reason{Health: Degraded, What: "no look at the accounts has finished lately", Since: look.LastPass, Do: "look at the agent's log; restart it: tidemark service stop, tidemark service start"})
	}
	for _, p := range look.Problems {
		s.reason(Reason{Health: Degraded, What: fmt.Sprintf("a folder could not be searched for accounts: %s: %s", p.Path, p.Cause), Do: "give the agent permission to read it, or take it out of sources"})
	}
	if len(look.Accounts) == 0 {
		s.reason(Reason{Health: Blind, What: "no WeChat account is found on this device", Since: s.Started, Do: "if WeChat keeps its files elsewhere, name the folder in sources; tidemark accounts shows what is found"})
	}
	inScope := 0
	for i := range look.Accounts {
		account := &look.Accounts[i]
		if account.State == collector.StateExcluded {
			continue
		}
		inScope++
		health := Degraded
		switch account.Severity {
		case record.SeverityInfo:
			continue
		case record.SeverityBlind:
			health = Blind
		}
		s.reason(Reason{Health: health, What: describe(account), Since: account.Since, Do: remedy(account)})
	}
	if inScope == 0 && len(look.Accounts) > 0 {
		s.reason(Reason{Health: Degraded, What: "every account found is out of scope by configuration", Since: s.Started, Do: "look at capture.accounts: tidemark config"})
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

func remedy(a *collector.AccountStatus) string {
	switch a.State {
	case collector.StateKeyMissing:
		return "give its key: tidemark keys add --account " + a.Account
	case collector.StateKeyRejected:
		return "the key given is not this database's; give the right one: tidemark keys add --account " + a.Account
	case collector.StateNoSource:
		return "look at the key sources: tidemark keys check"
	case collector.StateNotReadable:
		return "give the agent permission to read " + a.Path
	case collector.StateSpoolFull:
		return "make the archive reachable; reading goes on by itself when it has taken what waits"
	case collector.StateCorrupt:
		return "nothing is lost that can be read; keep the file for examination and let WeChat repair or replace it"
	case collector.StateNotice:
		return "its user reads and acknowledges the notice: tidemark notice --acknowledge"
	case collector.StateNoMessages:
		return "log in to WeChat on this device; if that is done, this client keeps its messages in a way this version does not know: update Tidemark"
	case collector.StateFailed:
		return "look at the agent's log; most often the disk is full"
	case collector.StateUnfamiliar:
		return "update Tidemark; what it does not know is kept as it is"
	}
	return ""
}

func (s *Status) judgeDelivery() {
	d := s.Delivery
	if !d.State.OK() {
		what := fmt.Sprintf("delivery: %s: %s", d.State, d.Err)
		if oldest := s.oldest(); !oldest.IsZero() {
			what += fmt.Sprintf("; the oldest record waits for %s", age(s.At.Sub(oldest)))
		}
		s.reason(Reason{Health: Degraded, What: what, Since: d.Since, Do: deliveryRemedy(d.State)})
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

func deliveryRemedy(state uploader.State) string {
	switch state {
	case uploader.StateUnreachable:
		return "check the network and archive.url; everything is kept and delivered later"
	case uploader.StateBusy:
		return "nothing here; the archive asked for patience"
	case uploader.StateNotArchive:
		return "sign in to the network if it asks for that, then check archive.url and any proxy"
	case uploader.StateNotEnrolled:
		return "enrol this device again: tidemark enroll"
	case uploader.StateRefused:
		return "tell the archive's administrator; everything is kept"
	case uploader.StateFork:
		return "tell the archive's administrator: this device or the archive was restored or copied, and the archive does not take what follows; everything is kept"
	}
	return ""
}
