package limits

import (
	"testing"
	"time"
)

// fake is a process and a clock that a test moves.
type fake struct{ used, now time.Duration }

func (f *fake) cpu(share float64) *CPU {
	return newCPU(share, func() time.Duration { return f.used }, func() time.Duration { return f.now })
}

// work does pieces of cost each for as long as the pace lets it, until the clock says
// total.
func (f *fake) work(c *CPU, cost, total time.Duration) {
	for f.now < total {
		if owed := c.Owed(); owed > 0 {
			f.now += owed
			continue
		}
		f.used += cost
		f.now += cost
	}
}

// Promise: over any time the share holds, but for the burst after rest and the last
// piece, whatever a piece costs, and no more than necessary is waited.
func TestShare(t *testing.T) {
	for _, share := range []float64{0.05, 0.25, 0.5, 1} {
		for _, cost := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 400 * time.Millisecond} {
			f := &fake{}
			total := time.Minute
			f.work(f.cpu(share), cost, total)
			most := time.Duration(share*float64(f.now)) + burst + cost
			if f.used > most {
				t.Errorf("share %v, pieces of %v: used %v of %v, at most %v", share, cost, f.used, f.now, most)
			}
			if least := time.Duration(0.7 * share * float64(total)); f.used < least {
				t.Errorf("share %v, pieces of %v: only %v used of %v", share, cost, f.used, f.now)
			}
		}
	}
}

// Promise: what others use counts, so that history waits for live messages, but never
// for more than half a minute; and rest saves up no more than the burst.
func TestDebtAndRest(t *testing.T) {
	f := &fake{}
	c := f.cpu(0.5)
	f.used += time.Hour
	if owed := c.Owed(); owed < longestDebt || owed > longestDebt+time.Second {
		t.Errorf("owed %v", owed)
	}
	f.now += longestDebt + time.Second
	if owed := c.Owed(); owed != 0 {
		t.Errorf("still %v", owed)
	}
	f.now += time.Hour
	if c.Owed(); c.tokens != burst {
		t.Errorf("saved up %v", c.tokens)
	}
}

// Promise: no share is no pace, and this process's own time is known and grows.
func TestProcessTime(t *testing.T) {
	if NewCPU(0) != nil {
		t.Error("a pace without a share")
	}
	before := processTime()
	for x := 1; processTime() <= before; x++ { // works until it shows
	}
	if NewCPU(50).Owed() != 0 {
		t.Error("a new pace owes")
	}
}

// Promise: workers and what they hold fit into the ceiling, whatever it is; without one
// they are as fast as they go.
func TestMemory(t *testing.T) {
	if b := Memory(0); b.Heap != 0 || b.Chunk != 12<<20 {
		t.Errorf("%+v", b)
	}
	for ceiling := int64(1 << 20); ceiling < 8<<30; ceiling *= 2 {
		b := Memory(ceiling)
		if b.Workers < 1 || b.Chunk < 512<<10 || b.Heap < Least-notGos || int64(b.Workers*b.Chunk*8) > b.Heap {
			t.Errorf("%d: %+v", ceiling, b)
		}
		if ceiling >= Least && b.Heap+notGos > ceiling {
			t.Errorf("%d: a heap of %d", ceiling, b.Heap)
		}
	}
}
