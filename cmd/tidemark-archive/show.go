package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive"
	"tidemark/archive/fleet"
	"tidemark/archive/index"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func recordsCommand() *cobra.Command {
	var q index.Query
	var since, until, order string
	cmd := &cobra.Command{
		Use:   "records --dir DIR",
		Short: "Print records as NDJSON",
		Long: "Prints records, one JSON object a line, in the order they arrived: each as it was\n" +
			"delivered, with a member \"archive\" that says when it arrived, in which batch, and where\n" +
			"that batch stands in the log. Works while serve runs.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			if q.Since, err = parseTime("since", since); err != nil {
				return err
			}
			if q.Until, err = parseTime("until", until); err != nil {
				return err
			}
			switch order {
			case "arrival":
			case "conversation":
				q.ByConversation = true
			default:
				return usage("--order %q: use arrival or conversation", order)
			}
			if q.Kind != "" && !slices.Contains(kinds, record.Kind(q.Kind)) {
				return usage("--kind %q: use one of %s", q.Kind, kindNames())
			}
			return archive.Export(cmd.Context(), f, q, cmd.OutOrStdout())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&q.Account, "account", "", "only this account's")
	fl.StringVar(&q.Conversation, "conversation", "", "only this conversation's")
	fl.StringVar(&q.Kind, "kind", "", "only records of one kind: "+kindNames())
	fl.BoolVar(&q.Pieces, "pieces", false, "the pieces of contents too, each without its data; media writes contents")
	fl.StringVar(&since, "since", "", "only what was sent then or later: RFC 3339, or a date in UTC")
	fl.StringVar(&until, "until", "", "only what was sent before")
	fl.StringVar(&order, "order", "arrival", "arrival, or conversation: by account, conversation and the client's order")
	return withDir(cmd)
}

var kinds = []record.Kind{record.KindMessage, record.KindRevision, record.KindDeletion, record.KindMedia,
	record.KindContact, record.KindRoom, record.KindEvent}

func kindNames() string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// parseTime reads a time or a date, which means its first moment in UTC.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--%s %q: use 2026-11-23 or 2026-11-23T08:00:00Z", flag, s)
}

func devicesCommand() *cobra.Command {
	var asJSON, check, only bool
	var view fleet.View
	cmd := &cobra.Command{
		Use:   "devices --dir DIR [--json]",
		Short: "List devices: whether each is healthy and why not, what waits, what came",
		Long: "Lists every enrolled device, the worst first. The health is healthy only if the device's last\n" +
			"heartbeat is fresh, found nothing wrong, and every account in scope was read within its\n" +
			"interval; else degraded, blind, silent (heartbeats have stopped to come), stopped, or unreported\n" +
			"(none has ever come). Below the table stand the states that records of the device began and none\n" +
			"has ended.\n\n" +
			"Exit codes: 0, or with --check 1 when a device that is not revoked is not healthy.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			if view.Health != "" && !slices.Contains(fleet.Healths, view.Health) {
				return usage("--health %q: one of %s", view.Health, strings.Join(fleet.Healths, ", "))
			}
			if !slices.Contains(fleet.Columns, view.Sort) {
				return usage("--sort %q: one of %s", view.Sort, strings.Join(fleet.Columns, ", "))
			}
			now := time.Now()
			all, err := fleet.Open(f).Devices(cmd.Context(), now)
			if err != nil {
				return err
			}
			devices := view.Of(all)
			if !only {
				both := view
				both.Revoked = true
				devices = append(devices, both.Of(all)...)
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), append([]fleet.Device{}, devices...))
			} else {
				err = printDevices(cmd.OutOrStdout(), devices, now)
			}
			if err == nil && check && slices.ContainsFunc(devices, func(d fleet.Device) bool { return d.Revoked.IsZero() && d.Health != protocol.Healthy }) {
				err = errUnhealthy
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.BoolVar(&check, "check", false, "end with 1 when a device that is not revoked is not healthy; for monitoring")
	fl.StringVar(&view.Health, "health", "", "only devices of this `HEALTH`")
	fl.StringVar(&view.Text, "match", "", "only devices with this `TEXT` in their names, users, accounts or reason")
	fl.StringVar(&view.Sort, "sort", fleet.Columns[0], "order by this `COLUMN`: "+strings.Join(fleet.Columns, ", "))
	fl.BoolVar(&view.Down, "reverse", false, "the other way around")
	fl.BoolVar(&only, "in-force", false, "without devices that are revoked")
	cmd.RegisterFlagCompletionFunc("health", cobra.FixedCompletions(fleet.Healths, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(fleet.Columns, cobra.ShellCompDirectiveNoFileComp))
	return withDir(cmd)
}

// errUnhealthy ends devices --check.
var errUnhealthy = errors.New("not every device is healthy")

func printDevices(w io.Writer, devices []fleet.Device, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tHOST\tUSERS\tOS\tVERSION\tLAST SEEN\tACCOUNTS\tRECORDS\tWAITING\tOLDEST\tSKEW\tGAPS\tHEALTH")
	for i := range devices {
		d := &devices[i]
		accounts, waiting, oldest, skew, gaps := "-", "-", "-", "-", "-"
		if r := d.Report; r != nil {
			accounts, waiting, gaps = strconv.Itoa(d.Accounts()), strconv.FormatInt(r.Backlog.Records, 10), strconv.FormatInt(r.Gaps.Count, 10)
			skew = d.Skew.Round(time.Second).String()
			if wait := d.Waited(now); wait > 0 {
				oldest = wait.Round(time.Second).String()
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", d.ID, printable(d.Hostname), printable(strings.Join(d.Users(), ",")),
			printable(d.OS+"/"+d.Arch), printable(d.Version), d.LastSeen.Format(time.DateTime), accounts, d.Records, waiting, oldest, skew, gaps, printable(d.String()))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range devices {
		for _, o := range d.Open {
			fmt.Fprintf(w, "%s: %s since %s: %s%s%s\n", d.ID, o.Severity, o.Since.Format(time.DateTime), printable(o.Event),
				prefixed(" account ", o.Account), prefixed(" file ", o.File))
		}
		if d.Faults > 0 {
			fmt.Fprintf(w, "%s: %d faults in what it delivered; see tidemark-archive verify\n", d.ID, d.Faults)
		}
	}
	return nil
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + printable(s)
}

// printable keeps what a device said of itself from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke --dir DIR DEVICE",
		Short: "End a device's right to deliver",
		Long:  "Ends a device's right to deliver, from its next request on. What it delivered stays.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("revoke takes one device id")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := seal.ParseDeviceID(args[0])
			if err != nil {
				return &usageError{err}
			}
			r, err := openRegistry(cmd)
			if err != nil {
				return err
			}
			return errors.Join(r.Revoke(id, time.Now()), r.Close())
		},
	}
	return withDir(cmd)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
