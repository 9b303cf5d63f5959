// Package agent is one running Tidemark: it reads the settings, opens what is in
// the state folder, and wires collector, spool and uploader together.
//
// # Order
//
// Starting: the status endpoint, so that a person can ask from the first moment;
// the enrolment, for which it waits if there is none yet; the spool, which is also
// the lock that two agents on one state folder meet at; collector and uploader.
//
// Stopping: the collector first, then the "stopped" event, then a last delivery
// with a deadline, then the spool. Every commit is safe by itself, so ending the
// process at any moment costs courtesy and no record.
//
// # Trust
//
// The state folder is the user's who runs the agent, and nobody else's. What is
// secret in it: identity.json (whoever has it can deliver in this device's name), which
// the system's place for secrets wraps where there is one,
// and keys.json (whoever has it and WeChat's files can read them). The spool is
// sealed to the archive. The status endpoint is a socket that only that user can
// open; what it tells holds no content.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/agent/config"
	"tidemark/agent/events"
	"tidemark/agent/limits"
	"tidemark/collector"
	"tidemark/collector/keys"
	"tidemark/internal/state"
	"tidemark/spool"
	"tidemark/uploader"
)

// Options are an agent's choices.
type Options struct {
	Config  *config.Config
	Version string           // of this program
	Client  *http.Client     // nil means uploader.NewClient with the configured proxy
	Logger  *slog.Logger     // nil discards
	Grace   time.Duration    // for the last delivery when stopping; 0 means 5 s
	Now     func() time.Time // nil means time.Now
	Ready   func() error     // called once Run has begun its work, enrolled or not; nil does nothing
	// Supervised says that a service manager starts the agent again when it crashes, so
	// that several crashes in a row need a pause.
	Supervised bool

	// Reload reads the settings again; nil means that they never change. Changed, if not
	// nil, is called with settings that are in force from then on, by a goroutine of the
	// agent's.
	Reload      func() (*config.Config, error)
	ReloadEvery time.Duration // 0 means 10 s
	Changed     func(*config.Config)
}

// source is what the agent needs of the collector.
type source interface {
	Run(ctx context.Context) error
	Once(ctx context.Context) error
	Status() collector.Status
}

// Agent runs once. Status may be called at any time, concurrently.
type Agent struct {
	opts        Options
	log         *slog.Logger
	started     time.Time
	newSource   func(collector.Options) (source, error)
	enrolPoll   time.Duration // how soon an enrolment is noticed
	enrolFirst  time.Duration // how soon an enrolment that failed is tried again at first
	openPoll    time.Duration // how soon a spool that cannot be used is opened anew
	followAgain time.Duration // how soon an archive that answers strangely is asked about its keys again
	settle      time.Duration // how long changed settings must stay the same before they are taken

	settings     atomic.Pointer[config.Config] // in force
	reconfigured chan struct{}                 // they are others now

	noEndpoint error // why nobody can ask, for those who are told all the same
	vitals     *vitals
	openEvents func() *events.Log // the system's event log

	mu        sync.Mutex
	noMetrics error     // why metrics that are configured cannot be given
	metricsAt string    // where they are answered
	pipe      *pipeline // nil until enrolled
	wait      error     // why there is no pipeline yet

	unread error // why the settings cannot be read again
}

// New makes an agent and touches nothing; Run or Once starts it.
func New(o Options) *Agent {
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.ReloadEvery = cmp.Or(o.ReloadEvery, reloadEvery)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Agent{
		opts: o, log: o.Logger, started: o.Now(), enrolPoll: 2 * time.Second, enrolFirst: enrolFirst, openPoll: 10 * time.Second, followAgain: followAgain,
		newSource: func(co collector.Options) (source, error) { return collector.New(co) },
		settle:    settleFor, reconfigured: make(chan struct{}, 1),
	}
	a.settings.Store(o.Config)
	a.vitals = newVitals(a)
	a.openEvents = func() *events.Log { return events.Open(a.config().Health.Events, a.log) }
	return a
}

