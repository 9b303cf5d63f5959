package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"tidemark/installer"
)

func (a *app) serviceCommand() *cobra.Command {
	cmd := group(&cobra.Command{Use: "service", Short: "The agent as a service of this system"})
	for _, c := range []struct {
		use, short, done string
		do               func(*installer.Service) error
	}{
		{"install", "Add the service; it starts with the system", "installed", (*installer.Service).Install},
		{"uninstall", "Stop and remove the service; state and configuration stay", "removed", (*installer.Service).Uninstall},
		{"start", "Start the service", "started", (*installer.Service).Start},
		{"stop", "Stop the service", "stopped", (*installer.Service).Stop},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: c.use, Short: c.short, Args: cobra.NoArgs,
			RunE: a.work(func(cmd *cobra.Command, _ []string) error {
				if c.use == "install" { // a service that cannot start helps nobody
					if _, _, err := a.load(); err != nil {
						return err
					}
				}
				s, err := a.service()
				if err != nil {
					return err
				}
				if err := c.do(s); err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "service %s %s\n", installer.Name, c.done)
				return err
			}),
		})
	}
	cmd.AddCommand(&cobra.Command{
		Use: "status", Short: "Whether the service runs; ends with 1 if not", Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			s, err := a.service()
			if err != nil {
				return err
			}
			running, err := s.Running()
			switch {
			case errors.Is(err, installer.ErrNotInstalled):
				fmt.Fprintln(cmd.OutOrStdout(), "not installed")
				return exitCode(1)
			case err != nil:
				return err
			case !running:
				fmt.Fprintln(cmd.OutOrStdout(), "stopped")
				return exitCode(1)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "running (%s)\n", s.Manager())
			return err
		}),
	})
	return cmd
}

// service describes the service with the configuration file as an absolute path, for
// it is started from another folder.
func (a *app) service() (*installer.Service, error) {
	file := a.configPath()
	if file != "" {
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("find configuration: %w", err)
		}
		file = abs
	}
	return installer.New(installer.Options{Config: file})
}
