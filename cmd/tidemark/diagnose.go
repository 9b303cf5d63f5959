package main

import (
	"github.com/spf13/cobra"

	"tidemark/agent"
)

func (a *app) diagnoseCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diagnose [--json]",
		Short: "The form of this device's WeChat databases, for support; no content, names or keys",
		Long: `Prints, for each account and database, the tables and columns, how many rows there
are, SQLite's header fields, how it is encrypted, the size of its WAL and the client's
own type numbers with their counts; and how capture stands, when the agent runs.

There is no content in it, no username, no path and no key: accounts stand under a
digest that only this device can make, tables of one conversation are counted. It can
be sent to support as it is. Works beside a running agent and writes nothing.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			d, err := agent.Diagnose(cmd.Context(), c, buildVersion())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			return d.WriteText(cmd.OutOrStdout())
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
