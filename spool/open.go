package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// Open opens the spool at path or makes a new one, and heals a damaged one. ErrLocked
// means that another process has it open, ErrNewer that the file is left untouched
// because a newer version made it, ErrDisk that opening may work later.
func Open(path string, o Options) (*Spool, error) {
	if o.Identity == nil || o.Archive == nil {
		return nil, errors.New("open spool: it needs an identity and an archive")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 2 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Spool{
		opts: o, path: path, clock: o.Now, lanes: map[seal.Lane]*lane{}, changed: make(chan struct{}),
		condition: Condition{State: StateOK, Since: o.Now().UTC()},
		kept:      keptCursors{stale: true},
		requests:  make(chan *request), rechains: make(chan *rechaining), shrinks: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	for _, id := range laneIDs {
		s.lanes[id] = &lane{name: []byte(id.String()), appended: make(chan struct{})}
	}
	var err error
	if s.lock, err = lockFile(path + lockSuffix); err != nil {
		return nil, fmt.Errorf("open spool %s: %w", filepath.Base(path), err)
	}
	var found *survey
	if found, s.recovery, err = prepare(path, &s.opts); err == nil {
		err = s.open(found)
	}
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", filepath.Base(path), errors.Join(asDisk(err), s.lock.Close()))
	}
	if r := s.recovery; r != nil {
		o.Logger.Warn("spool was damaged and is healed", "cause", r.Cause, "aside", r.Aside, "batches", r.Batches, "cursors", r.Cursors)
	}
	go s.commitLoop()
	return s, nil
}

const lockSuffix = ".lock"

// prepare makes the file at path sound: it ends a salvage that was interrupted,
// makes a new file, migrates an older one or salvages a damaged one. It returns what
// the file holds, nil when that has changed.
func prepare(path string, o *Options) (*survey, *Recovery, error) {
	if err := finishSalvage(path); err != nil {
		return nil, nil, err
	}
	known, err := missing(path, o)
	if err != nil {
		return nil, nil, err
	}
	if known == nil {
		if err := create(path); err != nil {
			return nil, nil, err
		}
		if known, err = suspected(path); err != nil {
			return nil, nil, err
		}
		found, err := check(path)
		switch {
		case errors.Is(err, ErrDamaged):
			known = err
		case err != nil:
			return nil, nil, err
		case known != nil:
		case found.version == formatVersion:
			return found, nil, nil
		default:
			return nil, nil, upgrade(path)
		}
	}
	r, err := salvage(path, o, known)
	return nil, r, err
}

func upgrade(path string) error {
	db, err := openFile(path)
	if err != nil {
		return err
	}
	reached()
	err = db.Update(migrate)
	reached()
	return errors.Join(err, db.Close())
}

// open opens the sound file and brings memory up to it; found is what it holds, nil
// to look. dbMu is held for writing, or nobody knows the spool yet.
func (s *Spool) open(found *survey) (err error) {
	if found == nil {
		if found, err = check(s.path); err != nil {
			return err
		}
	}
	var db *bbolt.DB
	if err := guard(func() (err error) { db, err = openFile(s.path); return err }); err != nil {
		return err
	}
	if err := s.load(found); err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.file, err = os.Stat(s.path)
	return err
}

// load makes what the file holds what memory holds.
func (s *Spool) load(found *survey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = 0
	for id, l := range s.lanes {
		h, err := found.head(id)
		if err != nil {
			return err
		}
		moved := l.head != h
		in := found.lanes[id]
		l.head = h
		l.stats = LaneStats{Batches: int(in.counts.batches), Records: int(in.counts.records), Bytes: in.counts.bytes, Oldest: in.oldest, Seq: h.seq}
		if r := found.values[string(receiptBucket)][id.String()]; len(r) > 8 {
			l.stats.Acked = receiptSeq(r)
		}
		s.pending += in.counts.bytes
		l.restarts = map[uint64]*seal.Restart{}
		for key, raw := range found.values[string(restartBucket)] {
			r, err := seal.ParseRestart(raw)
			if err != nil || key != string(restartKey(r.Lane, r.First)) {
				return damaged("a restart does not read")
			}
			if r.Lane == id {
				l.restarts[r.First] = r
			}
		}
		if moved {
			close(l.appended)
			l.appended = make(chan struct{})
		}
	}
	s.cursors = found.values[string(cursorsBucket)]
	s.ladder.climb(s.pending, s.opts.MaxBytes)
	s.judge()
	return nil
}

// Close waits for running Appends and closes the file. A second Close is harmless.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	<-s.done
	s.keepCursors(true)
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	err := s.shut()
	if err := errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// shut closes db; dbMu is held for writing. A panic of bbolt on a damaged page may have
// left its locks held, so that it never closes; it is then left behind.
func (s *Spool) shut() error {
	db := s.db
	s.db = nil
	if db == nil {
		return nil
	}
	s.mu.Lock()
	sound := s.damage == nil && s.suspect == nil
	s.mu.Unlock()
	closed := make(chan error, 1)
	go func() {
		closed <- guard(func() error {
			if !sound {
				return db.Close()
			}
			// So that the next start need not look for the free pages.
			db.NoFreelistSync = false
			return errors.Join(db.Update(func(*bbolt.Tx) error { return nil }), db.Close())
		})
	}()
	if sound {
		return <-closed
	}
	select {
	case err := <-closed:
		return err
	case <-time.After(2 * time.Second):
		return nil
	}
}
