package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"tidemark/agent/config"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/spool"
)

// How often the settings are read, and how long they must stay the same before a change
// is taken: an administrator's tool may write one value after the other. Reading costs
// less than a millisecond on every system, so nothing has to report a change.
const (
	reloadEvery = 10 * time.Second
	settleFor   = time.Second
)

// ErrRestart reports that the settings have changed in a way that only an agent made
// anew, with Agent.Config, can obey.
var ErrRestart = errors.New("settings changed: the agent begins anew")

// errReconfigured ends a session: capture and delivery begin anew with other settings.
var errReconfigured = errors.New("settings changed: capture begins anew")

// errHeld reports that nothing is captured because it cannot be told what should be.
var errHeld = errors.New("capture is held: managed settings that decide what is captured cannot be taken")

// capture runs the source, unless capture is held. Nothing is read then, so no
// conversation is passed over: when the settings are put right, what WeChat has kept
// meanwhile is captured under them.
func (p *pipeline) capture(ctx context.Context) error {
	if held := p.config.Held(); len(held) > 0 {
		p.log.Error("capture is held", "err", problemsText(held))
		<-ctx.Done()
		return ctx.Err()
	}
	return p.source.Run(ctx)
}

// captureOnce makes one pass, unless capture is held.
func (p *pipeline) captureOnce(ctx context.Context) error {
	if held := p.config.Held(); len(held) > 0 {
		return errors.Join(errHeld, errors.New(problemsText(held)))
	}
	return p.source.Once(ctx)
}

func problemsText(problems []*config.Error) string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return strings.Join(out, "; ")
}

// Config is the settings in force.
func (a *Agent) Config() *config.Config { return a.config() }

func (a *Agent) config() *config.Config { return a.settings.Load() }

// watchSettings reads the settings again and again and takes a change. Settings that
// cannot be read leave those in force that are.
func (a *Agent) watchSettings(ctx context.Context, restart context.CancelCauseFunc) {
	if a.opts.Reload == nil {
		return
	}
	t := time.NewTicker(a.opts.ReloadEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		next, err := a.reload(ctx)
		a.noteUnread(err)
		if err != nil || sameSettings(a.config(), next) {
			continue
		}
		changed := config.Changed(a.config(), next)
		a.log.Info("settings changed", "keys", names(changed), "problems", len(next.Problems))
		a.settings.Store(next)
		if a.opts.Changed != nil {
			a.opts.Changed(next)
		}
		if slices.ContainsFunc(changed, func(k config.Key) bool { return k.Effect == config.Restart }) {
			restart(ErrRestart)
			return
		}
		select {
		case a.reconfigured <- struct{}{}:
		default: // it is said already
		}
	}
}

// reload reads the settings until they stay the same for a while.
func (a *Agent) reload(ctx context.Context) (*config.Config, error) {
	next, err := a.opts.Reload()
	for err == nil && !sameSettings(a.config(), next) {
		select {
		case <-ctx.Done():
			return a.config(), nil
		case <-time.After(a.settle):
		}
		last := next
		if next, err = a.opts.Reload(); err == nil && sameSettings(last, next) {
			break
		}
	}
	return next, err
}

func sameSettings(a, b *config.Config) bool {
	return len(config.Changed(a, b)) == 0 && reflect.DeepEqual(a.Problems, b.Problems)
}

func (a *Agent) noteUnread(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && (a.unread == nil || a.unread.Error() != err.Error()) {
		a.log.Error("the settings have changed and cannot be taken; those from before stay in force", "err", err)
	}
	a.unread = err
}

// obey ends the session when the settings in force are not those that it was made with,
// and records the changes that need no end.
func (a *Agent) obey(ctx context.Context, p *pipeline) error {
	for {
		now := a.config()
		changed := config.Changed(p.config, now)
		held := len(p.config.Held()) > 0
		if held != (len(now.Held()) > 0) || slices.ContainsFunc(changed, func(k config.Key) bool { return k.Effect == config.Capture }) {
			return errReconfigured
		}
		if err := p.tellSettings(ctx, now); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.reconfigured:
		}
	}
}

