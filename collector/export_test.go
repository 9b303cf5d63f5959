package collector

import (
	"time"

	"tidemark/record"
)

// TakeDecoded has the collector hand over each record as it is decoded instead of
// writing it as JSON, so that a benchmark can tell the two apart.
func (c *Collector) TakeDecoded(fn func(*record.Record)) { c.decoded = fn }

// WaitForFiles sets how long a single pass waits for files that are being written.
func (c *Collector) WaitForFiles(d time.Duration) { c.attach.wait = d }
