package fleet

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"tidemark/archive/heartbeats"
	"tidemark/seal/protocol"
)

// Healths are those of a Device, worst first: the order in which somebody who has to act
// wants them.
var Healths = []string{protocol.Blind, heartbeats.Silent, protocol.Degraded, heartbeats.Unreported, heartbeats.Stopped, protocol.Healthy}

// Columns are what devices can be sorted by.
var Columns = []string{"health", "host", "user", "os", "version", "seen", "accounts", "backlog", "oldest", "skew", "gaps"}

// View picks and orders devices. The zero View is all that are not revoked, worst first.
type View struct {
	Health  string // one of Healths; "" for all
	OS      string
	Version string
	Text    string // a part of a name, id, serial number, user, account or reason, in any case
	Revoked bool   // those that are revoked, in place of those that are not
	Sort    string // one of Columns; "" is health
	Down    bool   // the other way around
}

// Of gives the devices of the view; the list itself stays as it is.
func (v View) Of(devices []Device) []Device {
	text := strings.ToLower(v.Text)
	var out []Device
	for _, d := range devices {
		switch {
		case d.Revoked.IsZero() == v.Revoked,
			v.Health != "" && v.Health != d.Health,
			v.OS != "" && v.OS != d.OS,
			v.Version != "" && v.Version != d.Version,
			text != "" && !d.mentions(text):
		default:
			out = append(out, d)
		}
	}
	by := order(cmp.Or(v.Sort, Columns[0]))
	slices.SortStableFunc(out, func(a, b Device) int {
		c := by(&a, &b)
		if v.Down {
			c = -c
		}
		return cmp.Or(c, strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.ID, b.ID))
	})
	return out
}

func (d *Device) mentions(text string) bool {
	words := []string{d.ID, d.Hostname, d.Why}
	if r := d.Report; r != nil {
		words = append(words, r.Machine.Serial, r.Machine.Directory)
		words = append(words, r.Machine.Users...)
		for _, a := range r.Accounts {
			words = append(words, a.ID, a.Name)
		}
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), text) })
}

// order compares by a column: ascending, but the worst health and the longest wait first.
func order(column string) func(a, b *Device) int {
	number := func(of func(*Device) int64) func(a, b *Device) int {
		return func(a, b *Device) int { return cmp.Compare(of(b), of(a)) } // the most first
	}
	word := func(of func(*Device) string) func(a, b *Device) int {
		return func(a, b *Device) int { return strings.Compare(strings.ToLower(of(a)), strings.ToLower(of(b))) }
	}
	switch column {
	case "host":
		return word(func(d *Device) string { return d.Hostname })
	case "user":
		return word(func(d *Device) string { return strings.Join(d.Users(), " ") })
	case "os":
		return word(func(d *Device) string { return d.OS })
	case "version":
		return word(func(d *Device) string { return d.Version })
	case "seen":
		return func(a, b *Device) int { return a.LastSeen.Compare(b.LastSeen) }
	case "accounts":
		return number(func(d *Device) int64 { return int64(d.Accounts()) })
	case "backlog":
		return number(func(d *Device) int64 { return d.report().Backlog.Bytes })
	case "oldest":
		return number(func(d *Device) int64 {
			if oldest := d.report().Backlog.Oldest; !oldest.IsZero() {
				return -oldest.Add(-d.Skew).Unix()
			}
			return math.MinInt64
		})
	case "skew":
		return number(func(d *Device) int64 { return int64(d.Skew.Abs()) })
	case "gaps":
		return number(func(d *Device) int64 { return d.report().Gaps.Count })
	}
	return func(a, b *Device) int {
		return cmp.Compare(slices.Index(Healths, a.Health), slices.Index(Healths, b.Health))
	}
}

// report is never nil.
func (d *Device) report() *Report {
	if d.Report == nil {
		return new(Report)
	}
	return d.Report
}

// Waited is how long the oldest of what waits on the device has waited as of now, by the
// archive's clock; 0 when nothing does.
func (d *Device) Waited(now time.Time) time.Duration {
	oldest := d.report().Backlog.Oldest
	if oldest.IsZero() {
		return 0
	}
	return max(now.Sub(oldest.Add(-d.Skew)), 0)
}

// Users are the users of the machine whose WeChat folders were found.
func (d *Device) Users() []string { return d.report().Machine.Users }

// Accounts counts the WeChat accounts in scope.
func (d *Device) Accounts() (n int) {
	for _, a := range d.report().Accounts {
		if a.InScope {
			n++
		}
	}
	return n
}

// Count is how many devices that are not revoked have a health.
type Count struct {
	Health string `json:"health"`
	N      int    `json:"n"`
}

// Counts counts the devices that are not revoked by their health, in the order of Healths.
func Counts(devices []Device) []Count {
	out := make([]Count, len(Healths))
	for i, h := range Healths {
		out[i].Health = h
		for _, d := range devices {
			if d.Revoked.IsZero() && d.Health == h {
				out[i].N++
			}
		}
	}
	return out
}