func names(keys []config.Key) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.Name)
	}
	return strings.Join(out, ", ")
}

// settingsCursor holds the settings that were recorded last.
const settingsCursor = "agent/settings"

type settingsKept struct {
	Values  map[string]string `json:"values"`            // digests of what may be shown of them
	Problem string            `json:"problem,omitempty"` // what could not be taken
	Event   string            `json:"event,omitempty"`   // that told of it
	Since   time.Time         `json:"since,omitzero"`
}

// tellSettings records how the settings differ from those that were recorded last, in
// this run or an earlier one, and managed ones that cannot be taken, in one transaction
// with the memory of it. Of a secret it is recorded only that it is given.
func (p *pipeline) tellSettings(ctx context.Context, c *config.Config) error {
	settings := c.Settings()
	if len(settings) == 0 { // not loaded from anywhere
		return nil
	}
	value, err := p.spool.Cursor(settingsCursor)
	if err != nil {
		return err
	}
	var was settingsKept
	known := json.Unmarshal(value, &was) == nil && was.Values != nil
	now := settingsKept{Values: map[string]string{}, Problem: problemsText(c.Problems), Event: was.Event, Since: was.Since}
	var keys []string
	detail := map[string]string{}
	for _, s := range settings {
		text := valueText(s.Value)
		sum := sha256.Sum256([]byte(text))
		now.Values[s.Key] = hex.EncodeToString(sum[:8])
		before, told := was.Values[s.Key]
		if known && before != now.Values[s.Key] && (told || s.Origin != config.FromDefault) {
			keys = append(keys, s.Key)
			detail[s.Key] = fmt.Sprintf("%s (%s)", text, strings.TrimSpace(s.Origin+" "+s.Where))
		}
	}
	var records []*record.Record
	if len(keys) > 0 {
		e := p.event(record.EventSettingsChanged, record.SeverityInfo, p.now())
		e.Detail = detail
		detail["keys"] = strings.Join(keys, " ")
		records = append(records, e)
	}
	if now.Problem != was.Problem {
		if was.Event != "" {
			over := p.event(record.EventRecovered, record.SeverityInfo, p.now())
			over.Of, over.Since, over.Detail = was.Event, was.Since, map[string]string{"state": record.EventSettingsInvalid}
			records = append(records, over)
		}
		now.Event, now.Since = "", time.Time{}
		if now.Problem != "" {
			e := p.event(record.EventSettingsInvalid, record.SeverityDegraded, p.now())
			e.Since, e.Detail = e.CapturedAt, map[string]string{"problems": now.Problem, "capture": "goes on"}
			if len(c.Held()) > 0 {
				e.Severity, e.Detail["capture"] = record.SeverityBlind, "held"
			}
			now.Event, now.Since = e.ID, e.Since
			records = append(records, e)
		}
	}
	if known && len(records) == 0 {
		return nil
	}
	if value, err = json.Marshal(now); err != nil {
		return fmt.Errorf("keep settings: %w", err)
	}
	return p.append(ctx, records, spool.Cursor{Key: settingsCursor, Value: value})
}

// valueText is a setting's value in a record, shortened: a notice has its own.
func valueText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if len(text) > 500 {
		return strings.ToValidUTF8(string(text[:500]), "") + "…"
	}
	return string(text)
}

// judgeSettings says what managed settings cannot be taken.
func (s *Status) judgeSettings(c *config.Config) {
	for _, p := range c.Problems {
		r := Reason{ID: state.SettingBad, What: "a managed setting cannot be taken: " + p.Error()}
		if p.Holds {
			r = Reason{ID: state.Held, What: "capture is held, because a managed setting that decides what is captured cannot be taken: " + p.Error()}
		}
		s.reason(r)
	}
}

// judgeUnread says that the settings have changed to some that cannot be taken.
func (s *Status) judgeUnread(a *Agent) {
	a.mu.Lock()
	err := a.unread
	a.mu.Unlock()
	if err != nil {
		s.reason(Reason{ID: state.SettingsUnread, What: "the settings have changed and cannot be taken, those from before are in force: " + err.Error()})
	}
}
