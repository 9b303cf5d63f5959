package main

import (
	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/installer"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [--json]",
		Short: "Each precondition of capture, pass or fail, with what to do",
		Long: `Checks everything that capture needs: the settings, the state folder, the disk, the
service, enrolment, WeChat's folders and keys, and the way to the archive stage by
stage. It works with the agent running or not, and changes nothing. Run it as the user
whom the service runs as (administrator, root).

Ends with 0 when nothing fails, and 1 when something does.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			x := agent.Doctor(cmd.Context(), agent.DoctorOptions{
				Config: c, Settings: err, Version: buildVersion(), Service: func() (*installer.Service, error) { return a.service() },
			})
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), x)
			} else {
				err = x.WriteText(cmd.OutOrStdout())
			}
			if err == nil && !x.Passed {
				err = exitCode(1)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
