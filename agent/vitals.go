package agent

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tidemark/agent/events"
	"tidemark/internal/state"
	"tidemark/seal/protocol"
	"tidemark/uploader"
)

// The rhythm of watching.
const (
	lookEvery      = 5 * time.Second  // at the agent's own health
	settled        = 2                // looks that a state lasts, or is gone, before it is told
	settleTime     = 30 * time.Second // that the first heartbeat waits for the first look
	beatSoonest    = 15 * time.Second // between two heartbeats
	beatRetry      = 30 * time.Second // after a heartbeat that did not get through, at first
	beatTimeout    = 30 * time.Second
	beatLast       = 3 * time.Second // for the one that says that the agent stops
	noHeartbeats   = 24 * time.Hour  // until an archive that knows none is asked again
	clockTolerance = 2 * time.Minute // between this device's clock and the archive's
	unheard        = 3               // intervals without a heartbeat that got through
)

// vitals watches the agent's health as long as it runs, enrolled or not: it tells the
// system's event log which states were entered and left, and the archive by heartbeats.
// Heartbeats need no spool, so that an agent that can't open it still says so.
type vitals struct {
	a        *Agent
	look     time.Duration
	interval time.Duration // between heartbeats; 0: as the settings say
	soonest  time.Duration
	machine  func(users []string) protocol.Machine

	mu          sync.Mutex
	events      *events.Log // nil until Run
	reporter    *uploader.Reporter
	since       time.Time // when there was a reporter first
	heard       time.Time // when the archive took the last heartbeat
	unsupported bool      // the archive knows none
	gaps        protocol.HeartbeatGaps
}

func newVitals(a *Agent) *vitals {
	return &vitals{a: a, look: lookEvery, soonest: beatSoonest, machine: thisMachine}
}

// every is the time between heartbeats, at most.
func (v *vitals) every() time.Duration { return cmp.Or(v.interval, v.a.config().Health.Interval) }

// occurred tells the system's event log what happens once.
func (v *vitals) occurred(id state.ID, pairs ...string) {
	v.mu.Lock()
	log := v.events
	v.mu.Unlock()
	log.Occurred(id, pairs...)
}

// gapped notes that nothing was captured until now.
func (v *vitals) gapped(end time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gaps.Count++
	v.gaps.Last = end.UTC().Truncate(time.Millisecond)
}

// enrolled makes heartbeats go to the archive of the enrolment.
func (v *vitals) enrolled(e *enrolment) error {
	o := v.a.opts
	remote, err := newRemote(v.a.config(), e.url, o.Version, o.Client)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reporter = uploader.NewReporter(remote, e.identity, e.archive.Name(), o.Now)
	if v.since.IsZero() {
		v.since = o.Now()
	}
	return nil
}

