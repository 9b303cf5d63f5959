package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/collector"
	"tidemark/record"
)

func (a *app) mineCommand() *cobra.Command {
	var f noticeFlags
	cmd := &cobra.Command{
		Use:   "mine",
		Short: "What of yours is recorded, where to and for how long; without content",
		Long: `Shows the WeChat accounts of the user who asks, and for each whether it is recorded;
and the rules that are in force: what is left out, which files are kept, which archive
the records go to, for how long they are kept, and whom to ask.

It needs no administrator. What it tells comes from a file that the agent writes for
every user of the device from the configuration in force, without content, keys, or
the names of other users' accounts.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			language, err := f.chosen()
			if err != nil {
				return err
			}
			home, err := os.UserHomeDir()
			if err != nil {
				return err
			}
			public, _ := a.folders()
			mine, err := agent.MineOf(public, home, time.Now())
			if err != nil {
				return err
			}
			if f.asJSON {
				return writeJSON(cmd.OutOrStdout(), mine)
			}
			return writeMine(cmd.OutOrStdout(), mine, language)
		}),
	}
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&f.language, "language", "", "`LANGUAGE` of the text, en or zh (default: the system's)")
	return cmd
}

// writeMine writes it for a person: first the accounts, then the rules.
func writeMine(out io.Writer, mine *agent.Mine, language string) error {
	w, m := wordsOf(language), mine.Manifest
	stamp := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
	fmt.Fprintln(out, w.accounts)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if len(mine.Accounts) == 0 {
		fmt.Fprintf(t, "  %s\n", w.none)
	}
	for _, a := range mine.Accounts {
		state := w.captured
		switch {
		case !a.Known:
			state = w.unknown
		case m.Held:
			state = w.notNow
		case a.State == string(collector.StateExcluded):
			state = w.excluded
		case a.Severity == record.SeverityBlind:
			state = fmt.Sprintf("%s (%s)", w.notNow, a.State)
		}
		if a.Known && !a.LastRead.IsZero() {
			state += fmt.Sprintf(", %s %s", w.lastRead, stamp(a.LastRead))
		}
		fmt.Fprintf(t, "  %s\tWeChat %s\t%s\n", a.Name, a.Generation, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n\n", m.Notice.In(language))

	t = tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	runs := w.runs
	if !m.Running {
		runs = w.stopped
	}
	if m.Held {
		runs += "; " + w.held
	}
	fmt.Fprintf(t, "%s\t%s (%s %s)\n", w.recorder, runs, w.asOf, stamp(m.Made))
	fmt.Fprintf(t, "%s\t%s %s\n", w.into, m.Notice.Archive, m.ArchiveURL)
	scope := listText(m.Talks.Include)
	if len(m.Talks.Exclude) > 0 {
		scope += fmt.Sprintf("; %s %s", w.left, listText(m.Talks.Exclude))
	}
	fmt.Fprintf(t, "%s\t%s\n", w.scope, scope)
	fmt.Fprintf(t, "%s\t%s\n", w.history, m.History)
	files := w.noFiles
	if len(m.Files) > 0 {
		size := w.noLimit
		if m.MaxBytes > 0 {
			size = w.upTo + " " + strconv.FormatInt(m.MaxBytes>>20, 10) + " MiB"
		}
		files = listText(m.Files) + ", " + size
	}
	fmt.Fprintf(t, "%s\t%s\n", w.files, files)
	ack := w.notAcknowledged
	if mine.Acknowledged != nil {
		ack = w.acknowledged + " " + stamp(mine.Acknowledged.At)
	}
	fmt.Fprintf(t, "%s\t%s; %s\n", w.version, m.Notice.Version, ack)
	return t.Flush()
}
