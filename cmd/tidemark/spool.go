package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/spool"
)

func (a *app) spoolCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "spool",
		Short: "Look at what waits for the archive, on this device's disk",
		Long: `What waits for the archive is in one sealed file. A running agent finds damage to
it, sets the damaged file aside and goes on by itself; these commands are for
looking, and for an agent that is stopped. Only salvage and replay change anything.

They end with 1 when something is wrong with the file.`,
	},
		a.spoolInspect(), a.spoolVerify(), a.spoolSalvage(), a.spoolQuarantine(), a.spoolReplay())
}

func (a *app) spoolInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "What the spool holds, and whether its structure is sound",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			path, _, err := a.spoolAt()
			if err != nil && !errors.Is(err, agent.ErrNotEnrolled) {
				return err
			}
			i, err := spool.Inspect(path)
			return report(cmd, asJSON, i, noSpool(err))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) spoolVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every batch of the spool: whole, this device's, in its place",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			path, o, err := a.spoolAt()
			if err != nil {
				return err
			}
			o.Progress = progress(cmd.ErrOrStderr(), "verify")
			i, err := spool.Verify(path, o)
			return report(cmd, asJSON, i, noSpool(err))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) spoolSalvage() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "salvage",
		Short: "Heal a damaged spool now; the agent does it by itself when it starts",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			path, o, err := a.spoolAt()
			if err != nil {
				return err
			}
			o.Progress = progress(cmd.ErrOrStderr(), "salvage")
			r, err := spool.Salvage(path, o)
			if err != nil {
				return noSpool(err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r) // null when nothing is wrong
			}
			return writeRecovery(cmd.OutOrStdout(), r)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) spoolAt() (string, spool.Options, error) {
	c, _, err := a.load()
	if err != nil {
		return "", spool.Options{}, err
	}
	return agent.SpoolAt(c)
}

func noSpool(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return hinted{errors.New("there is no spool yet"), "it is made when the agent first runs: tidemark service start (or tidemark run)"}
	}
	return err
}

// report prints an inspection and ends with 1 when something is wrong.
func report(cmd *cobra.Command, asJSON bool, i *spool.Inspection, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(cmd.OutOrStdout(), i)
	} else {
		err = writeInspection(cmd.OutOrStdout(), i)
	}
	if err == nil && !i.Sound() {
		err = exitCode(1)
	}
	return err
}

func writeInspection(w io.Writer, i *spool.Inspection) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s\n", i.Path)
	fmt.Fprintf(t, "bytes\t%d\n", i.Bytes)
	if i.Format > 0 {
		fmt.Fprintf(t, "format\t%d\n", i.Format)
	}
	if i.Damage == "" {
		fmt.Fprintf(t, "structure\tsound\n")
	} else {
		fmt.Fprintf(t, "structure\t%s\n", i.Damage)
	}
	for _, name := range slices.Sorted(maps.Keys(i.Lanes)) {
		l := i.Lanes[name]
		line := fmt.Sprintf("%d batches, %d records, %d bytes; last made %d, last receipt %d", l.Batches, l.Records, l.Bytes, l.Head, l.Receipt)
		if l.Batches > 0 {
			line += ", oldest of " + l.Oldest.Local().Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\n", name, line)
	}
	for _, name := range i.Aside {
		fmt.Fprintf(t, "set aside\t%s\n", name)
	}
	for _, f := range i.Faults {
		fmt.Fprintf(t, "fault\t%s\n", f)
	}
	if !i.Sound() {
		fmt.Fprintf(t, "to do\tstart the agent, which heals it, or: tidemark spool salvage\n")
	}
	return t.Flush()
}

func writeRecovery(w io.Writer, r *spool.Recovery) error {
	if r == nil {
		_, err := fmt.Fprintln(w, "nothing is wrong with the spool")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "cause\t%s\n", r.Cause)
	for _, name := range slices.Sorted(maps.Keys(r.Lanes)) {
		l := r.Lanes[name]
		line := fmt.Sprintf("%d batches with %d records saved, %d missing", l.Batches, l.Records, l.Missing)
		if !l.Whole && l.Missing == 0 {
			line += " as far as is known"
		}
		fmt.Fprintf(t, "%s\t%s\n", name, line)
	}
	what := map[string]string{
		spool.CursorsKept:         "goes on where it was",
		spool.CursorsAcknowledged: "goes back to what the archive has acknowledged",
		spool.CursorsNone:         "begins anew; what the archive has already stays one record",
	}
	fmt.Fprintf(t, "capture\t%s\n", what[r.Cursors])
	fmt.Fprintf(t, "set aside\t%s\n", r.Aside)
	return t.Flush()
}

// progress prints how far a long work is, at each tenth of it.
func progress(w io.Writer, what string) func(done, total int64) {
	const worthTelling = 64 << 20
	told := int64(0)
	return func(done, total int64) {
		if total < worthTelling || done*10/total <= told {
			return
		}
		told = done * 10 / total
		fmt.Fprintf(w, "tidemark: %s: %s %d %%\n", what, strings.Repeat(".", int(told)), told*10)
	}
}
