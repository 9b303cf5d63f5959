package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/internal/buildinfo"
)

// accounts finds the accounts and says on standard error what could not be searched.
func (a *app) accounts(cmd *cobra.Command) ([]agent.AccountInfo, error) {
	c, _, err := a.load()
	if err != nil {
		return nil, err
	}
	infos, problems, err := agent.Accounts(cmd.Context(), c)
	for _, p := range problems {
		fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: warning: %s could not be searched: %v\n", p.Path, p.Err)
	}
	return infos, err
}

func (a *app) accountsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "WeChat accounts on this device, their generation, and whether they have keys",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			infos, err := a.accounts(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), infos)
			}
			if len(infos) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no WeChat account is found on this device")
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "account\tclient\tscope\tkey\tfolder")
			for _, i := range infos {
				scope := "captured"
				if !i.InScope {
					scope = "excluded"
				}
				fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\n", i.Account, i.App, i.Generation, scope, keyWords(i), i.Path)
			}
			return t.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func keyWords(i agent.AccountInfo) string {
	switch i.Key {
	case agent.KeyOpens:
		return "opens all databases"
	case agent.KeyPartly:
		return "opens some databases"
	case agent.KeyRejected:
		return "rejected"
	case agent.KeyMissing:
		return "missing"
	}
	return "not known"
}

func valueText(v any) string {
	if s, ok := v.(string); ok {
		if s == "" {
			return `""`
		}
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

func versionCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Which program this is",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			return writeVersion(cmd.OutOrStdout(), asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeVersion(w io.Writer, asJSON bool) error {
	v := buildinfo.Read(version)
	if asJSON {
		return writeJSON(w, v)
	}
	_, err := fmt.Fprintln(w, v.Line("tidemark"))
	return err
}
