package demo

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// view is what there is to see at one moment.
type view struct {
	elapsed, limit    time.Duration
	rate              float64
	written, recalled int
	captured          int
	archived, kept    int
	p50, p95          time.Duration
	delays            int // how many p50 and p95 are of
	waiting           int
	waitingBytes      int64
	agent, account    string
	delivery          string
	logEntries        string
	archiveBytes      int64
	last              []archiveRecord
	recall            *recall
	trouble           string
	look              look
}

// look is where to look oneself.
type look struct{ bin, dir string }

// commands name the demo's folder, or a variable that holds it where they would not
// fit on a line.
func (l look) commands(width int) []string {
	in := func(dir string) []string {
		archive := filepath.Join(l.bin, "tidemark-archive")
		return []string{
			archive + " records --dir " + dir + "/archive | head",
			archive + " devices --dir " + dir + "/archive",
			archive + " verify --dir " + dir + "/archive",
			filepath.Join(l.bin, "tidemark") + " status --config " + dir + "/tidemark.yaml",
		}
	}
	out := in(l.dir)
	if slices.ContainsFunc(out, func(c string) bool { return columns(c) > width }) {
		out = append([]string{"D=" + l.dir}, in("$D")...)
	}
	return out
}

func (d *demo) view() view {
	v := view{elapsed: time.Since(d.begun), limit: d.For, rate: d.Rate, look: look{d.Bin, d.site.dir},
		logEntries: d.site.logEntries(), archiveBytes: d.site.archiveBytes()}
	t := d.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	v.written, v.recalled, v.archived, v.kept = t.written, t.recalled, t.found, t.kept
	recent := t.delays[max(0, len(t.delays)-recentDelays):]
	v.delays = len(recent)
	v.p50, v.p95 = quantiles(recent)
	v.last, v.recall = slices.Clone(t.last), t.shown
	v.agent, v.account, v.delivery = "not answering", "not known", "not known"
	if a := t.agent; a.Running {
		v.agent = a.Overall
		if a.Delivery != nil {
			v.delivery = a.Delivery.State
		}
		if a.Capture != nil {
			for _, account := range a.Capture.Accounts {
				if account.Account == owner {
					v.captured, v.account = account.Messages, account.State
				}
			}
		}
		if a.Spool != nil {
			v.waitingBytes = a.Spool.Bytes
			for _, lane := range a.Spool.Lanes {
				v.waiting += lane.Records
			}
		}
	}
	if t.err != nil {
		v.trouble = t.err.Error()
	}
	return v
}

// style is how a span of a line looks.
type style int

const (
	plain style = iota
	strong
	faint
	good
	bad
)

type span struct {
	style style
	text  string
}

// line is one line of the screen; what does not fit is cut.
type line []span

func text(st style, format string, args ...any) line {
	return line{{st, fmt.Sprintf(format, args...)}}
}

const whatIsReal = "Only the WeChat client and its people are simulated; all else here is real."

// lines lays the view out for a screen, the most telling first where it is small.
func (v *view) lines(width, height int) []line {
	width = max(width, 20)
	head := []line{v.title(width), text(faint, whatIsReal)}
	path := v.path(width)
	kept := v.recallLines(width)
	foot := []line{text(strong, "LOOK FOR YOURSELF, IN ANOTHER TERMINAL")}
	for _, c := range v.look.commands(width - 2) {
		foot = append(foot, text(plain, "  %s", c))
	}
	end := text(faint, "Ctrl-C stops everything and leaves nothing running; the records are then compared.")
	if columns(end[0].text) > width {
		end = text(faint, "Ctrl-C ends it, compares all records, and leaves nothing running.")
	}
	foot = append(foot, end)

	parts := [][]line{head, path, nil, kept, foot}
	fixed := 0
	for _, p := range parts {
		fixed += len(p)
	}
	spare := height - fixed - 1 // the messages' heading is one line
	messages := min(max(spare-1, 3), 6)
	gaps := spare - messages // lines left for blank ones
	if gaps >= len(parts) {  // a tall screen: more messages
		messages = min(messages+gaps-(len(parts)-1), recentMessages/2)
	}
	parts[2] = v.messageLines(width, messages)
	// Blank lines go where they help most.
	blank := map[int]bool{}
	for _, before := range []int{4, 2, 1, 3} {
		if gaps > 0 {
			blank[before], gaps = true, gaps-1
		}
	}
	var out []line
	for i, p := range parts {
		if blank[i] {
			out = append(out, nil)
		}
		out = append(out, p...)
	}
	if len(out) > height { // too small for all: the way out stays
		out = append(out[:max(0, height-1)], end)
	}
	return out
}

