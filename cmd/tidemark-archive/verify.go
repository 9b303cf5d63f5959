package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive/audit"
)

// progressEvery is how often a long check says how far it is.
const progressEvery = 5 * time.Second

// faultsError ends verify when it found something: exit 1, without an error line.
type faultsError struct{ n int }

func (e *faultsError) Error() string { return fmt.Sprintf("%d faults", e.n) }

func verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --dir DIR [--json]",
		Short: "Re-check every batch, chain, signature, receipt, log entry and record",
		Long: "Re-checks everything that is stored, and exits 1 when anything is missing, altered or\n" +
			"out of order: one line for each fault. Works while serve runs. Compare the ARCHIVEKEY that\n" +
			"it prints, or one that it follows, with the one that agents were given. It checks what was delivered; whether devices\n" +
			"captured and delivered everything is for tidemark-archive completeness to say.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			next := time.Now().Add(progressEvery)
			o := audit.Options{Progress: func(r *audit.Report) {
				if now := time.Now(); now.After(next) {
					next = now.Add(progressEvery)
					fmt.Fprintf(cmd.ErrOrStderr(), "verified %d batches, %d records\n", r.Batches, r.Records)
				}
			}}
			if !asJSON {
				o.Fault = func(f audit.Fault) { fmt.Fprintf(cmd.OutOrStdout(), "fault: %s\n", printable(f.String())) }
			}
			r, err := audit.Verify(cmd.Context(), f, o)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d lanes, %d batches, %d records, %d log entries: %s%s\n",
					r.Key, r.Lanes, r.Batches, r.Records, r.Entries, outcome(len(r.Faults)), asides(r))
			}
			if err == nil && len(r.Faults) > 0 {
				err = &faultsError{len(r.Faults)}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return withDir(cmd)
}

func outcome(faults int) string {
	switch faults {
	case 0:
		return "no fault"
	case 1:
		return "1 fault"
	}
	return fmt.Sprintf("%d faults", faults)
}

// asides says what is no fault and worth knowing.
func asides(r *audit.Report) string {
	out := ""
	for _, key := range r.Before {
		out += "; it follows " + key
	}
	for _, h := range r.Holes {
		out += fmt.Sprintf("; %s/%s goes on behind %d batches that the device lost (%s, %s)",
			h.Device, h.Lane, h.To-h.From+1, h.Reason, h.Made.UTC().Format(time.DateOnly))
	}
	if r.Pending > 0 {
		out += fmt.Sprintf("; %d batches are not receipted yet", r.Pending)
	}
	if r.Unindexed > 0 {
		out += fmt.Sprintf("; %d batches are not indexed yet, serve does it when it starts", r.Unindexed)
	}
	if r.Signed < r.Entries {
		out += fmt.Sprintf("; %d log entries are not signed for yet", r.Entries-r.Signed)
	}
	if r.Blind {
		out += "; the recipient key is not here, so content was not checked"
	}
	return out
}
