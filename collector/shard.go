package collector

import (
	"context"
	"errors"
	"math"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"time"
)

// errDatabase marks an error that is the database's, and so a state, apart from one
// that is the spool's or the context's.
var errDatabase = errors.New("the database's error")

// Limits of a pass.
const (
	historyFrom = 4096           // more new rows than this are history, read by several goroutines
	windowAge   = 24 * time.Hour // how long after it was sent a captured row is looked at again
	windowMax   = 2048           // captured rows of one table that are looked at again
	sweepEvery  = 10 * time.Minute
)

// shard is one message database. It belongs to the goroutine of the pass; history
// lends its tables to workers, each table to one at a time.
type shard struct {
	*database
	a *account

	id         string             // names the database in cursors; "" until its salt is known
	identity   sqlcipher.Identity // of the file that id names
	shardID    string             // the salt in hex, for identities of messages without a server id
	prior      string             // the id of the database that was last read to its end here
	former     map[string]*former // of that one, when it was another, and of tables made anew, by table hash
	cookie     int64              // the schema's counter when this database was last read to its end; 0: not known
	older      bool               // the counter has gone down since: an older state of the database stands here
	appeared   bool               // it was not there when capture began
	schema     int64
	olderTold  bool
	loaded     bool // schema and tables are known
	learnt     bool // schema or names were read in the view that is under way
	tables     map[string]*table
	gone       []*table            // dropped with their conversations, whose days are still to be counted
	undecided  map[string]struct{} // tables that wait for their usernames to be told from what is out of scope
	unnumbered []*table            // of which sqlite_sequence says nothing
	sequences  wechat.Sequences
	watch      watch // where the rows stand that may still change
	names      wechat.Names
	namesPages []uint32 // where they stand
	digests    digester
	check      [4]byte
	odd        drift          // what is unfamiliar about the schema
	form       string         // the schema's fingerprint
	formKept   string         // as the spool has it
	holesTried time.Time      // when the holes of the tables were last read again
	holesMark  sqlcipher.Mark // and at which commit
	lacksTried time.Time      // the same of what was told as missing
	lacksMark  sqlcipher.Mark
}

// table is one table of messages.
type table struct {
	wechat.Table
	sql string
	position
	window  map[int64]*windowRow
	inner   map[uint32]struct{}    // pages above the rows' leaves, met so far
	swept   time.Time              // when rows past their age were last dropped from the window
	holes   []idRange              // rows before the cursor that damage kept from being read
	lacks   []lack                 // told as missing: they may be put back
	buckets map[bucketKey]bucket   // months in use
	dirty   map[bucketKey]struct{} // months of which some day is to be recorded
	kept    []keptDirty            // the same, from an earlier run, by hashes
	gone    bool                   // dropped, and its days not counted yet
	dropped bool                   // the database has it no longer, see tellDropped
	barred  bool                   // damage stands among captured rows: they are not looked at again until it heals
}

func newShard(a *account, d *database) *shard {
	s := &shard{database: d, a: a}
	s.digests.secret = a.c.opts.Secret
	s.check = s.digests.check()
	s.forget()
	return s
}

// forget drops what was known of the file: another one took its place.
func (s *shard) forget() {
	s.id, s.loaded, s.mark = "", false, sqlcipher.Mark{}
	s.tables, s.names, s.holesMark, s.lacksMark = map[string]*table{}, nil, sqlcipher.Mark{}, sqlcipher.Mark{}
	s.sequences.Forget()
	s.prior, s.former, s.cookie, s.older, s.olderTold = "", nil, 0, false, false
	s.watch, s.gone, s.undecided = watch{}, nil, map[string]struct{}{}
}

// state is how the shard stands after a pass that had no error.
func (s *shard) state() State {
	switch {
	case s.damaged() > 0:
		return StateCorrupt
	case len(s.odd.what) > 0:
		return StateUnfamiliar
	}
	return StateCurrent
}

// pass reads what is new and commits it. An error that wraps errDatabase is the
// database's state; any other is the spool's or the context's.
func (s *shard) pass(ctx context.Context) error {
	changed, err := s.db.Changed(ctx, s.mark)
	if err != nil {
		return s.fault(ctx, err)
	}
	if changed {
		if err := s.readNew(ctx); err != nil {
			return err
		}
	}
	if s.damaged() > 0 {
		if err := s.retryDamage(ctx); err != nil {
			return s.fault(ctx, err)
		}
	}
	return s.fault(ctx, s.retryLacks(ctx))
}

// readNew reads what was committed since the last pass, and commits it.
func (s *shard) readNew(ctx context.Context) error {
	for {
		var b batch
		err := s.read(ctx, &b, nil)
		if err == nil {
			if err := s.tellDropped(ctx); err != nil {
				return err
			}
			if err := s.tellOlder(ctx); err != nil {
				return err
			}
		}
		if err == nil && len(b.recreated) > 0 {
			if err := s.recreate(ctx, &b); err != nil {
				return err
			}
			continue // they are to be read now
		}
		if err == nil && !b.history {
			return s.commit(ctx, &b)
		}
		if err == nil {
			if err = s.history(ctx, &b); err == nil {
				continue // the mark has not moved: what came meanwhile is due at once
			}
		}
		switch {
		case errors.Is(err, sqlcipher.ErrReplaced):
			if err := s.replaced(ctx); err != nil {
				return err
			}
		case damaged(err) && s.loaded:
			return s.isolate(ctx)
		default:
			return s.fault(ctx, err)
		}
	}
}

// fault tells the database's errors from the context's.
func (s *shard) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var c committed
	if errors.As(err, &c) {
		return c.error
	}
	return databaseError{err}
}

type databaseError struct{ error }

func (e databaseError) Unwrap() error { return e.error }

func (e databaseError) Is(target error) bool { return target == errDatabase }

// committed wraps an error of the spool so that it is not taken for the database's.
type committed struct{ error }

// read takes one snapshot and reads into b what is new in it: in all tables, or in
// only alone.
func (s *shard) read(ctx context.Context, b *batch, only *table) error {
	return sqlcipher.Retry(ctx, attempts, func() error {
		*b = batch{at: s.a.c.now()}
		sequences := s.sequences.Clone()
		s.learnt = false
		err := s.db.View(ctx, func(v *sqlcipher.View) error { return s.readView(ctx, v, b, only) })
		if errors.Is(err, sqlcipher.ErrMoved) {
			// What was learnt in it may mix two states; what was known before is as good as
			// it was, for its mark stays.
			if s.learnt {
				s.loaded, s.names = false, nil
			}
			s.sequences = sequences
		}
		return err
	})
}

func (s *shard) readView(ctx context.Context, v *sqlcipher.View, b *batch, only *table) error {
	b.mark = v.Commit()
	if err := s.load(v); err != nil {
		return err
	}
	pages, known := v.ChangedSince(s.mark)
	if err := s.readNames(v, pages, known); err != nil {
		return err
	}
	work, rows, err := s.due(v, b, pages, known, only)
	if err != nil {
		return err
	}
	if len(b.recreated) > 0 {
		return nil
	}
	if err := s.resolve(ctx, work); err != nil {
		return err
	}
	if rows > historyFrom {
		b.history, b.work, b.rows = true, work, rows
		return nil
	}
	r := s.newReader(b)
	defer r.tellBefore()
	for _, w := range work {
		if err := r.table(v, w, math.MaxInt64); err != nil {
			return err
		}
	}
	if b.complete = only == nil; b.complete {
		r.lostTables()
	}
	return nil
}
