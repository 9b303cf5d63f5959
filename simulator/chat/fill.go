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
	var last *message
	for done := 0; done < o.Messages; {
		n := min(o.PerCommit, o.Messages-done)
		err := c.commit(func(tx writer.Tx) ([]oracle.Change, error) {
			var changes []oracle.Change
			for range n {
				at = at.Add(time.Duration(clock.Float64() * 2 * float64(o.Gap)))
				m := sp.next()
				m.known = true
				m.packed = m.packed || m.packLater // the background step has long come by
				m.stamp(at.Unix())
				if err := c.insert(tx, m); err != nil {
					return nil, fmt.Errorf("insert message: %w", err)
				}
				if c.log != nil {
					changes = append(changes, m.change(oracle.Insert, typeText, m.text))
				}
				c.sessions[m.conv] = m
				last = m
			}
			return changes, nil
		})
		if err != nil {
			return err
		}
		done += n
		if o.Checkpoint {
			if err := c.acct.Message.Backfill(); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(done)
		}
	}
	if last == nil {
		return nil
	}
	return c.writeSessions()
}

// Streams of random numbers that one seed gives, each for one purpose, so that one
// purpose never disturbs another.
const (
	streamTexts = iota + 1
	streamHistory
	streamPace
	streamPeople
)

func generator(seed uint64, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream))
}

// People is the generator of a new account's population.
func People(seed uint64) *rand.Rand { return generator(seed, streamPeople) }
