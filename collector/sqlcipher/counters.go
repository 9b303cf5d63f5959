package sqlcipher

import (
	"io"
	"sync/atomic"
)

type counters struct {
	views, moved, mainBytes, walBytes, pages, macFailures atomic.Uint64
}

func (c *counters) load() Counters {
	return Counters{
		Views:       c.views.Load(),
		Moved:       c.moved.Load(),
		MainBytes:   c.mainBytes.Load(),
		WALBytes:    c.walBytes.Load(),
		Pages:       c.pages.Load(),
		MACFailures: c.macFailures.Load(),
	}
}

// counting adds what is read to a counter.
type counting struct {
	r io.ReaderAt
	n *atomic.Uint64
}

func (c counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n.Add(uint64(n))
	return n, err
}