// pipeline is the wired parts of an enrolled agent.
type pipeline struct {
	dir, device, version string
	log                  *slog.Logger
	now                  func() time.Time
	config               *config.Config
	enrolment            *enrolment
	spool                *spool.Spool
	source               source
	remote               *uploader.Remote
	uploader             *uploader.Uploader
	ring                 *keys.Ring
	vitals               *vitals
	disclosed            *disclosed

	forked      chan struct{} // to watchSpool
	askAgain    chan struct{} // to watchArchive
	followAgain time.Duration

	mu       sync.Mutex
	distrust error // why the archive's key documents are not followed
	orphaned error // why what an earlier identity sealed is not delivered
}

// open opens the spool and wires the parts. The error wraps spool.ErrLocked when
// another agent has the state folder.
func (a *Agent) open(e *enrolment) (*pipeline, error) {
	c := a.config()
	p := &pipeline{
		dir: c.StateDir, device: e.identity.ID().String(), version: a.opts.Version, log: a.log, now: a.opts.Now, config: c, enrolment: e, vitals: a.vitals,
		forked: make(chan struct{}, 1), askAgain: make(chan struct{}, 1), followAgain: a.followAgain,
	}
	var err error
	if err := guardIdentity(c.StateDir, e.identity, c.Secrets); err != nil {
		a.log.Warn("the device's key stays where it is", "err", err)
	}
	if p.ring, err = KeyRing(c); err != nil {
		return nil, err
	}
	if p.remote, err = newRemote(c, e.url, a.opts.Version, a.opts.Client); err != nil {
		return nil, err
	}
	p.spool, err = spool.Open(filepath.Join(c.StateDir, spoolFile), spool.Options{
		Identity: e.identity, Archive: e.archive, MaxBytes: c.SpoolMaxBytes, MinFree: c.SpoolMinFree, Lasting: lastingCursors, Logger: a.log.With("component", "spool"), Now: a.opts.Now,
	})
	if err != nil {
		return nil, err
	}
	p.disclosed = newDisclosed(c, e.archive.Name())
	budget := limits.Memory(c.MaxMemory)
	budget.Apply()
	var pace collector.Pace
	if cpu := limits.NewCPU(c.MaxCPU); cpu != nil {
		pace = cpu
	}
	p.source, err = a.newSource(collector.Options{
		Device: e.identity.ID(), Secret: e.identity.Secret("collector digests"), Spool: p.spool, Keys: p.ring,
		Find: p.disclosed.find, Held: p.disclosed.held,
		ImageKeys: imageKeys(p.ring), Media: c.Media,
		ScopeChanged: func() { a.vitals.occurred(state.ScopeChanged) },
		Scope:        c.Scope, History: c.History, Poll: c.Poll, Logger: a.log.With("component", "collector"), Now: a.opts.Now,
		Pace: pace, Workers: budget.Workers, Chunk: budget.Chunk,
	})
	if err == nil {
		p.uploader, err = uploader.New(uploader.Options{
			Queue: p.spool, Archive: e.archive, Identity: e.identity, Remote: p.remote, Suspect: p.suspect, Forked: p.noteFork, Quarantine: p.quarantine,
			Logger: a.log.With("component", "uploader"), Now: a.opts.Now,
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.spool.Close())
	}
	return p, nil
}

// Run captures and delivers until the context ends, and then stops in good order.
// context.Cause says why it stops; the cause's text goes into the "stopped" event.
// It returns nil after a stop that was asked for, and ErrRestart when settings have
// changed that only an agent made anew can obey.
func (a *Agent) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { a.watchSettings(ctx, stop) })
	err := a.run(ctx)
	stop(nil)
	watching.Wait()
	if err == nil && errors.Is(context.Cause(ctx), ErrRestart) {
		return ErrRestart
	}
	return err
}

