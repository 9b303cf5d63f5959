package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tidemark/agent/config"
	"tidemark/internal/durable"
	"tidemark/spool"
)

// What a removal does with what the archive does not have yet: removal.undelivered.
const (
	SettleDeliver = "deliver" // it is delivered, for as long as removal.wait; what is left is kept
	SettleKeep    = "keep"
	SettleDiscard = "discard"
)

// removalFile holds the text of the last settlement, for whoever deletes the folder
// when this program is gone.
const removalFile = "removal.txt"

// settlePause is how long a delivery that does not get on rests before it is tried
// again.
const settlePause = 2 * time.Second

// Settlement is what became of what waited in the spool when the agent was removed.
type Settlement struct {
	Rule    string `json:"rule"`
	Waiting int64  `json:"waiting"` // records, before
	Left    int64  `json:"left"`    // records that the archive does not have
	Dir     string `json:"dir"`
	Cause   string `json:"cause,omitempty"` // why not all could be delivered, or be counted
}

// String says it in plain words.
func (s *Settlement) String() string {
	switch {
	case s.Rule == SettleDiscard && s.Cause == "" && s.Waiting > 0:
		return fmt.Sprintf("discarded, as removal.undelivered says: %s", records(s.Waiting))
	case s.Left > 0:
		text := fmt.Sprintf("not delivered: %s; kept in %s, sealed to the archive, to go out when Tidemark is installed again", records(s.Left), s.Dir)
		if s.Cause != "" {
			text += " (" + s.Cause + ")"
		}
		return text
	case s.Cause != "":
		return fmt.Sprintf("what is undelivered in %s stays there: %s", s.Dir, s.Cause)
	case s.Waiting > 0:
		return fmt.Sprintf("delivered: %s; nothing is left", records(s.Waiting))
	}
	return "everything that was captured is delivered"
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// Settle ends an agent that is to be removed from this device: it records that, and
// does with what the archive does not have yet as removal.undelivered says. Identity,
// keys and what is left stay in the state folder, which Purge empties. The agent must
// have been stopped: the error wraps spool.ErrLocked otherwise, and nothing is changed.
// That not everything could be delivered is no error.
func Settle(ctx context.Context, o Options) (*Settlement, error) {
	c := o.Config
	s := &Settlement{Rule: c.RemovalUndelivered, Dir: c.StateDir}
	var err error
	if s.Waiting, err = undelivered(c.StateDir); errors.Is(err, spool.ErrLocked) {
		return nil, err
	}
	if err != nil {
		s.Cause = err.Error()
	}
	switch s.Rule {
	case SettleDiscard:
		if err == nil {
			err = discard(c.StateDir)
		}
	default:
		err = New(o).leave(ctx, s.Rule == SettleDeliver)
	}
	if errors.Is(err, spool.ErrLocked) {
		return nil, err
	}
	if err != nil && !errors.Is(err, ErrNotEnrolled) {
		s.Cause = err.Error()
	}
	left, err := undelivered(c.StateDir)
	if err == nil {
		s.Left = left
		if left == 0 && s.Rule != SettleDiscard {
			s.Cause = ""
		}
	}
	if s.Left > 0 && s.Cause == "" && s.Rule == SettleDeliver {
		s.Cause = ErrNotEnrolled.Error()
	}
	s.Waiting = max(s.Waiting, s.Left)
	if _, err := os.Stat(c.StateDir); err == nil {
		if err := durable.WriteFile(filepath.Join(c.StateDir, removalFile), []byte(s.String()+"\n"), 0o600); err != nil {
			return s, fmt.Errorf("keep what became of undelivered records: %w", err)
		}
	}
	return s, nil
}

// leave records that the agent is removed and delivers what waits, for as long as
// removal.wait.
func (a *Agent) leave(ctx context.Context, deliver bool) error {
	e, err := a.enrolment(ctx)
	if err != nil {
		return err
	}
	p, err := a.open(e)
	if err != nil {
		return err
	}
	err = p.end(ctx, "removed from this device")
	if deliver {
		ctx, cancel := context.WithTimeout(ctx, a.config().RemovalWait)
		defer cancel()
		err = errors.Join(err, p.deliverAll(ctx))
	}
	return errors.Join(err, p.spool.Close())
}

// deliverAll delivers until nothing is left or the context ends, and returns why
// something is.
func (p *pipeline) deliverAll(ctx context.Context) error {
	for {
		err := errors.Join(p.deliverOrphansOnce(ctx), p.uploader.Drain(ctx))
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(settlePause):
		}
	}
}

// spools lists the state folder's spools, of which there may be none.
func spools(dir string) []string { return append(orphans(dir), filepath.Join(dir, spoolFile)) }

// undelivered counts the records in all spools of the folder.
func undelivered(dir string) (n int64, err error) {
	for _, path := range spools(dir) {
		i, err := spool.Inspect(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, err
		}
		for _, l := range i.Lanes {
			n += l.Records
		}
		if i.Damage != "" {
			return n, errors.New(i.Damage)
		}
	}
	return n, nil
}

// discard deletes the spools and what lies beside them.
func discard(dir string) error {
	for _, path := range spools(dir) {
		files, err := filepath.Glob(path + "*")
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Purge deletes the state folder with all that is in it: identity, keys, and records
// that were not delivered. It refuses a folder that others may enter, for that is not
// one the agent has made.
func Purge(c *config.Config) error {
	info, err := os.Lstat(c.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err == nil {
		err = removable(c.StateDir, info)
	}
	if err == nil {
		err = os.RemoveAll(c.StateDir)
	}
	if err != nil {
		return fmt.Errorf("delete state folder %s: %w", c.StateDir, err)
	}
	return nil
}
