package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/spool"
)

func (a *app) spoolQuarantine() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Batches that the archive refused for good, and why",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			path, _, err := a.spoolAt()
			if err != nil {
				return err
			}
			all, err := spool.ListQuarantined(path)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing is in quarantine")
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "LANE\tBATCH\tRECORDS\tSINCE\tREASON")
			for _, q := range all {
				fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\n", q.Lane, q.Seq, q.Records, q.At.Local().Format(time.DateTime), q.Reason)
			}
			return t.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) spoolReplay() *cobra.Command {
	return &cobra.Command{
		Use:   "replay",
		Short: "Send what is in quarantine again, when the archive takes it now; the agent must be stopped",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			path, o, err := a.spoolAt()
			if err != nil {
				return err
			}
			all, err := spool.ListQuarantined(path)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing is in quarantine")
				return err
			}
			s, err := spool.Open(path, o)
			if err != nil {
				return err
			}
			done := 0
			for _, q := range all {
				if err = s.Replay(q); err != nil {
					break
				}
				done++
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d batches wait again; the agent delivers them when it runs\n", done)
			return err
		}),
	}
}
