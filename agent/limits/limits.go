// Package limits holds the agent's ceilings of memory and processor time, and keeps its
// memory out of files that crashes leave.
//
// # Processor time
//
// [CPU] is a token bucket. It fills with the share of a core that the configuration
// gives, and what the whole process has used, by the system's own account, is taken from
// it: garbage collection, sealing and delivery too. Work that can wait (history, files of
// messages) asks before each piece of it, and waits while the bucket is overdrawn. Live
// messages never ask; what they cost is paid by the work that does.
//
// # Memory
//
// [Memory] tells Go's runtime how much of the ceiling is its heap's and how large the
// pieces of history are that are held at a time. The rest is left for the program file
// and for those pages of the spool's file that are mapped; the system may take these
// back at any time.
package limits

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// burst is how much processor time may be used at once after rest: the start of the
// agent derives keys.
const burst = 2 * time.Second

// longestDebt is how long history waits at most for what live messages have used beyond
// the share.
const longestDebt = 30 * time.Second

// CPU paces work to a share of one core. It is safe for concurrent use.
type CPU struct {
	share float64 // of one core
	used  func() time.Duration
	now   func() time.Duration // of a clock that only goes forward

	mu     sync.Mutex
	tokens time.Duration
	at     time.Duration
	spent  time.Duration
}

// NewCPU returns the pace of percent of one core, by the processor time of this
// process. Nil means no ceiling.
func NewCPU(percent int) *CPU {
	if percent <= 0 {
		return nil
	}
	start := time.Now()
	return newCPU(float64(percent)/100, processTime, func() time.Duration { return time.Since(start) })
}

func newCPU(share float64, used, now func() time.Duration) *CPU {
	return &CPU{share: share, used: used, now: now, tokens: burst, at: now(), spent: used()}
}

// Owed is how long work that can wait is to wait: 0 when it may go on.
func (c *CPU) Owed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, spent := c.now(), c.used()
	c.tokens += time.Duration(float64(now-c.at)*c.share) - (spent - c.spent)
	c.at, c.spent = now, spent
	debt := time.Duration(float64(longestDebt) * c.share)
	c.tokens = max(min(c.tokens, burst), -debt)
	if c.tokens >= 0 {
		return 0
	}
	// A little more than what is owed, so that the next piece is worth its start.
	return time.Duration(float64(-c.tokens)/c.share) + 20*time.Millisecond
}

// Budget is how the memory that the ceiling leaves is shared out.
type Budget struct {
	Heap    int64 // bytes of Go's heap, beyond which it collects harder
	Workers int   // goroutines that read history
	Chunk   int   // bytes of records that each holds
}

// The least that the agent runs with, and what of any ceiling is not Go's: the program
// file, mapped pages of the spool, the system's own tables.
const (
	Least  = 96 << 20
	notGos = 64 << 20
)

// Memory shares out a ceiling, 0 for none. A worker needs about eight times its chunk:
// the records, their compressed and sealed form, the commit, and garbage.
func Memory(ceiling int64) Budget {
	b := Budget{Workers: runtime.GOMAXPROCS(0) + 1, Chunk: 12 << 20}
	if ceiling <= 0 {
		return b
	}
	b.Heap = max(ceiling, Least) - notGos
	const most, least = 12 << 20, 512 << 10
	for b.Chunk = most; b.Chunk > least && int64(b.Workers*b.Chunk*8) > b.Heap; b.Chunk /= 2 {
	}
	for b.Workers > 1 && int64(b.Workers*b.Chunk*8) > b.Heap {
		b.Workers--
	}
	return b
}

// Apply makes Go's runtime keep to the budget.
func (b Budget) Apply() {
	limit := int64(math.MaxInt64)
	if b.Heap > 0 {
		limit = b.Heap
	}
	debug.SetMemoryLimit(limit)
}
