package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"tidemark/agent/config"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// quarantine sets a batch aside that the archive refuses for good, and records that.
func (p *pipeline) quarantine(lane seal.Lane, seq uint64, reason string) error {
	q, err := p.spool.Quarantine(lane, seq, reason)
	if err != nil {
		return err
	}
	e := p.event(record.EventQuarantined, record.SeverityDegraded, p.now())
	e.Detail = map[string]string{
		"lane": q.Lane, "seq": strconv.FormatUint(q.Seq, 10), "records": strconv.Itoa(q.Records), "reason": q.Reason,
	}
	p.vitals.occurred(state.BatchSetAside, "lane", q.Lane, "seq", strconv.FormatUint(q.Seq, 10), "reason", q.Reason)
	return p.append(context.Background(), []*record.Record{e}, spool.Cursor{Key: "agent/quarantined", Value: []byte(q.File)})
}

// judgeQuarantine names what was set aside.
func (s *Status) judgeQuarantine(c *config.Config) {
	all, err := spool.ListQuarantined(filepath.Join(c.StateDir, spoolFile))
	if err != nil || len(all) == 0 {
		return
	}
	records := 0
	for _, q := range all {
		records += q.Records
	}
	s.reason(Reason{
		ID: state.Quarantined, What: fmt.Sprintf("the archive refuses %d batches with %d records for good, which are set aside", len(all), records), Since: all[0].At,
	})
}
