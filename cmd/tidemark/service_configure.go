package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/installer"
)

func (a *app) serviceConfigureCommand() *cobra.Command {
	return &cobra.Command{
		Use: "configure", Short: "Set recovery, delayed start and the state folder's access as they should be",
		Long: `Sets what a package cannot: how the system's manager starts the service again when it
ends by itself, that it starts a little after the system, and who may enter the state
folder. The packages call it, and each start of the service repeats it.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			s, err := a.service()
			if err != nil {
				return err
			}
			// The folder first: it matters without a service too.
			if err := errors.Join(agent.GuardStateDir(c), s.Configure()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "service %s configured\n", installer.Name)
			return err
		}),
	}
}
