// Package demo runs the whole of Tidemark on one machine for a person to watch: an
// archive, an agent and a chatting client, each the real program as a process of its
// own, in one fresh folder below the system's folder for temporary files.
//
// What it shows is measured, not told: what was written comes from the client's
// oracle, what was captured from "tidemark status", what was archived from
// "tidemark-archive records", and what is left of a recalled message from the client's
// database, read with SQLCipher. At the end it stops the client first and the archive
// last, has the archive verify itself, and holds all records against the oracle.
//
// # What it leaves alone
//
// The programs get HOME, the folder for temporary files and every TIDEMARK_ variable
// from here, and only the demo's account is in scope, so that accounts and settings of
// this machine play no part. Managed policy cannot be put aside by anyone but an
// administrator: where there is some, the demo refuses to run.
//
// # What it leaves behind
//
// Nothing, however it ends, short of SIGKILL: then Linux ends its processes, and the
// folder stays.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"tidemark/simulator/oracle"
)

// ErrFaults reports that the archive is not what the client wrote, or does not verify.
// The summary has been printed and names the faults.
var ErrFaults = errors.New("the archive is not what the client wrote")

// ErrStopped reports a Stop before anything could be captured and compared.
var ErrStopped = errors.New("stopped during start-up, nothing was compared")

// Options say what to run. Bin, Simulator and Out are required.
type Options struct {
	Bin       string          // folder of tidemark and tidemark-archive
	Simulator string          // the simulator's program
	Out       *os.File        // a terminal gets one live screen, anything else lines
	For       time.Duration   // ends so long after all programs run; 0 means at Stop
	Stop      <-chan struct{} // closed to end in good order
	Keep      bool            // leave the folder

	Rate        float64       // messages per second
	Count       int           // ends after so many messages; 0 means no such limit
	RecallAfter time.Duration // how long after the message it is recalled
	Grace       time.Duration // excuse a recall so soon that only its notice was captured
}

// How often things are looked at. The records take a process each time, so a look
// that took long is not repeated for ten times as long.
const (
	paintEvery = 250 * time.Millisecond
	lookEvery  = 500 * time.Millisecond
	recallFor  = 6 * time.Second // how long one recalled message is shown at least
)

// Run runs the demo to its end. The end of ctx is not good order: it kills everything
// and compares nothing. When Run returns, no process of it is left, and no folder
// unless Keep. It returns nil only if every committed message is in the archive, once
// and as it was written, and the archive verifies.
func Run(ctx context.Context, o Options) (err error) {
	s, err := newSite(o)
	if err != nil {
		return err
	}
	d := &demo{Options: o, site: s, out: newDisplay(o.Out), tally: newTally()}
	defer func() { // the order matters: no process may write into a folder that is being removed
		d.out.close()
		s.killAll()
		if !o.Keep {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.live(ctx); err != nil {
		return err
	}
	return d.finish(ctx)
}

type demo struct {
	Options
	site  *site
	out   display
	tally *tally

	begun    time.Time     // all programs run
	lasted   time.Duration // until the client was stopped
	reading  sync.WaitGroup
	stopRead context.CancelFunc // ends the reading of the oracle once all is read
	readErr  chan error
}

// start starts everything. A Stop or the end of ctx cuts it short.
func (d *demo) start(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-d.Stop:
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	}()
	err := d.site.start(ctx, d.Options, d.out.note, func(s agentStatus) bool {
		d.tally.status(s)
		return d.tally.isReady()
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// live shows what happens until it is time to end. An error is a program that died
// or an oracle that cannot be read.
func (d *demo) live(ctx context.Context) error {
	if err := d.readOracle(ctx); err != nil {
		return err
	}
	d.lookOnce(ctx)
	looking, stopLooking := context.WithCancel(ctx)
	var looks sync.WaitGroup
	defer looks.Wait()
	defer stopLooking()
	looks.Go(func() { d.look(looking) })

	d.begun = time.Now()
	defer func() { d.lasted = time.Since(d.begun) }()
	var end <-chan time.Time
	if d.For > 0 {
		t := time.NewTimer(d.For)
		defer t.Stop()
		end = t.C
	}
	paint := time.NewTicker(paintEvery)
	defer paint.Stop()
	s := d.site
	for {
		if err := d.out.show(d.view()); err != nil {
			return nil // nobody is looking any more: end in good order
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.Stop:
			return nil
		case <-end:
			return nil
		case err := <-d.readErr:
			return err
		case <-s.client.done:
			if d.Count > 0 && s.client.err == nil {
				return nil
			}
			return s.client.died()
		case <-s.agent.done:
			return s.agent.died()
		case <-s.archive.done:
			return s.archive.died()
		case <-paint.C:
		}
	}
}

// readOracle follows the oracle until stopRead.
func (d *demo) readOracle(ctx context.Context) error {
	f, err := os.Open(d.site.oracle())
	if err != nil {
		return fmt.Errorf("read oracle: %w", err)
	}
	reading, stop := context.WithCancel(ctx)
	d.stopRead, d.readErr = stop, make(chan error, 1)
	d.reading.Go(func() {
		defer f.Close()
		_, err := oracle.Read(&follower{ctx: reading, f: f}, func(c oracle.Committed) error {
			d.tally.committed(c)
			return nil
		})
		if err != nil {
			d.readErr <- err
		}
	})
	return nil
}

// look asks agent and archive how they are, until ctx ends.
func (d *demo) look(ctx context.Context) {
	var shown time.Time
	for ctx.Err() == nil {
		took := d.lookOnce(ctx)
		if r, ok := d.tally.nextRecall(); ok && time.Since(shown) > recallFor {
			now, err := d.site.rowText(ctx, r.key)
			if err == nil {
				r.now, shown = now, time.Now()
				d.tally.showRecall(r)
			}
			d.tally.trouble(err)
		}
		pause(ctx, max(lookEvery, 10*took))
	}
}

// lookOnce looks at agent and archive, and says how long that took.
func (d *demo) lookOnce(ctx context.Context) time.Duration {
	began := time.Now()
	d.tally.status(d.site.status(ctx))
	if since, waits := d.tally.waitsSince(); waits {
		d.tally.trouble(d.site.records(ctx, d.tally.read, "--since", since.UTC().Format(time.RFC3339)))
	}
	return time.Since(began)
}

// pause waits for t or the end of ctx.
func pause(ctx context.Context, t time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(t):
	}
}
