package collector

import (
	"context"
	"time"
)

// Pace says when work that can wait may go on: the reading of history, and of the files
// of messages. New messages never ask. Implementations are safe for concurrent use.
type Pace interface {
	// Owed is how long such work is to wait, 0 when it may go on.
	Owed() time.Duration
}

type unpaced struct{}

func (unpaced) Owed() time.Duration { return 0 }

// wait waits as long as the pace wants it.
func wait(ctx context.Context, p Pace) error {
	for {
		owed := p.Owed()
		if owed <= 0 {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(owed):
		}
	}
}
