package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tidemark/internal/buildinfo"
)

// version is set by the linker in releases: -ldflags "-X main.version=1.2.3".
var version string

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Print the program's version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := buildinfo.Read(version)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), v.Line("tidemark-archive"))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
