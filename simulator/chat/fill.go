package chat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tidemark/simulator/media"
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
	Shards     int           // databases that the messages are spread over, the last of them in the first; 0 is one
	Kinds      bool          // say messages of every kind
	Images     media.Keys    // of the pictures among them
	Progress   func(done int)
}

// Fill writes history: messages of all conversations interleaved in time, own ones
// with their server ids, none recalled.
func (c *Client) Fill(o FillOptions) error {
	sp := newSpeaker(generator(o.Seed, streamTexts), c.acct.Name, c.convs, o.Compress, 0)
	clock := generator(o.Seed, streamHistory)
	at := o.Until.Add(-time.Duration(o.Messages) * o.Gap)
	var all *repertoire
	if o.Kinds {
		var err error
		if all, err = c.newRepertoire(o.Seed, o.Images); err != nil {
			return err
		}
	}
	for slice, done := 0, 0; done < o.Messages; {
		n := min(o.PerCommit, o.Messages-done)
		if o.Shards > 1 {
			if done == slice*o.Messages/o.Shards {
				if err := c.writeTo(o.Shards-1-slice, at); err != nil {
					return err
				}
				slice++
			}
			n = min(n, slice*o.Messages/o.Shards-done)
		}
		var order []*shard
		batch := map[*shard][]*message{}
		for range n {
			at = at.Add(time.Duration(clock.Float64() * 2 * float64(o.Gap)))
			m := c.past(all, sp, at)
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
			if err := c.write(s, batch[s], all); err != nil {
				return err
			}
			for _, m := range batch[s] {
				if m.item == nil {
					continue
				}
				if err := errors.Join(all.store(m, true), all.index(m)); err != nil {
					return err
				}
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
	if o.Shards > 1 {
		if err := c.sortShards(); err != nil {
			return err
		}
	}
	return c.writeSessions()
}

// writeTo makes the shard of a number the only one that is written to, with all before
// it. Each begins a year before the one of the number below: imported history has higher
// numbers.
func (c *Client) writeTo(number int, at time.Time) error {
	for n := len(c.acct.Shards()); n <= number; n++ {
		file := c.acct.NextShard()
		if file == "" {
			return errors.New("fill: this generation has a fixed number of databases")
		}
		s, err := c.shard(file)
		if err != nil {
			return err
		}
		if err := c.form.begin(c, s, at.AddDate(-1-n, 0, 0)); err != nil {
			return err
		}
	}
	c.growing = c.acct.Shards()[number : number+1]
	return nil
}

// past is a message said at a time long ago: all that follows from it has happened.
func (c *Client) past(all *repertoire, sp *speaker, at time.Time) *message {
	var m *message
	if all != nil {
		m = all.next(at)
	}
	if m == nil {
		m = sp.next()
		m.createTime = at.Unix()
	}
	m.known = true
	m.packed = m.packed || m.packLater // the background step has long come by
	m.order(m.createTime)
	return m
}

// write inserts messages of one shard in one transaction. all is needed when not all of
// them are texts.
func (c *Client) write(s *shard, ms []*message, all *repertoire) error {
	return c.commit(s, func(tx writer.Tx) ([]oracle.Change, error) {
		var changes []oracle.Change
		for _, m := range ms {
			if err := c.form.insert(c, tx, m); err != nil {
				return nil, fmt.Errorf("insert message: %w", err)
			}
			if m.item != nil {
				if err := all.bring(m); err != nil {
					return nil, err
				}
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
	streamKinds
)

func generator(seed uint64, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream))
}

// People is the generator of a new account's population.
func People(seed uint64) *rand.Rand { return generator(seed, streamPeople) }
