package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// State says in one word how the spool is.
type State string

// The states, the best first.
const (
	StateOK      State = "ok"
	StateFilling State = "filling"    // 90 % of the quota waits; until it is less than 70 %
	StateFull    State = "full"       // an append had no room; none is taken until at most 70 % waits
	StateLowDisk State = "low disk"   // less than the floor is free; until it is an eighth more
	StateDisk    State = "disk error" // the last write failed
	StateDamaged State = "damaged"    // to be opened anew, which heals it
)

// Stopped says whether nothing is taken in this state.
func (s State) Stopped() bool { return s != StateOK && s != StateFilling }

// Condition is how the spool is, since when, and why.
type Condition struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	Cause string    `json:"cause,omitempty"` // of StateDisk and StateDamaged
}

// Condition returns how the spool is, and a channel that is closed when that changes.
func (s *Spool) Condition() (Condition, <-chan struct{}) {
	s.lookAtDisk()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condition, s.changed
}

// ladder remembers which steps have been reached: each is left only well below where
// it begins, so that nothing flutters.
type ladder struct{ filling, full, low bool }

func (l *ladder) climb(pending, most int64) {
	percent := pending * 100 / most
	switch {
	case percent >= 90:
		l.filling = true
	case percent < 70:
		l.filling = false
	}
	if percent <= 70 {
		l.full = false
	}
}

func (l *ladder) floor(free, least int64) {
	switch {
	case free < 0: // not known
	case free < least:
		l.low = true
	case free >= least+least/8:
		l.low = false
	}
}

// judge draws the condition from what is known. mu is held.
func (s *Spool) judge() {
	now := Condition{State: StateOK}
	switch {
	case s.damage != nil:
		now = Condition{State: StateDamaged, Cause: s.damage.Error()}
	case s.trouble != nil:
		now = Condition{State: StateDisk, Cause: s.trouble.Error()}
	case s.ladder.low:
		now.State = StateLowDisk
	case s.ladder.full:
		now.State = StateFull
	case s.ladder.filling:
		now.State = StateFilling
	}
	if now.State == s.condition.State {
		s.condition.Cause = now.Cause
		return
	}
	now.Since = s.clock().UTC()
	s.opts.Logger.Info("spool's state has changed", "state", string(now.State), "was", string(s.condition.State), "waiting", s.pending)
	s.condition = now
	close(s.changed)
	s.changed = make(chan struct{})
}

// lookAtDisk reads how much is free on the file system, -1 when it does not say.
func (s *Spool) lookAtDisk() int64 {
	free, err := freeBytes(filepath.Dir(s.path))
	if err != nil {
		free = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ladder.floor(free, s.opts.MinFree)
	s.judge()
	return free
}

// admit answers the requests that quota or floor refuse and returns the others. What
// brings only cursors needs no room worth counting, and a spool that holds nothing
// takes anything once.
func (s *Spool) admit(group []*request) []*request {
	free := s.lookAtDisk()
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := s.pending
	admitted := group[:0:0]
	for _, req := range group {
		n := int64(req.size())
		var refused error
		switch {
		case n == 0:
		case s.ladder.low:
			refused = fmt.Errorf("append %d bytes: %d are free, %d are to stay free: %w", n, free, s.opts.MinFree, errors.Join(ErrLowDisk, ErrFull))
		case s.ladder.full, pending > 0 && pending+n > s.opts.MaxBytes:
			s.ladder.full = true
			refused = fmt.Errorf("append %d bytes to the %d waiting, of %d allowed: %w", n, pending, s.opts.MaxBytes, ErrFull)
		}
		if refused != nil {
			req.result <- refused
			continue
		}
		pending += n
		admitted = append(admitted, req)
	}
	s.judge()
	return admitted
}
