package console

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/archive/fleet"
	"tidemark/archive/heartbeats"
	"tidemark/internal/state"
	"tidemark/seal/protocol"
)

// listPage is what fleet.html shows.
type listPage struct {
	Archive  string
	At       time.Time
	View     fleet.View
	Counts   []fleet.Count
	Devices  []fleet.Device
	All      int // devices that there are
	Picked   int // that the view has
	Page     int // from 1
	Pages    int
	Systems  []string
	Versions []string

	query url.Values
}

// devicePage is what device.html shows.
type devicePage struct {
	Archive string
	At      time.Time
	Device  fleet.Device
	Changes []heartbeats.Change
}

// column is a column's heading, which sorts by it.
type column struct{ Title, Link, Mark string }

// Columns are the headings; the one that is sorted by turns the order around.
func (p *listPage) Columns() []column {
	titles := map[string]string{
		"health": "Health", "host": "Laptop", "user": "User", "os": "System", "version": "Version", "seen": "Last seen",
		"accounts": "Accounts", "backlog": "Waiting", "oldest": "Oldest", "skew": "Clock", "gaps": "Gaps",
	}
	var out []column
	for _, name := range fleet.Columns {
		c := column{Title: titles[name], Link: p.link("sort", name, "down", "", "page", "")}
		if p.View.Sort == name {
			c.Mark = "▲"
			if p.View.Down {
				c.Mark = "▼"
			} else {
				c.Link = p.link("sort", name, "down", "1", "page", "")
			}
		}
		out = append(out, c)
	}
	return out
}

// link is this page with parameters changed; an empty value takes one away.
func (p *listPage) link(pairs ...string) string {
	q := url.Values{}
	for name, values := range p.query {
		q[name] = slices.Clone(values)
	}
	for i := 0; i < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return PathFleet
	}
	return PathFleet + "?" + q.Encode()
}

// HealthLink shows those of a health; again, it shows all.
func (p *listPage) HealthLink(health string) string {
	if p.View.Health == health {
		health = ""
	}
	return p.link("health", health, "page", "")
}

// Previous and Next are links, "" at an end.
func (p *listPage) Previous() string { return p.neighbour(p.Page - 1) }
func (p *listPage) Next() string     { return p.neighbour(p.Page + 1) }

func (p *listPage) neighbour(n int) string {
	if n < 1 || n > p.Pages {
		return ""
	}
	return p.link("page", strconv.Itoa(n))
}

// JSONLink is the same view as JSON.
func (p *listPage) JSONLink() string {
	return strings.Replace(p.link("page", ""), PathFleet, PathJSON, 1)
}

// valuesOf lists the different values of the devices, in order.
func valuesOf(devices []fleet.Device, of func(*fleet.Device) string) []string {
	seen := map[string]bool{}
	for i := range devices {
		seen[of(&devices[i])] = true
	}
	delete(seen, "")
	out := make([]string, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

func join(list []string) string { return strings.Join(list, ", ") }

// meaning and remedy explain a named state; "" for one of another version's.
func meaning(s protocol.HeartbeatState) string {
	e, _ := state.Get(state.ID(s.ID))
	return words(e.Meaning, s)
}

func remedy(s protocol.HeartbeatState) string {
	e, _ := state.Get(state.ID(s.ID))
	return words(e.Remedy, s)
}

// words leave what only the device knows, such as a path, unsaid.
func words(t state.Text, s protocol.HeartbeatState) string {
	return unsaid.ReplaceAllString(state.Fill(t.EN, "account", s.Account), "…")
}

var unsaid = regexp.MustCompile(`\{[a-z_]+\}`)

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// ago is how long before now t was, in one unit; "" for a time that is none.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(now.Sub(t))
}

// span is a time in one unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// skewText leaves out what an exchange over a network can't tell.
func skewText(d time.Duration) string {
	if d.Abs() < 5*time.Second {
		return ""
	}
	text := span(d.Abs())
	if d < 0 {
		return text + " behind"
	}
	return text + " ahead"
}

func bytesText(n int64) string {
	const unit = 1 << 10
	switch {
	case n == 0:
		return ""
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.0f KiB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/unit/unit/unit)
}
