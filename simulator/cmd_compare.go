package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidemark/simulator/oracle"
)

func compareCommand() *cobra.Command {
	var oraclePath, recordsPath, lateStart, since string
	var o oracle.CompareOptions
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Compare an oracle with an archive's records; exit 1 on any fault",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.LateStart, err = optionalTime(lateStart); err != nil {
				return fmt.Errorf("parse --late-start: %w", err)
			}
			if o.Since, err = optionalTime(since); err != nil {
				return fmt.Errorf("parse --since: %w", err)
			}
			truth, err := os.Open(oraclePath)
			if err != nil {
				return fmt.Errorf("read oracle: %w", err)
			}
			defer truth.Close()
			records := os.Stdin
			if recordsPath != "-" {
				if records, err = os.Open(recordsPath); err != nil {
					return fmt.Errorf("read records: %w", err)
				}
				defer records.Close()
			}
			rep, err := oracle.Compare(truth, records, o)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(rep)
			} else {
				rep.Summary(cmd.OutOrStdout(), limit)
			}
			if err == nil && len(rep.Faults) > 0 {
				return errFaults
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&oraclePath, "oracle", "", "the oracle (required)")
	f.StringVar(&recordsPath, "records", "", "the archive's records as NDJSON; - is standard input (required)")
	f.StringVar(&lateStart, "late-start", "", "capture began at this time (RFC 3339): what was recalled before may be there as a notice only")
	f.DurationVar(&o.Grace, "grace", 0, "so may what was recalled this soon after it was written")
	f.StringVar(&o.Account, "account", "", "judge this account's records only")
	f.StringVar(&since, "since", "", "do not judge messages sent before this time (RFC 3339)")
	f.BoolVar(&asJSON, "json", false, "print the whole report as JSON")
	f.BoolVar(&o.Verbose, "verbose", false, "print message text with faults")
	f.IntVar(&limit, "limit", 50, "print so many faults")
	cmd.MarkFlagRequired("oracle")
	cmd.MarkFlagRequired("records")
	return cmd
}

func optionalTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s)
}
