package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"tidemark/collector/sqlcipher"
	"tidemark/seal"
	"tidemark/spool"
)

// A chunk is what one snapshot of history reads and one batch holds. It is large
// enough to pay for its commit, and shrinks when the client moves the database on
// before it is read.
const (
	chunkRows    = 8192
	chunkRowsMin = 64
	chunkBytes   = 12 << 20 // of NDJSON, checked between rows' tables; Options.Chunk is another figure
	moves        = 200      // chunks in a row that may move before the database counts as moving
)

// history reads what is new with several goroutines. Each takes tables that are its
// own until it gives them back, reads a chunk of them in a snapshot of its own, and
// commits the records with the cursors, so the order of ids within a table is kept.
func (s *shard) history(ctx context.Context, found *batch) error {
	s.a.note(s.file, StateCatchingUp, "")
	s.a.c.show()
	started := s.a.c.now()
	s.a.c.log.Info("reading history", "source", s.a.disc.Path, "db", s.file, "records", found.rows)
	q := &queue{work: found.work, rows: found.rows}
	g, gctx := errgroup.WithContext(ctx)
	if size := found.rows; size > 16*chunkRows {
		// Tables are interleaved in the file: following one through a cold file reads it
		// in small pieces all over. Reading it once in order is faster.
		g.Go(func() error {
			if err := s.db.Prefetch(gctx); err != nil && gctx.Err() == nil {
				s.a.c.log.Debug("prefetch failed", "db", s.file, "err", err)
			}
			return nil
		})
	}
	for range s.a.c.opts.Workers {
		g.Go(func() error {
			defer lowPriority()()
			return s.historyWorker(gctx, q)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.a.c.log.Info("history read", "source", s.a.disc.Path, "db", s.file, "records", found.rows, "elapsed", s.a.c.now().Sub(started))
	return nil
}

// queue hands out tables. take gives about rows of work and put brings back what is
// left of it.
type queue struct {
	mu   sync.Mutex
	work []work
	rows int64 // of all
	done int64 // read so far
}

func (q *queue) take(rows int64) (out []work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for rows > 0 && len(q.work) > 0 {
		last := len(q.work) - 1
		w := q.work[last]
		q.work = q.work[:last]
		out = append(out, w)
		rows -= max(w.upTo-w.cursor, 1)
	}
	return out
}

func (q *queue) put(w []work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = append(q.work, w...)
}

func (s *shard) historyWorker(ctx context.Context, q *queue) error {
	most := max(int64(chunkRows)*int64(s.a.c.opts.Chunk)/chunkBytes, chunkRowsMin)
	rows, moved := most, 0
	var ndjson []byte
	for {
		if err := wait(ctx, s.a.c.opts.Pace); err != nil {
			return err
		}
		mine := q.take(rows)
		if len(mine) == 0 {
			return ctx.Err()
		}
		b := batch{at: s.a.c.now(), ndjson: ndjson[:0]}
		var left []work
		err := s.db.View(ctx, func(v *sqlcipher.View) error {
			b.mark = v.Commit()
			r := s.newReader(&b)
			r.trace = false
			remaining := rows
			defer r.tellBefore()
			for i, w := range mine {
				if remaining <= 0 || len(b.ndjson) > s.a.c.opts.Chunk {
					left = append(left, mine[i:]...)
					return nil
				}
				if err := r.table(v, w, remaining); err != nil {
					return err
				}
				remaining -= b.tables[len(b.tables)-1].scanned
				if remaining <= 0 { // the limit may have cut it off
					w.ranges = nil
					left = append(left, w)
				}
			}
			return nil
		})
		ndjson = b.ndjson
		switch {
		case errors.Is(err, sqlcipher.ErrMoved):
			q.put(mine)
			rows = max(rows/2, chunkRowsMin)
			if moved++; moved > moves {
				return err
			}
			continue
		case err != nil && !errors.Is(err, sqlcipher.ErrCorrupt):
			return err
		}
		// What came before a damaged page verified, and the snapshot held: it counts.
		cursors, cerr := s.cursors(&b)
		if cerr == nil {
			cerr = s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...)
		}
		if cerr != nil {
			return committed{cerr}
		}
		q.mu.Lock()
		s.apply(&b)
		for _, c := range b.tables {
			q.done += c.scanned
		}
		// The pass waits for its workers, so nobody else looks at the account now.
		s.a.note(s.file, StateCatchingUp, fmt.Sprintf("%d of %d rows read", q.done, q.rows))
		s.a.c.show()
		q.mu.Unlock()
		if err != nil {
			return err
		}
		moved, rows = 0, min(rows+rows/2, most)
		q.put(left)
	}
}
