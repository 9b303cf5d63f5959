package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive"
	"tidemark/archive/index"
	"tidemark/record"
	"tidemark/seal"
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "devices --dir DIR [--json]",
		Short: "List devices, what they delivered and what state they are in",
		Long: "Lists every enrolled device. The state is the worst that a device has reported and not\n" +
			"yet recovered from: ok, degraded or blind.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			devices, err := archive.Devices(cmd.Context(), f)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), devices)
			}
			return printDevices(cmd.OutOrStdout(), devices)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return withDir(cmd)
}

func printDevices(w io.Writer, devices []archive.DeviceStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tHOST\tOS\tVERSION\tENROLLED\tLAST SEEN\tBATCHES\tRECORDS\tLAST\tSTATE")
	for _, d := range devices {
		state := d.State
		if !d.Revoked.IsZero() {
			state += ", revoked"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", d.ID, printable(d.Hostname), printable(d.OS+"/"+d.Arch), printable(d.Version),
			d.Enrolled.Format(time.DateTime), d.LastSeen.Format(time.DateTime), d.Batches, d.Records, lanesOf(d), state)
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

func lanesOf(d archive.DeviceStatus) string {
	var out []string
	for _, l := range []seal.Lane{seal.Messages, seal.Media} {
		if seq, ok := d.Lanes[l.String()]; ok {
			out = append(out, fmt.Sprintf("%s %d", l, seq))
		}
	}
	return strings.Join(out, ", ")
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
