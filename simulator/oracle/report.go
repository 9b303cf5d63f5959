package oracle

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// The kinds of fault.
const (
	Missing       = "missing"        // a message is in no record
	Doubled       = "doubled"        // a message, or its recall, is in two
	Different     = "different"      // a field is not what was committed
	Invented      = "invented"       // a record of what never happened
	OutOfOrder    = "out_of_order"   // sorted by order and local id, a message stands elsewhere
	OriginalLost  = "original_lost"  // only the notice of a recall was captured, without excuse
	RecallMissing = "recall_missing" // no revision says that the message was recalled
	Unlinked      = "unlinked"       // a revision, deletion or medium of a record that is not there

	DeletionMissing = "deletion_missing" // no record says that the message went away
	GapMissing      = "gap_missing"      // no event names the rows that nobody could read
	DriftMissing    = "drift_missing"    // no event says that the client is one nobody knows
)

// Fault is one thing wrong in the records. Want and Got are message content, and only
// there when asked for.
type Fault struct {
	Kind         string `json:"kind"`
	Conversation string `json:"conversation,omitempty"`
	File         string `json:"file,omitempty"`
	Table        string `json:"table,omitempty"`
	LocalID      string `json:"local_id,omitempty"`
	Record       string `json:"record,omitempty"`
	Field        string `json:"field,omitempty"`
	Want         string `json:"want,omitempty"`
	Got          string `json:"got,omitempty"`
}

// Report is the outcome of Compare.
type Report struct {
	Messages   int            `json:"messages"`        // committed, by the oracle
	Recalls    int            `json:"recalls"`         // of them
	Undecided  int            `json:"undecided"`       // changes of a writer that was killed and not started again
	Records    int            `json:"message_records"` // of these messages
	Revisions  int            `json:"revision_records"`
	LateNotice int            `json:"late_notices"` // recalled before they could be captured, as allowed
	Again      int            `json:"again"`        // records with the same id, of imported rows and files made anew
	LateGone   int            `json:"late_gone"`    // deleted before they could be captured, as allowed
	Deletions  int            `json:"deletions"`    // messages that went away
	Vanished   int            `json:"vanished"`     // ranges of rows that nobody could read
	Media      int            `json:"media"`        // files that were to be captured
	People     int            `json:"people"`       // contacts and rooms that changed
	Faults     []Fault        `json:"faults"`
	Counts     map[string]int `json:"fault_counts"`

	// Matrix says for each kind of message, and each thing that became of some of its
	// messages, of how many it was judged and how many of those have a fault.
	Matrix map[string]map[string]Cell `json:"matrix"`

	Delay *Delay `json:"delay,omitempty"` // from commit to capture
}

// Cell is one of the matrix.
type Cell struct {
	Judged int `json:"judged"`
	Faulty int `json:"faulty"`
}

// The columns of the matrix, besides the changes that an amended message names.
const (
	ColumnCaptured = "captured"
	ColumnFiles    = "files"
	ColumnServerID = "server_id"
	ColumnRecalled = "recalled"
	ColumnDeleted  = "deleted"
)

// matrix counts what was judged, by kind.
func (c *comparison) matrix() map[string]map[string]Cell {
	faulty := map[key]bool{}
	for _, f := range c.rep.Faults {
		faulty[key{f.Conversation, f.File, f.Table, f.LocalID}] = true
	}
	out := map[string]map[string]Cell{}
	for k, all := range c.truths {
		for _, t := range all {
			if t.undecided {
				continue
			}
			kind := cmp.Or(t.Kind, map[bool]string{true: "text", false: "open"}[t.Type == 1])
			if out[kind] == nil {
				out[kind] = map[string]Cell{}
			}
			count := func(column string, applies bool) {
				if !applies {
					return
				}
				cell := out[kind][column]
				cell.Judged++
				if faulty[k] {
					cell.Faulty++
				}
				out[kind][column] = cell
			}
			count(ColumnCaptured, true)
			count(ColumnFiles, slices.ContainsFunc(t.Media, func(m Media) bool { return m.Role != "" }))
			count(ColumnServerID, t.answered)
			count(ColumnRecalled, !t.recalled.IsZero())
			count(ColumnDeleted, !t.gone.IsZero())
			if t.amended != nil {
				count(t.amended.Change, true)
			}
		}
	}
	return out
}

// Delay is how long after its commit a message was captured, in milliseconds.
type Delay struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// report sums up. Faults are sorted, so that the same records give the same report.
func (c *comparison) report() {
	slices.SortFunc(c.rep.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Conversation, b.Conversation), cmp.Compare(a.File, b.File),
			compareOrder(a.LocalID, "", b.LocalID, ""), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Record, b.Record))
	})
	c.rep.Counts = map[string]int{}
	for _, f := range c.rep.Faults {
		c.rep.Counts[f.Kind]++
	}
	c.rep.Matrix = c.matrix()
	if n := len(c.delays); n > 0 {
		slices.Sort(c.delays)
		at := func(q float64) float64 { return float64(c.delays[int(q*float64(n-1))]) / 1e6 }
		c.rep.Delay = &Delay{Samples: n, P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1)}
	}
}

// Summary writes the report for people: one line of totals, one per fault up to limit.
func (r *Report) Summary(w io.Writer, limit int) {
	fmt.Fprintf(w, "%d messages, %d recalls; %d message records, %d revisions; %d faults\n",
		r.Messages, r.Recalls, r.Records, r.Revisions, len(r.Faults))
	if r.LateNotice > 0 {
		fmt.Fprintf(w, "%d recalled before they could be captured, as allowed\n", r.LateNotice)
	}
	if r.Deletions+r.Vanished+r.Media+r.People > 0 {
		fmt.Fprintf(w, "%d deleted, %d ranges vanished, %d files, %d contacts and rooms changed\n", r.Deletions, r.Vanished, r.Media, r.People)
	}
	if r.LateGone > 0 {
		fmt.Fprintf(w, "%d deleted before they could be captured, as allowed\n", r.LateGone)
	}
	if r.Undecided > 0 {
		fmt.Fprintf(w, "%d changes undecided: the writer was killed and has not been started again\n", r.Undecided)
	}
	if d := r.Delay; d != nil {
		fmt.Fprintf(w, "commit to capture: p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, max %.0f ms\n", d.P50, d.P95, d.P99, d.Max)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(w, "%s: %d\n", kind, r.Counts[kind])
	}
	for _, f := range r.Faults[:min(limit, len(r.Faults))] {
		fmt.Fprintf(w, "  %s conversation=%s file=%s table=%s local_id=%s record=%s field=%s", f.Kind, f.Conversation, f.File, f.Table, f.LocalID, f.Record, f.Field)
		if f.Want != "" || f.Got != "" {
			fmt.Fprintf(w, " want=%q got=%q", f.Want, f.Got)
		}
		fmt.Fprintln(w)
	}
	if n := len(r.Faults) - limit; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
}
