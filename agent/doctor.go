package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tidemark/agent/config"
	"tidemark/agent/disclosure"
	"tidemark/collector"
	"tidemark/installer"
	"tidemark/internal/state"
	"tidemark/spool"
)

// What a check can come to.
const (
	Passed        = "pass"
	Failed        = "fail"
	NotApplicable = "not applicable" // or not to be found out, because an earlier check failed
)

// Check is one precondition of capture.
type Check struct {
	ID     string   `json:"id"`
	Result string   `json:"result"`
	What   string   `json:"what"`
	State  state.ID `json:"state,omitempty"` // that the failure is, or leads to
	Do     string   `json:"do,omitempty"`    // of a failure
}

// Examination is every check, in the order in which to put things right.
type Examination struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Passed  bool      `json:"passed"` // nothing has failed
	Checks  []Check   `json:"checks"`
}

// DoctorOptions are what an examination needs.
type DoctorOptions struct {
	Config   *config.Config // nil when the settings can't be read
	Settings error          // why
	Version  string
	Service  func() (*installer.Service, error) // nil: the service is not looked at
}

// doctorPatience is how long the archive is waited for.
const doctorPatience = 15 * time.Second

// doctor collects checks.
type doctor struct {
	DoctorOptions
	*Examination
	status *Status // of the running agent, or nil
	asked  error   // why there is none
}

// Doctor examines every precondition. It works with the agent running or not, and changes
// nothing.
func Doctor(ctx context.Context, o DoctorOptions) *Examination {
	d := &doctor{DoctorOptions: o, Examination: &Examination{At: time.Now().UTC(), Version: o.Version, Checks: []Check{}}}
	if d.settings() {
		d.status, d.asked = FetchStatus(ctx, o.Config.StateDir)
		d.stateFolder()
		d.secrets()
		d.disk()
		d.service()
		d.agent()
		d.enrolment()
		d.accounts(ctx)
		d.notice()
		d.spool()
		d.notifications()
		d.archive(ctx)
	}
	d.Examination.Passed = !slices.ContainsFunc(d.Checks, func(c Check) bool { return c.Result == Failed })
	return d.Examination
}

func (d *doctor) pass(id, what string, args ...any) {
	d.Checks = append(d.Checks, Check{ID: id, Result: Passed, What: fmt.Sprintf(what, args...)})
}

func (d *doctor) skip(id, what string, args ...any) {
	d.Checks = append(d.Checks, Check{ID: id, Result: NotApplicable, What: fmt.Sprintf(what, args...)})
}

// fail adds a failure; the state's remedy is what to do unless one is given.
func (d *doctor) fail(id string, s state.ID, what, do string, pairs ...string) {
	if e, ok := state.Get(s); ok {
		do = cmp.Or(do, state.Fill(e.Remedy.EN, pairs...))
	}
	d.Checks = append(d.Checks, Check{ID: id, Result: Failed, What: what, State: s, Do: do})
}

// settings says whether there is anything to go on with.
func (d *doctor) settings() bool {
	if d.Config == nil {
		d.fail("settings", state.SettingsBad, d.Settings.Error(), "")
		return false
	}
	for _, p := range d.Config.Problems {
		if p.Holds {
			d.fail("settings", state.Held, p.Error(), "")
		} else {
			d.fail("settings", state.SettingBad, p.Error(), "")
		}
	}
	if len(d.Config.Problems) == 0 {
		d.pass("settings", "file, environment and managed policy are valid")
	}
	return true
}

func (d *doctor) stateFolder() {
	dir := d.Config.StateDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.skip("state_folder", "%s is not there yet; it is made when the agent first runs", dir)
	case err != nil:
		d.fail("state_folder", state.CannotOpen, err.Error(), "run doctor as the user whom the service runs as (administrator, root)")
	case !info.IsDir():
		d.fail("state_folder", state.CannotOpen, dir+" is not a folder", "remove the file, or set state_dir to a folder")
	default:
		if problem, do := folderOpen(dir, info); problem != "" {
			d.fail("state_folder", "", problem, do)
		} else {
			d.pass("state_folder", "%s belongs to its user, and nobody else may enter", dir)
		}
	}
}