func (v *view) title(width int) line {
	clock := clockText(v.elapsed)
	if v.limit > 0 {
		clock += " of " + clockText(v.limit)
	}
	name, what := "Tidemark demo", ": a chatting WeChat account, captured into an archive"
	return line{{strong, name}, {plain, pad(what, max(0, width-len(name)-len(clock)-1))}, {plain, " " + clock}}
}

// path is the way of a message with what is where now.
func (v *view) path(width int) []line {
	agent, delivery, account := good, plain, plain
	if v.agent != "healthy" {
		agent = bad
	}
	if v.account != "current" && v.account != "catching up" {
		account = bad
	}
	if v.delivery != "idle" && v.delivery != "delivering" {
		delivery = bad
	}
	rows := [][4]span{
		{{strong, "CLIENT"}, {strong, "AGENT"}, {strong, "SPOOL"}, {strong, "ARCHIVE"}},
		{{plain, fmt.Sprintf("%d written", v.written)}, {plain, fmt.Sprintf("%d captured", v.captured)},
			{plain, fmt.Sprintf("%d waiting", v.waiting)}, {plain, fmt.Sprintf("%d archived", v.archived)}},
		{{plain, fmt.Sprintf("%d recalled", v.recalled)}, {agent, v.agent},
			{plain, bytesText(v.waitingBytes)}, {plain, fmt.Sprintf("%d recalls kept", v.kept)}},
		{{faint, fmt.Sprintf("%g a second", v.rate)}, {account, "account " + v.account},
			{delivery, "delivery " + v.delivery}, {plain, "log: " + v.logEntries + " entries"}},
	}
	cell := max((width-2)/4, 1)
	const arrow = " -> "
	var out []line
	for i, r := range rows {
		l := line{{plain, "  "}}
		for c, s := range r {
			sep := ""
			if c < len(r)-1 {
				sep = strings.Repeat(" ", len(arrow))
				if i == 1 {
					sep = arrow
				}
			}
			l = append(l, span{s.style, pad(s.text, cell-len(sep))}, span{faint, sep})
		}
		out = append(out, l)
	}
	delay := "no message has come through yet"
	if v.delays > 0 {
		delay = fmt.Sprintf("p50 %s, p95 %s (last %d)", delayText(v.p50), delayText(v.p95), v.delays)
	}
	out = append(out, line{{strong, "Commit to archive: "}, {plain, delay}, {faint, "; archive " + bytesText(v.archiveBytes) + " on disk"}})
	if v.trouble != "" {
		out = append(out, text(bad, "The last look went wrong: %s", printable(v.trouble)))
	}
	return out
}

// messageLines are the newest n messages in the archive, newest last.
func (v *view) messageLines(width, n int) []line {
	out := []line{text(strong, "LAST MESSAGES IN THE ARCHIVE")}
	where, who := max(10, width/5), max(8, width/7)
	for _, r := range v.last[max(0, len(v.last)-n):] {
		out = append(out, line{
			{faint, "  " + r.SentAt.Local().Format(time.TimeOnly) + "  "},
			{plain, pad(printable(r.Conversation.label()), where) + "  "},
			{plain, pad(printable(r.Sender.label()), who) + "  "},
			{plain, printable(r.says())},
		})
	}
	for len(out) < n+1 {
		out = append(out, nil)
	}
	return out
}

// recallLines put side by side what a recall leaves at the client and in the archive.
func (v *view) recallLines(width int) []line {
	out := []line{text(strong, "RECALLED BY ITS SENDER, KEPT IN THE ARCHIVE")}
	if v.recall == nil {
		return append(out, text(faint, "  one message in twenty is recalled; the first comes within a minute"), nil, nil)
	}
	r := v.recall
	ids := line{{faint, "  recorded as    "}, {faint, "message " + r.original.ID + ", revision " + r.revision.ID}}
	if columns(ids[1].text)+17 > width {
		ids[1].text = "revision " + r.revision.ID
	}
	return append(out,
		line{{faint, "  client now     "}, {bad, printable(r.now)}, {faint, "   (the notice; the text is gone)"}},
		line{{faint, "  archive still  "}, {good, printable(r.original.Sender.label() + ": " + r.original.says())}},
		ids)
}

func clockText(d time.Duration) string {
	s := int(max(d, 0).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func delayText(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