func (a *Agent) run(ctx context.Context) (err error) {
	if err := MakeStateDir(a.config()); err != nil {
		return err
	}
	closeEndpoint, err := a.serve()
	if errors.Is(err, ErrRunning) {
		return err
	}
	if err != nil { // capture matters more than being asked about it
		a.log.Warn("status endpoint is not available", "err", err)
		a.noEndpoint = err
	} else {
		defer closeEndpoint()
	}
	if a.opts.Ready != nil {
		if err := a.opts.Ready(); err != nil {
			a.log.Warn("the service manager does not know that the agent has started", "err", err)
		}
	}
	mctx, endMetrics := context.WithCancel(context.WithoutCancel(ctx))
	var exporting sync.WaitGroup
	exporting.Go(func() { a.exportMetrics(mctx) })
	defer exporting.Wait()
	defer endMetrics()
	stop := a.vitals.start()
	defer func() { stop(err == nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrRestart)) }()
	if err := a.awaitStateDir(ctx); err != nil {
		return ignoreCanceled(ctx, err)
	}
	if a.opts.Supervised {
		defer func() {
			if err == nil {
				a.endedOrderly()
			}
		}()
		if err := a.pauseAfterCrashes(ctx); err != nil {
			return ignoreCanceled(ctx, err)
		}
	}
	e, err := a.awaitEnrolment(ctx)
	if err != nil {
		return ignoreCanceled(ctx, err)
	}
	for wait := a.openPoll / 10; ; wait = a.openPoll { // the first healing need not wait
		err := a.session(ctx, e)
		if ctx.Err() == nil && (errors.Is(err, errSucceeded) || errors.Is(err, errReconfigured)) {
			if e, err = a.awaitEnrolment(ctx); err == nil {
				continue
			}
			return ignoreCanceled(ctx, err)
		}
		if ctx.Err() != nil || !errors.Is(err, spool.ErrDamaged) && !errors.Is(err, spool.ErrDisk) {
			return err
		}
		// Opening a damaged spool heals it; a disk may be put right at any time.
		a.log.Error("the spool cannot be used and is opened anew", "err", err)
		a.mu.Lock()
		a.pipe, a.wait = nil, err
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-a.reconfigured:
		case <-time.After(wait):
		}
	}
}

// session captures and delivers until the context ends or the spool fails.
func (a *Agent) session(ctx context.Context, e *enrolment) error {
	if err := a.vitals.enrolled(e); err != nil {
		return err
	}
	p, err := a.open(e)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.pipe, a.wait = p, nil
	a.mu.Unlock()
	a.vitals.occurred(state.Started, "version", a.opts.Version, "device", p.device)
	a.log.Info("agent started", "device", p.device, "archive", e.archive.Name())

	err = p.begin(ctx, "service")
	if err == nil {
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error { return p.capture(gctx) })
		g.Go(func() error { return p.uploader.Run(gctx) })
		g.Go(func() error { return p.heartbeat(gctx) })
		g.Go(func() error { return a.obey(gctx, p) })
		g.Go(func() error { return p.watchNetwork(gctx) })
		g.Go(func() error { return p.watchSpool(gctx) })
		g.Go(func() error { return p.watchArchive(gctx) })
		g.Go(func() error { return p.deliverOrphans(gctx) })
		g.Go(func() error { return p.disclose(gctx) })
		g.Go(func() error { return p.fetchKeys(gctx, a.config()) })
		g.Go(func() error { return newUnattended(a).keepEnrolled(gctx, p) })
		err = g.Wait()
	}
	err = ignoreCanceled(ctx, err)
	reason := "failed"
	switch {
	case err == nil:
		reason = stopReason(ctx)
	case errors.Is(err, errSucceeded):
		reason = errSucceeded.Error()
	case errors.Is(err, errReconfigured):
		reason = errReconfigured.Error()
	}
	return errors.Join(err, a.stop(ctx, p, reason))
}

