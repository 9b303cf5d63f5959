package collector

import (
	"strconv"

	"tidemark/record"
)

// maxGaps is how many ranges of one table a batch names one by one.
const maxGaps = 8

// gaps records the ids beyond a table's cursor that no row has. Ids are not given
// twice, so rows had them and were gone before they were read. What went before capture
// began is one event for all tables of a batch, with their number alone.
func (r *reader) gaps(change *tableChange) {
	ranges := change.missing
	if len(ranges) == 0 {
		return
	}
	if r.first {
		r.b.before.tables++
		for _, ids := range ranges {
			r.b.before.rows += ids.to - ids.from + 1
		}
		return
	}
	change.lacks = r.tell(change.table, ranges)
}

// tell records ranges of ids that no row has, and returns what is to be looked at again.
func (r *reader) tell(t *table, ranges []idRange) (lacks []lack) {
	if len(ranges) > maxGaps {
		rows := int64(0)
		for _, ids := range ranges {
			rows += ids.to - ids.from + 1
		}
		event := r.gap(t, idRange{ranges[0].from, ranges[len(ranges)-1].to}, rows)
		for _, ids := range ranges {
			lacks = append(lacks, lack{ids, event, r.b.at.Unix()})
		}
		return lacks
	}
	for _, ids := range ranges {
		lacks = append(lacks, lack{ids, r.gap(t, ids, ids.to-ids.from+1), r.b.at.Unix()})
	}
	return lacks
}

func (r *reader) gap(t *table, ids idRange, rows int64) (event string) {
	e := r.s.a.c.event(record.EventGap, record.SeverityDegraded)
	e.Account, e.Client, e.Conversation = r.account, r.client, r.s.conversation(t)
	e.Detail = map[string]string{
		"file": r.s.file, "table": t.Name, "cause": "rows gone before they were read",
		"from": strconv.FormatInt(ids.from, 10), "to": strconv.FormatInt(ids.to, 10), "rows": strconv.FormatInt(rows, 10),
	}
	r.append(e)
	return e.ID
}

// before is what a batch found missing of the time before capture began.
type before struct{ rows, tables int64 }

// tellBefore makes it an event.
func (r *reader) tellBefore() {
	if r.b.before.rows == 0 {
		return
	}
	e := r.s.a.c.event(record.EventGap, record.SeverityInfo)
	e.Account, e.Client = r.account, r.client
	e.Detail = map[string]string{
		"file": r.s.file, "cause": "rows gone before capture began",
		"rows": strconv.FormatInt(r.b.before.rows, 10), "tables": strconv.FormatInt(r.b.before.tables, 10),
	}
	r.append(e)
	r.b.before = before{}
}
