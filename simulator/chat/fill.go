package chat

import (
	"fmt"
	"math/rand/v2"
	"time"

	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// FillOptions say what Fill writes.
type FillOptions struct {
	Messages   int
	Seed       uint64
	Compress   float64       // part of the rows that are compressed
	Until      time.Time     // time of the last message
	Gap        time.Duration // mean time between messages
	PerCommit  int           // messages per transaction
	Checkpoint bool          // copy each transaction into the main file, so that the WAL stays short
	Progress   func(done int)
}

// Fill writes history: messages of all conversations interleaved in time, own ones
// with their server ids, none recalled.
func (c *Client) Fill(o FillOptions) error {
	sp := newSpeaker(generator(o.Seed, streamTexts), c.acct.Name, c.convs, o.Compress, 0)
	clock := generator(o.Seed, streamHistory)
	at := o.Until.Add(-time.Duration(o.Messages) * o.Gap)
	for done := 0; done < o.Messages; {
		n := min(o.PerCommit, o.Messages-done)
		var order []*shard
		batch := map[*shard][]*message{}
		for range n {
			at = at.Add(time.Duration(clock.Float64() * 2 * float64(o.Gap)))
			m := sp.next()
			m.known = true
			m.packed = m.packed || m.packLater // the background step has long come by
			m.stamp(at.Unix())
			if err := c.place(m); err != nil {
				return err
			}
			if batch[m.shard] == nil {
				order = append(order, m.shard)
			}
			batch[m.shard] = append(batch[m.shard], m)
			c.sessions[m.conv] = m
		}
		for _, s := range order {
			if err := c.write(s, batch[s]); err != nil {
				return err
			}
			if o.Checkpoint {
				if err := s.db.Backfill(); err != nil {
					return err
				}
			}
		}
		done += n
		if o.Progress != nil {
			o.Progress(done)
		}
	}
	return c.writeSessions()
}

// write inserts messages of one shard in one transaction.
func (c *Client) write(s *shard, ms []*message) error {
	return c.commit(s, func(tx writer.Tx) ([]oracle.Change, error) {
		var changes []oracle.Change
		for _, m := range ms {
			if err := c.form.insert(c, tx, m); err != nil {
				return nil, fmt.Errorf("insert message: %w", err)
			}
			if c.log != nil {
				changes = append(changes, m.change(oracle.Insert))
			}
		}
		return changes, nil
	})
}

// Streams of random numbers that one seed gives, each for one purpose, so that one
// purpose never disturbs another.
const (
	streamTexts = iota + 1
	streamHistory
	streamPace
	streamPeople
	streamChanges
)

func generator(seed uint64, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream))
}

// People is the generator of a new account's population.
func People(seed uint64) *rand.Rand { return generator(seed, streamPeople) }