// stop ends a pipeline whose source and uploader have returned. The spool no longer
// grows by what is captured and is safe on disk; delivering what is left is a
// courtesy to the archive, so it has a deadline of its own.
func (a *Agent) stop(ctx context.Context, p *pipeline, reason string) error {
	ctx = context.WithoutCancel(ctx)
	err := p.end(ctx, reason)
	if reason != errReconfigured.Error() { // the next session begins at once and goes on with them
		ctx, cancel := context.WithTimeout(ctx, a.opts.Grace)
		defer cancel()
		if undelivered := p.uploader.Drain(ctx); undelivered != nil {
			a.log.Info("batches stay in the spool until the next start", "err", undelivered)
		}
	}
	p.beat()
	a.vitals.occurred(state.Stopped, "reason", reason)
	a.log.Info("agent stopped", "reason", reason)
	return errors.Join(err, p.spool.Close())
}

// awaitEnrolment waits for the device to be enrolled, so that a service can be
// installed before it is, and enrols it when the settings have what it takes.
func (a *Agent) awaitEnrolment(ctx context.Context) (*enrolment, error) {
	t := time.NewTicker(a.enrolPoll)
	defer t.Stop()
	var asked time.Time // the archive, for another key of the configuration's
	enrol := newUnattended(a)
	for told, before := false, true; ; {
		e, err := readEnrolment(a.config())
		if errors.Is(err, errOtherArchive) && time.Since(asked) > followRetry {
			e, err = a.enrolment(ctx)
			asked = time.Now()
		}
		if !errors.Is(err, ErrNotEnrolled) {
			if !before && err == nil {
				a.vitals.occurred(state.Enrolled, "archive", e.archive.Name(), "device", e.identity.ID().String())
			}
			return e, err
		}
		before = false
		switch failed := enrol.try(ctx); {
		case failed == nil:
			continue
		case errors.Is(failed, errLater):
			err = a.waiting()
		case !errors.Is(failed, ErrNoToken):
			err = fmt.Errorf("%w: %w", err, failed)
		}
		a.mu.Lock()
		a.wait = err
		a.mu.Unlock()
		if !told {
			a.log.Warn("agent waits to be enrolled, nothing is captured", "err", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// waiting is why there is no pipeline yet.
func (a *Agent) waiting() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wait
}

// ErrIncomplete reports that a single pass could not capture or deliver everything.
var ErrIncomplete = errors.New("not everything is captured and acknowledged")

// Once makes one pass over everything, delivers, and stops. It returns what came of
// it, and ErrIncomplete unless every account in scope could be read and the archive
// has acknowledged all. The error wraps spool.ErrLocked while a service runs.
func (a *Agent) Once(ctx context.Context) (*Status, error) {
	e, err := a.enrolment(ctx)
	if err != nil {
		return nil, err
	}
	if e, err = a.followOnce(ctx, e); err != nil {
		return nil, err
	}
	p, err := a.open(e)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.pipe = p
	a.mu.Unlock()
	err = p.begin(ctx, "once")
	if err == nil {
		err = p.tellSpool(ctx, nil)
	}
	if err == nil {
		err = p.captureOnce(ctx)
		for errors.Is(err, spool.ErrFull) {
			// What had room is delivered, and makes room for more: a file may be larger than
			// the spool.
			waiting, serr := p.spool.Stats()
			if serr != nil || waiting.Bytes == 0 || p.uploader.Drain(ctx) != nil {
				break
			}
			err = p.captureOnce(ctx)
		}
	}
	if err == nil {
		err = p.recordNotice(ctx)
	}
	p.writeManifest(false)
	reason := "single pass done"
	if err != nil {
		reason = "failed"
	}
	// The end of the pass is recorded even when a signal has ended the context.
	err = errors.Join(err, p.end(context.WithoutCancel(ctx), reason), p.deliverOrphansOnce(ctx), p.uploader.Drain(ctx))
	p.beat()
	s := a.Status()
	s.Running = false
	if err == nil && s.Overall == Blind {
		err = ErrIncomplete
	} else if err != nil {
		err = fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	return s, errors.Join(err, p.spool.Close())
}

// stopReason is the text for the "stopped" event.
func stopReason(ctx context.Context) string {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause.Error()
	}
	return "asked to stop"
}

// ignoreCanceled drops the error by which parts report that they were asked to stop.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

var _ uploader.Queue = (*spool.Spool)(nil)
var _ collector.Keys = (*keys.Ring)(nil)
