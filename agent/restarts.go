package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// A service manager starts a crashed agent again after some seconds, for ever. One that
// crashes at once each time, on some file it cannot stand, would take the machine's time
// all day. So the agent counts, and pauses before it begins: managers with growing
// pauses are too new (systemd 254) or have none (launchd).

const (
	restartsFile  = "restarts.json"
	shortRun      = 10 * time.Minute // who ran longer is not crashing at once
	freeRestarts  = 2                // crashes without a pause
	firstPause    = 10 * time.Second
	longestPause  = 5 * time.Minute
	restartsShape = 1
)

// errPausing reports that the agent has not begun yet.
var errPausing = errors.New("the agent crashed")

// restarts is what is remembered from one start to the next.
type restarts struct {
	V       int       `json:"v"`
	Running bool      `json:"running"` // cleared by an orderly end
	Started time.Time `json:"started"`
	Crashes int       `json:"crashes"` // in a row, before this start
}

// next is what a start at that time remembers, and the pause that it makes.
func (r restarts) next(now time.Time) (restarts, time.Duration) {
	crashes := 0
	if r.Running {
		crashes = 1
		if ran := now.Sub(r.Started); ran >= 0 && ran < shortRun {
			crashes += r.Crashes
		}
	}
	pause := time.Duration(0)
	if over := crashes - freeRestarts; over > 0 {
		pause = min(firstPause<<min(over-1, 10), longestPause)
	}
	return restarts{V: restartsShape, Running: true, Started: now.UTC().Add(pause), Crashes: crashes}, pause
}

// pauseAfterCrashes waits when the agent has ended without being asked to, several
// times in a row. A count that cannot be read or kept costs the pause and nothing else.
func (a *Agent) pauseAfterCrashes(ctx context.Context) error {
	path := filepath.Join(a.config().StateDir, restartsFile)
	var before restarts
	if err := readForm(path, &before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("how often the agent has crashed is not known", "err", err)
		before = restarts{}
	}
	r, pause := before.next(a.opts.Now())
	if err := writeForm(path, r); err != nil {
		a.log.Warn("a crash would not be counted", "err", err)
	}
	if pause == 0 {
		return nil
	}
	err := fmt.Errorf("%w %d times in a row and begins again at %s", errPausing, r.Crashes, r.Started.Local().Format(time.TimeOnly))
	a.log.Error("agent pauses, nothing is captured", "err", err)
	a.mu.Lock()
	a.wait = err
	a.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// endedOrderly forgets the crashes.
func (a *Agent) endedOrderly() {
	if err := writeForm(filepath.Join(a.config().StateDir, restartsFile), restarts{V: restartsShape, Started: a.opts.Now().UTC()}); err != nil {
		a.log.Debug("the next start will take this end for a crash", "err", err)
	}
}
