package archive

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/ncruces/go-sqlite3"

	"tidemark/internal/durable"
)

// How the archive finds out that a disk which failed takes writes again: by writing
// a file of probeSize and going on with what was cut short, soon at first and then
// at longer intervals.
const (
	probeSize = 1 << 20
	mendFirst = 250 * time.Millisecond
	mendMost  = 10 * time.Second
)

// Trouble returns the error of a write that failed, from then until the disk has
// been found to take writes again; nil when all is well. Batches are tried all the
// same meanwhile.
func (a *Archive) Trouble() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trouble
}

// failed notes that a step failed and returns its error, with the cause when it lacks
// it. After a failed sync nothing is known about the disk, and the archive stops; after
// anything else it mends itself.
func (a *Archive) failed(err error) error {
	if errors.Is(err, durable.ErrSync) {
		a.logger.Error("stopping: what reached the disk is not known", "err", err)
		a.end()
		return err
	}
	if errors.Is(err, sqlite3.IOERR) { // SQLite also says so when its log's index finds no room
		err = errors.Join(err, a.probe())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hasStopped() {
		return err
	}
	if a.trouble == nil {
		a.logger.Error("can not keep what is delivered; trying until it goes again", "err", err)
		a.mending.Go(a.mend)
	}
	a.trouble = err
	a.failures++
	return err
}

// mend tries until nothing is wrong any more, or the archive stops.
func (a *Archive) mend() {
	for wait := mendFirst; ; wait = min(2*wait, mendMost) {
		select {
		case <-a.stopped:
			return
		case <-time.After(wait):
		}
		a.mu.Lock()
		before := a.failures
		a.mu.Unlock()
		if err := a.tryToMend(); err != nil {
			a.failed(err)
			continue
		}
		a.mu.Lock()
		healed := a.failures == before
		if healed {
			a.trouble = nil
		}
		a.mu.Unlock()
		if healed {
			a.logger.Info("the disk takes writes again")
			return
		}
	}
}

// probe says whether the disk takes a write, by doing one.
func (a *Archive) probe() error {
	f, err := os.CreateTemp(string(a.folder), "probe-*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// tryToMend settles every lane that a failed step left open, if the disk takes writes.
func (a *Archive) tryToMend() error {
	if err := a.probe(); err != nil {
		return err
	}
	a.mu.Lock()
	lanes := make([]*lane, 0, len(a.lanes))
	for _, l := range a.lanes {
		lanes = append(lanes, l)
	}
	a.mu.Unlock()
	for _, l := range lanes {
		select {
		case l.sem <- struct{}{}:
		case <-a.stopped:
			return ErrStopped
		}
		if !l.settled {
			if err := a.recover(context.Background(), l); err != nil {
				l.release()
				return err
			}
		}
		l.release()
	}
	return nil
}