// start watches until the function it returns is called; clean says that the agent
// stops because it was asked to.
func (v *vitals) start() (stop func(clean bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	log := v.a.openEvents()
	v.mu.Lock()
	v.events = log
	v.mu.Unlock()
	w := &watch{vitals: v, log: log, open: map[stateKey]*openState{}}
	wg.Go(func() { w.run(ctx) })
	return func(clean bool) {
		cancel()
		wg.Wait()
		if clean {
			ctx, cancel := context.WithTimeout(context.Background(), beatLast)
			defer cancel()
			w.send(ctx, v.a.Status(), protocol.BeatStopped)
		}
		if err := log.Close(); err != nil {
			v.a.log.Debug("close event log", "err", err)
		}
	}
}

// stateKey tells states of different accounts apart.
type stateKey struct {
	id      state.ID
	account string
}

type openState struct {
	seen, missed int
	told         bool
}

// watch is the work of one run. It belongs to one goroutine.
type watch struct {
	*vitals
	log     *events.Log
	open    map[stateKey]*openState
	begun   bool          // a first heartbeat got through or was given up for now
	changed bool          // a state was entered or left since the last heartbeat
	sent    time.Time     // the last attempt
	due     time.Time     // the next heartbeat, whatever happens
	backoff time.Duration // after failures
}

func (w *watch) run(ctx context.Context) {
	t := time.NewTicker(w.look)
	defer t.Stop()
	for {
		s := w.a.Status()
		if w.tell(s) {
			w.changed = true
		}
		if cause := w.cause(s, w.a.opts.Now()); cause != "" {
			w.send(ctx, s, cause)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// tell tells the event log of states that have lasted, or been gone, for some looks: one
// that comes and goes is not told each time. It says whether there were any.
func (w *watch) tell(s *Status) bool {
	told := false
	now := map[stateKey]bool{}
	for _, r := range s.Reasons {
		key := stateKey{r.ID, r.Account}
		if now[key] {
			continue // several places in one state
		}
		now[key] = true
		o := w.open[key]
		if o == nil {
			o = new(openState)
			w.open[key] = o
		}
		o.seen, o.missed = o.seen+1, 0
		if o.seen >= settled && !o.told {
			o.told, told = true, true
			e, _ := state.Get(r.ID)
			w.log.Entered(e, r.Health, r.Account, r.What)
		}
	}
	for key, o := range w.open {
		if now[key] {
			continue
		}
		o.missed++
		if o.told && o.missed < settled {
			continue
		}
		delete(w.open, key)
		if o.told {
			told = true
			e, _ := state.Get(key.id)
			w.log.Left(e, key.account)
		}
	}
	return told
}

// cause says why a heartbeat is to be sent now, "" for not.
func (w *watch) cause(s *Status, now time.Time) string {
	w.mu.Lock()
	ready, unsupported := w.reporter != nil, w.unsupported
	w.mu.Unlock()
	switch {
	case !ready:
		return ""
	case !w.due.IsZero() && w.sent.After(now): // the clock was set back
		w.sent, w.due = now, now
	}
	switch {
	case !w.begun && s.settling() && s.At.Sub(s.Started) < settleTime:
		return ""
	case !w.begun && !now.Before(w.due):
		return protocol.BeatStarted
	case !w.begun:
		return ""
	case !now.Before(w.due):
		return protocol.BeatInterval
	case w.changed && !unsupported && w.backoff == 0 && now.Sub(w.sent) >= w.soonest:
		return protocol.BeatChanged
	}
	return ""
}

// settling says that the agent has not yet found out how things are.
func (s *Status) settling() bool {
	return slices.ContainsFunc(s.Reasons, func(r Reason) bool { return r.ID == state.Starting || r.ID == state.FirstPass })
}

// send sends one heartbeat and settles when the next is due.
func (w *watch) send(ctx context.Context, s *Status, cause string) {
	w.mu.Lock()
	reporter, gaps := w.reporter, w.gaps
	w.mu.Unlock()
	if reporter == nil {
		return
	}
	h := heartbeatOf(s, w.a.config(), cause, w.every())
	h.Machine, h.Gaps = w.machine(s.users()), gaps
	if offset, known := reporter.Offset(); known {
		ms := offset.Milliseconds()
		h.Offset = &ms
	}
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	err := reporter.Send(ctx, h)
	now := w.a.opts.Now()
	w.sent = now
	var f *uploader.Failure
	switch {
	case err == nil:
		// Somewhat before the interval ends, each device at another moment.
		w.begun, w.changed, w.backoff, w.due = true, false, 0, now.Add(w.every()-rand.N(w.every()/8+1))
	case errors.Is(err, uploader.ErrNoHeartbeats):
		w.begun, w.changed, w.backoff, w.due = true, false, 0, now.Add(noHeartbeats-rand.N(time.Hour))
	default:
		w.backoff = min(max(2*w.backoff, beatRetry), w.every())
		wait := w.backoff/2 + rand.N(w.backoff/2+1)
		if errors.As(err, &f) {
			wait = max(wait, f.RetryAfter)
		}
		w.due = now.Add(wait)
		w.a.log.Debug("heartbeat did not get through", "err", err, "backoff", wait)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsupported = errors.Is(err, uploader.ErrNoHeartbeats)
	if err == nil {
		w.heard = now
	}
}

// ReportStatus is how the device's reports to the archive stand.
type ReportStatus struct {
	Last   time.Time `json:"last,omitzero"`             // when the archive took the last heartbeat
	Offset *int64    `json:"clock_offset_ms,omitempty"` // the archive's clock is ahead of this device's
}

// judgeVitals says how reporting stands, and what it has found out about the clock.
func (s *Status) judgeVitals(v *vitals) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reporter == nil {
		return
	}
	s.Reports = &ReportStatus{Last: v.heard}
	if offset, known := v.reporter.Offset(); known {
		ms := offset.Milliseconds()
		s.Reports.Offset = &ms
		if offset.Abs() > clockTolerance {
			s.reason(Reason{ID: state.ClockOff, What: "this device's clock differs from the archive's by " + offset.Round(time.Second).String()})
		}
	}
	last := v.heard
	if last.Before(v.since) {
		last = v.since
	}
	if !v.unsupported && s.Delivery != nil && s.Delivery.State.OK() && s.At.Sub(last) > unheard*v.every() {
		s.reason(Reason{ID: state.HealthUnheard, What: "the archive has taken no health report", Since: last.UTC()})
	}
}
