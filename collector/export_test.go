package collector

import "tidemark/record"

// TakeDecoded has the collector hand over each record as it is decoded instead of
// writing it as JSON, so that a benchmark can tell the two apart.
func (c *Collector) TakeDecoded(fn func(*record.Record)) { c.decoded = fn }
