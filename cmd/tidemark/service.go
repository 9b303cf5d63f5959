package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/installer"
)

func (a *app) serviceCommand() *cobra.Command {
	cmd := group(&cobra.Command{Use: "service", Short: "The agent as a service of this system"})
	for _, c := range []struct {
		use, short, done string
		do               func(*installer.Service) error
	}{
		{"install", "Add the service; it starts with the system", "installed", (*installer.Service).Install},
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
	cmd.AddCommand(a.uninstallCommand(), a.settleCommand(), a.serviceConfigureCommand(), &cobra.Command{
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

// settle stops the service, ends the agent and says what became of undelivered records.
func (a *app) settle(cmd *cobra.Command, s *installer.Service, purge bool) error {
	c, _, err := a.load()
	if err != nil {
		return err
	}
	if s != nil {
		if err := s.StopRunning(); err != nil {
			return err
		}
	}
	ctx, stop := signalled(cmd.Context())
	defer stop()
	settled, err := agent.Settle(ctx, agent.Options{Config: c, Version: buildVersion(), Logger: logger(c.LogFormat, c.LogLevel, cmd.ErrOrStderr())})
	if settled != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: removal: %s\n", settled)
	}
	if err != nil || !purge {
		return err
	}
	if err := agent.Purge(c); err != nil {
		return err
	}
	if settled.Left > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: removal: the state folder is deleted, and what was undelivered with it\n")
	}
	return nil
}

func (a *app) uninstallCommand() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Stop and remove the service; state and configuration stay", Args: cobra.NoArgs,
		Long: `Stops the service, does with what the archive does not have yet as
removal.undelivered says, and removes the service. Identity, keys and what is left
stay in the state folder unless --purge is given.

For a service that "tidemark service install" has made; a package is removed with the
system's package manager.`,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			s, err := a.service()
			if err != nil {
				return err
			}
			if s.Packaged() {
				return installer.ErrPackaged
			}
			if err := a.settle(cmd, s, purge); err != nil {
				return err
			}
			if err := s.Uninstall(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "service %s removed\n", installer.Name)
			return err
		}),
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "delete the state folder too, with identity, keys and what is undelivered")
	return cmd
}

func (a *app) settleCommand() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use: "settle", Short: "Before a removal: deliver, keep or discard what is undelivered", Args: cobra.NoArgs,
		Long: `What packages run before they are removed: stops the service and does with what the
archive does not have yet as removal.undelivered says. Ends with 0 also when records
are left, and says how many.`,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			s, err := a.service()
			if err != nil && !errors.Is(err, installer.ErrNoSystem) {
				return err
			}
			return a.settle(cmd, s, purge)
		}),
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "delete the state folder too, with identity, keys and what is undelivered")
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
	o := installer.Options{Config: file}
	if c, _, err := a.load(); err == nil { // otherwise the usual folder, which the unit has
		o.Writable = c.StateDir
	}
	return installer.New(o)
}