func (d *doctor) secrets() {
	kept, err := IdentityVault(d.Config.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.skip("secrets", "this device has no key yet; it is made when the device enrols (secrets: %s)", d.Config.Secrets)
		return
	case err != nil:
		d.fail("secrets", state.IdentityLost, err.Error(), "")
		return
	}
	if _, err := readIdentity(d.Config.StateDir); err != nil {
		if errors.Is(err, errVaultAway) { // the service's, not a terminal's
			d.skip("secrets", "the device's key is in %s, which only the service reaches", secretsPlace(kept))
			return
		}
		d.fail("secrets", state.IdentityLost, err.Error(), "")
		return
	}
	d.pass("secrets", "the device's key is in %s", secretsPlace(kept))
}

func (d *doctor) disk() {
	dir := d.Config.StateDir
	for { // the folder may have to be made yet
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := spool.FreeBytes(dir)
	switch {
	case err != nil:
		d.fail("disk_space", state.NoFigures, err.Error(), "")
	case free < d.Config.SpoolMinFree:
		d.fail("disk_space", state.Spool(string(spool.StateLowDisk)), fmt.Sprintf("%s are free, %s are to stay free", size(free), size(d.Config.SpoolMinFree)), "", "state_dir", d.Config.StateDir)
	default:
		d.pass("disk_space", "%s are free, %s are to stay free", size(free), size(d.Config.SpoolMinFree))
	}
}

func (d *doctor) service() {
	if d.Service == nil {
		return
	}
	s, err := d.Service()
	var running bool
	if err == nil {
		running, err = s.Running()
	}
	switch {
	case errors.Is(err, installer.ErrNoSystem):
		d.skip("service", "this system has no service manager that is supported")
	case errors.Is(err, installer.ErrNotInstalled) && d.status != nil:
		d.skip("service", "the service is not installed; an agent runs in the foreground")
	case errors.Is(err, installer.ErrNotInstalled):
		d.fail("service", state.NotRunning, "the service is not installed", "install it: tidemark service install, tidemark service start")
	case err != nil && d.status != nil:
		d.skip("service", "it cannot be told how the service is (%v); an agent runs", err)
	case err != nil:
		d.fail("service", state.NotAnswering, err.Error(), "")
	case !running && d.status != nil:
		d.skip("service", "the service is installed and does not run; an agent runs in the foreground")
	case !running:
		d.fail("service", state.NotRunning, "the service is installed and does not run", "")
	default:
		d.pass("service", "the service runs (%s)", s.Manager())
	}
}

// agent says whether one answers, and as what it finds itself.
func (d *doctor) agent() {
	switch {
	case errors.Is(d.asked, ErrNotRunning):
		d.fail("agent", state.NotRunning, "no agent runs with this state folder", "")
	case d.asked != nil:
		d.fail("agent", state.NotAnswering, d.asked.Error(), "")
	case d.status.Overall == Healthy:
		d.pass("agent", "the agent runs as %s and is healthy", cmp.Or(agentUser(d.status.PID), "process "+fmt.Sprint(d.status.PID)))
	default:
		r := d.status.Reasons[0]
		d.fail("agent", r.ID, fmt.Sprintf("the agent runs and is %s: %s", d.status.Overall, r.What), r.Do)
	}
}

func (d *doctor) enrolment() {
	e, err := openEnrolment(d.Config)
	if err == nil {
		_, err = readEnrolment(d.Config)
		if errors.Is(err, errVaultAway) {
			err = nil
		}
	}
	switch {
	case errors.Is(err, ErrNotEnrolled):
		r := notEnrolled(err, time.Time{})
		d.fail("enrolment", r.ID, err.Error(), "")
	case err != nil:
		d.fail("enrolment", state.NotEnrolled, err.Error(), "")
	default:
		d.pass("enrolment", "this device is enrolled with %s", e.archive.Name())
	}
}

// accounts checks that they are found, may be read, and have keys.
func (d *doctor) accounts(ctx context.Context) {
	infos, problems, err := Accounts(ctx, d.Config)
	if err != nil {
		d.fail("keys", state.KeySource, err.Error(), "")
		return
	}
	if ring, err := KeyRing(d.Config); err == nil { // else Accounts has failed
		for _, p := range ring.Problems() {
			d.fail("keys", state.KeySource, p.Error(), "")
		}
	}
	for _, p := range problems {
		d.fail("folders", state.NotSearchable, fmt.Sprintf("%s cannot be searched: %v", p.Path, p.Err), folderRemedy)
	}
	if len(problems) == 0 {
		d.pass("folders", "every place that may hold WeChat accounts can be searched")
	}
	if len(infos) == 0 {
		d.fail("accounts", state.NoAccount, "no WeChat account is found on this device", "")
		return
	}
	scope := 0
	for _, i := range infos {
		if i.InScope {
			scope++
		}
	}
	if scope == 0 {
		d.fail("accounts", state.AllExcluded, fmt.Sprintf("%d accounts are found, and none is in scope", len(infos)), "")
	} else {
		d.pass("accounts", "%d accounts are found, %d in scope", len(infos), scope)
	}
	for _, i := range infos {
		if i.InScope {
			d.account(i)
		}
	}
}

func (d *doctor) account(i AccountInfo) {
	var shut []string
	unreadable := false
	for _, db := range i.Databases {
		if !db.Opens {
			shut = append(shut, db.File)
			unreadable = unreadable || strings.Contains(db.Cause, "permission denied") || strings.Contains(db.Cause, "Access is denied")
		}
	}
	if len(shut) > 3 {
		shut = append(shut[:3], fmt.Sprintf("%d more", len(shut)-3))
	}
	id := "keys"
	about := func(what string) string {
		return fmt.Sprintf("account %s (%s %s): %s", i.Account, i.App, i.Generation, what)
	}
	switch {
	case unreadable:
		d.fail(id, state.Account(string(collector.StateNotReadable)), about("its databases cannot be read: "+strings.Join(shut, ", ")), folderRemedy, "path", i.Path)
	case i.Key == KeyOpens:
		d.pass(id, "%s", about("its keys open all its databases"))
	case i.Key == KeyMissing:
		d.fail(id, state.Account(string(collector.StateKeyMissing)), about("no source has a key"), "", "account", i.Account)
	case i.Key == KeyRejected, i.Key == KeyPartly:
		d.fail(id, state.Account(string(collector.StateKeyRejected)), about("its keys do not open "+strings.Join(shut, ", ")), "", "account", i.Account)
	default:
		d.fail(id, state.Account(string(collector.StateNoSource)), about(cmp.Or(i.Cause, "its keys could not be tried")), "")
	}
}

func (d *doctor) notice() {
	n := d.Config.Notice
	switch {
	case n.Mode == disclosure.NoticeOff:
		d.skip("notice", "capture.notice is off: the organisation tells its people itself")
	case n.Mode == disclosure.NoticeRequired && n.Organisation == "" && n.Text == "":
		d.fail("notice", "", "capture waits for a notice to be acknowledged that does not say who records", "set notice.organisation, or notice.text")
	default:
		d.pass("notice", "users are told (capture.notice: %s)", n.Mode)
	}
}

// spool checks that it opens and that its structure is sound.
func (d *doctor) spool() {
	i, err := spool.Inspect(filepath.Join(d.Config.StateDir, spoolFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.skip("spool", "there is no spool yet; it is made when the agent first runs")
	case errors.Is(err, spool.ErrLocked) && d.status != nil && d.status.Spool != nil:
		if s := d.status.Spool; s.Condition.State.Stopped() || s.Condition.State == spool.StateDamaged {
			d.fail("spool", state.Spool(string(s.Condition.State)), "the agent has it open: "+string(s.Condition.State), "", "state_dir", d.Config.StateDir)
		} else {
			d.pass("spool", "the agent has it open, %s of %s are used", size(s.Bytes), size(s.MaxBytes))
		}
	case errors.Is(err, spool.ErrLocked):
		d.fail("spool", state.CannotOpen, "another process has it open", "see which: only one agent may use a state folder")
	case err != nil:
		d.fail("spool", state.CannotOpen, err.Error(), "")
	case !i.Sound():
		d.fail("spool", state.Spool(string(spool.StateDamaged)), i.Damage, "start the agent, which heals it and tells the archive what was lost; or tidemark spool salvage")
	default:
		d.pass("spool", "it opens and its structure is sound, %s", size(i.Bytes))
	}
}

// WriteText writes the examination for a person.
func (x *Examination) WriteText(w io.Writer) error {
	words := map[string]string{Passed: "ok", Failed: "FAIL", NotApplicable: "-"}
	failed := 0
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range x.Checks {
		fmt.Fprintf(t, "%s\t%s\t%s\n", words[c.Result], c.ID, c.What)
		if c.Result == Failed {
			failed++
			fmt.Fprintf(t, "\t\tto do: %s\n", c.Do)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	sum := "\neverything that capture needs is there\n"
	if failed > 0 {
		sum = fmt.Sprintf("\n%d of %d checks fail\n", failed, len(x.Checks))
	}
	_, err := io.WriteString(w, sum)
	return err
}
