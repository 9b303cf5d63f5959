package record

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// DayCount is what a counts event says of one day of one conversation in one database
// of the client: of all its rows that the client's clock puts on that day in UTC. A
// later event about the same device, database, conversation and day takes the place of
// an earlier one.
//
// A captured row that the client has deleted since is sealed and not seen. A row that
// is seen and neither sealed nor skipped is missing.
type DayCount struct {
	Date       string // 2026-11-23, or Undated
	Seen       int64  // rows that stand in the database, by a count of its own; less than 0 when it could not be counted
	Sealed     int64  // message records that were made of rows of that day
	Skipped    int64  // rows passed over because they are older than capture.history asks for, or were met out of scope
	OutOfScope int64  // rows of conversations that are out of scope; the event names none of them
}

// Undated is the date of rows that have none.
const Undated = "undated"

// Missing is how many rows the client has that were neither captured nor left out.
func (d DayCount) Missing() int64 { return max(0, d.Seen-d.Sealed-d.Skipped-d.OutOfScope) }

// FormatDays is the form of days in a counts event's detail:
// "2026-11-23 seen 12 sealed 12; 2026-11-24 seen unknown sealed 3 skipped 1". Numbers
// that are zero are left out.
func FormatDays(days []DayCount) string {
	days = slices.SortedFunc(slices.Values(days), func(a, b DayCount) int { return cmp.Compare(a.Date, b.Date) })
	var b strings.Builder
	for i, d := range days {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(d.Date)
		for _, f := range d.fields() {
			switch n := *f.n; {
			case n > 0:
				fmt.Fprintf(&b, " %s %d", f.name, n)
			case n < 0:
				fmt.Fprintf(&b, " %s unknown", f.name)
			}
		}
	}
	return b.String()
}

type dayField struct {
	name string
	n    *int64
}

func (d *DayCount) fields() []dayField {
	return []dayField{{"seen", &d.Seen}, {"sealed", &d.Sealed}, {"skipped", &d.Skipped}, {"out_of_scope", &d.OutOfScope}}
}

// ParseDays reads what FormatDays wrote. Names that it does not know are passed over,
// so that a newer agent can add some. The error wraps ErrInvalid.
func ParseDays(s string) ([]DayCount, error) {
	var out []DayCount
	for part := range strings.SplitSeq(s, "; ") {
		words := strings.Split(part, " ")
		if len(words)%2 != 1 || words[0] == "" {
			return nil, fmt.Errorf("%w: counts are not of their form", ErrInvalid)
		}
		d := DayCount{Date: words[0]}
		for i := 1; i < len(words); i += 2 {
			n, err := strconv.ParseInt(words[i+1], 10, 64)
			if words[i+1] == "unknown" {
				n, err = -1, nil
			} else if n < 0 {
				err = ErrInvalid
			}
			if err != nil {
				return nil, fmt.Errorf("%w: a count is no number", ErrInvalid)
			}
			for _, f := range d.fields() {
				if f.name == words[i] {
					*f.n = n
				}
			}
		}
		out = append(out, d)
	}
	return out, nil
}
