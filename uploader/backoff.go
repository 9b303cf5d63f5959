package uploader

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// maxRetryAfter bounds how long an archive, or a proxy in its place, may silence a
// device with one answer.
const maxRetryAfter = time.Hour

// pace decides when to ask again. It is full jitter over cenkalti's exponential
// intervals: a uniform choice between nothing and the interval, so that a fleet
// that failed together does not come back together.
type pace struct{ intervals *backoff.ExponentialBackOff }

func newPace(first, most time.Duration) *pace {
	return &pace{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first), backoff.WithMultiplier(2), backoff.WithMaxInterval(most),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))}
}

// next is the time to wait now, never before retryAfter is over.
func (p *pace) next(retryAfter time.Duration) time.Duration {
	d := p.intervals.NextBackOff()
	return min(max(retryAfter, 0), maxRetryAfter) + rand.N(d+1)
}

// slow makes the intervals the longest there are: waiting helps nobody soon.
func (p *pace) slow() {
	for p.intervals.NextBackOff() < p.intervals.MaxInterval {
	}
}

func (p *pace) reset() { p.intervals.Reset() }
