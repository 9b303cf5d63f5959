package agent

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tidemark/collector"
	"tidemark/uploader"
)

// WriteText writes the status for a person: what is wrong first, one screen.
func (s *Status) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", headline(s))
	for i, r := range s.Reasons {
		fmt.Fprintf(&b, "\n%3d. %s: %s\n", i+1, strings.ToUpper(string(r.Health)), r.What)
		if !r.Since.IsZero() {
			fmt.Fprintf(&b, "     since %s\n", when(r.Since, s.At))
		}
		if r.Do != "" {
			fmt.Fprintf(&b, "     to do: %s\n", r.Do)
		}
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	if s.Running {
		fmt.Fprintf(t, "agent\ttidemark %s, since %s\n", s.Version, when(s.Started, s.At))
	} else {
		fmt.Fprintf(t, "agent\tnot running\n")
	}
	if s.Device != "" {
		fmt.Fprintf(t, "device\t%s\n", s.Device)
	}
	if s.Archive != nil {
		fmt.Fprintf(t, "archive\t%s (%s)\n", s.Archive.URL, s.Archive.Name)
	}
	if s.Delivery != nil {
		fmt.Fprintf(t, "delivery\t%s\n", deliveryLine(s))
	}
	if s.Spool != nil {
		batches, records := 0, 0
		for _, l := range s.Spool.Lanes {
			batches += l.Batches
			records += l.Records
		}
		fmt.Fprintf(t, "waiting\t%d records in %d batches, %s of %s\n", records, batches, size(s.Spool.Bytes), size(s.Spool.MaxBytes))
	}
	fmt.Fprintf(t, "state\t%s\n", s.StateDir)
	if s.Secrets != "" {
		fmt.Fprintf(t, "device key\tin %s\n", secretsPlace(s.Secrets))
	}
	t.Flush()
	if s.Capture != nil && len(s.Capture.Accounts) > 0 {
		b.WriteByte('\n')
		fmt.Fprintf(t, "account\tstate\tsince\tlast read\tmessages\trevisions\tfiles awaited\n")
		for _, a := range s.Capture.Accounts {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\n", a.Account, a.State, when(a.Since, s.At), when(a.LastRead, s.At), a.Messages, a.Revisions, a.Files)
		}
		t.Flush()
		for _, a := range s.Capture.Accounts {
			b.WriteString(typesText("types of messages that this version does not know, of "+a.Account+": ", a.Unknown))
			if len(a.Unknown) > 0 {
				b.WriteByte('\n')
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// secretsPlace says what keeps the device's key.
func secretsPlace(vault string) string {
	if vault == vaultFile {
		return "a file that only the agent's user reads"
	}
	return "the state folder, sealed with the " + vault
}

func headline(s *Status) string {
	switch s.Overall {
	case Healthy:
		return "Healthy: everything in scope is captured."
	case Degraded:
		return "Degraded: capture goes on, but not everything is as it should be."
	default:
		return "Blind: something in scope is not captured at all."
	}
}

func deliveryLine(s *Status) string {
	d := s.Delivery
	line := string(d.State)
	if d.State == uploader.StateIdle {
		line = "nothing waits"
	}
	if !d.LastReceipt.IsZero() {
		line += ", last receipt " + when(d.LastReceipt, s.At)
	}
	for _, l := range d.Lanes {
		if l.State == d.State && !l.NextRetry.IsZero() {
			line += fmt.Sprintf(", attempt %d, next in %s", l.Attempt, age(max(l.NextRetry.Sub(s.At), 0)))
			break
		}
	}
	return line
}

// when gives a time with its age, in this device's time zone.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	local := t.Local()
	layout := "15:04:05"
	if now.Sub(t) > 20*time.Hour {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("%s (%s ago)", local.Format(layout), age(now.Sub(t)))
}

func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func size(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// WriteSummary writes what a single pass came to, in a few lines.
func (s *Status) WriteSummary(w io.Writer) error {
	var messages, revisions, delivered int64
	read, blind := 0, 0
	if s.Capture != nil {
		for _, a := range s.Capture.Accounts {
			messages += a.Messages
			revisions += a.Revisions
			switch {
			case a.State == collector.StateExcluded:
			case a.Severity == string(Blind):
				blind++
			default:
				read++
			}
		}
	}
	if s.Delivery != nil {
		for _, l := range s.Delivery.Lanes {
			delivered += l.Delivered
		}
	}
	waiting := 0
	if s.Spool != nil {
		for _, l := range s.Spool.Lanes {
			waiting += l.Batches
		}
	}
	_, err := fmt.Fprintf(w, "accounts   %d read, %d blind\ncaptured   %d messages, %d revisions\ndelivered  %d batches acknowledged, %d waiting\n",
		read, blind, messages, revisions, delivered, waiting)
	for _, r := range s.Reasons {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-10s %s\n", r.Health, r.What)
		}
	}
	return err
}
