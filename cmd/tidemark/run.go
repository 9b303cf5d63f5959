package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/agent/config"
	"tidemark/installer"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Capture and deliver in the foreground; exactly what the service runs",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			ctx, stop := signalled(cmd.Context())
			defer stop()
			log := logger(c.LogFormat, c.LogLevel, cmd.ErrOrStderr()) // of the service itself; the agent's follows the settings
			return installer.Run(ctx, log, func(ctx context.Context) error { return a.runAgent(ctx, c, cmd.ErrOrStderr()) })
		}),
	}
}

// runAgent runs the agent, which is made anew when settings change that it cannot obey
// otherwise.
func (a *app) runAgent(ctx context.Context, c *config.Config, stderr io.Writer) error {
	for {
		level := new(slog.LevelVar)
		level.Set(c.LogLevel)
		log := logger(c.LogFormat, level, stderr)
		warnOfDumps(log)
		ag := agent.New(agent.Options{
			Config: c, Version: buildVersion(), Now: clock(), Logger: log,
			Reload: func() (*config.Config, error) {
				next, _, err := a.load()
				return next, err
			},
			ReloadEvery: reloadEvery, Ready: installer.Ready, Supervised: installer.Supervised(),
			Changed: func(c *config.Config) { level.Set(c.LogLevel) },
		})
		if err := ag.Run(ctx); !errors.Is(err, agent.ErrRestart) {
			return err
		}
		c = ag.Config()
	}
}

func (a *app) onceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "once",
		Short: "One pass over everything, deliver, and end",
		Long: `Reads every account in scope once, delivers what is new, and ends.

Ends with 0 only if every account in scope could be read and the archive has
acknowledged everything. It cannot run beside the service.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			ctx, stop := signalled(cmd.Context())
			defer stop()
			log := logger(c.LogFormat, c.LogLevel, cmd.ErrOrStderr())
			s, err := agent.New(agent.Options{Config: c, Version: buildVersion(), Now: clock(), Logger: log}).Once(ctx)
			if s != nil {
				err = errors.Join(err, s.WriteSummary(cmd.OutOrStdout()))
			}
			if errors.Is(err, agent.ErrIncomplete) {
				return hinted{err, "what waits is kept and goes out with the next pass; tidemark accounts shows which keys open"}
			}
			return err
		}),
	}
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Whether everything in scope is captured and delivered",
		Long: `Asks the running agent how it is.

Ends with 0 when healthy, 1 when degraded (captured, but late or not all), and 2
when blind: an account is not captured, the device is not enrolled, or the agent is
not running.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				// Settings that cannot be read are no health: 2 says that nothing is known.
				fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: error: %v\n", err)
				if asJSON {
					if err := writeJSON(cmd.OutOrStdout(), agent.Unreadable(buildVersion(), err)); err != nil {
						return err
					}
				}
				return exitCode(2)
			}
			s, err := agent.FetchStatus(cmd.Context(), c.StateDir)
			if err != nil {
				s = agent.NotRunning(c, buildVersion(), err)
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), s)
			} else {
				err = s.WriteText(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			switch s.Overall {
			case agent.Healthy:
				return nil
			case agent.Degraded:
				return exitCode(1)
			}
			return exitCode(2)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
