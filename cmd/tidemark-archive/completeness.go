package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive"
)

func completenessCommand() *cobra.Command {
	var account, since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "completeness --dir DIR [--account A] [--since D] [--json]",
		Short: "Hold what devices counted against what arrived, by conversation and day",
		Long: "For each conversation and day, devices count the rows in WeChat's databases, by a query of\n" +
			"its own, and the records they sealed of them, and seal the result as a record. This compares\n" +
			"the newest counts with the messages that arrived, prints what is missing, and exits 1 when\n" +
			"anything is: undelivered was sealed and is not here, uncaptured stood in the client's\n" +
			"database and was never sealed. Days are in UTC. Works while serve runs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			from, err := parseTime("since", since)
			if err != nil {
				return err
			}
			c, err := archive.CheckCompleteness(cmd.Context(), f, account, from.UTC().Truncate(24*time.Hour))
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), c)
			} else {
				err = printCompleteness(cmd.OutOrStdout(), c)
			}
			if err == nil && !c.Complete {
				err = &faultsError{len(c.Gaps) + c.Unreadable}
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&account, "account", "", "only this account's")
	fl.StringVar(&since, "since", "", "only days from then on: a date in UTC")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return withDir(cmd)
}

func printCompleteness(w io.Writer, c *archive.Completeness) error {
	if len(c.Gaps) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ACCOUNT\tCONVERSATION\tDATE\tDEVICE\tSEALED\tHELD\tUNDELIVERED\tUNCAPTURED")
		for _, g := range c.Gaps {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", printable(g.Account), printable(g.Conversation), printable(g.Date), g.Device,
				g.Sealed, g.Held, g.Undelivered, g.Uncaptured)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	verdict := "nothing that was counted is missing"
	if !c.Complete {
		verdict = fmt.Sprintf("%d days have something missing", len(c.Gaps))
	}
	if c.Days == 0 {
		verdict = "no device has counted anything yet"
	}
	_, err := fmt.Fprintf(w, "%d conversations, %d days, %d of %d sealed messages held: %s%s\n",
		c.Conversations, c.Days, c.Held, c.Sealed, verdict, countAsides(c))
	return err
}

func countAsides(c *archive.Completeness) string {
	out := ""
	if c.Uncounted > 0 {
		out += fmt.Sprintf("; %d days with messages are not counted yet", c.Uncounted)
	}
	if c.OutOfScope > 0 {
		out += fmt.Sprintf("; %d messages were out of scope", c.OutOfScope)
	}
	if c.Unreadable > 0 {
		out += fmt.Sprintf("; %d counts could not be read", c.Unreadable)
	}
	if !c.Until.IsZero() {
		out += "; last counted " + c.Until.UTC().Format(time.DateTime)
	}
	return out
}
