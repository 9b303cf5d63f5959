package demo

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// follower reads a file that grows. At its end it waits for more; once ctx has ended
// it reads what is left and then reports io.EOF.
type follower struct {
	ctx context.Context
	f   *os.File
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		ended := f.ctx.Err() != nil // asked before reading, or the last lines could be missed
		n, err := f.f.Read(p)
		if n > 0 || ended || !errors.Is(err, io.EOF) {
			return n, err
		}
		pause(f.ctx, 50*time.Millisecond)
	}
}
