package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/agent/config"
	"tidemark/agent/disclosure"
	"tidemark/installer"
	"tidemark/internal/buildinfo"
	"tidemark/seal"
	"tidemark/spool"
	"tidemark/uploader"
)

// policyDir stands for the machine's managed policy in tests, which must not depend on
// the machine's nor change it, and reloadEvery makes an agent there notice a change soon.
var (
	policyDir   string
	reloadEvery time.Duration
)

// load reads the settings.
func (a *app) load() (*config.Config, []config.Setting, error) {
	c, settings, err := config.Load(config.Options{File: a.configPath(), PolicyDir: policyDir})
	if errors.Is(err, fs.ErrNotExist) {
		err = hinted{err, "give --config an existing file, or leave it out (and TIDEMARK_CONFIG) for the default"}
	}
	return c, settings, err
}

// configPath is the configuration file that was asked for, or "".
func (a *app) configPath() string { return cmp.Or(a.configFile, os.Getenv("TIDEMARK_CONFIG")) }

// logger writes to standard error, where a service manager collects it.
func logger(format string, level slog.Leveler, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// signalled is a context that a first SIGINT or SIGTERM ends, with the signal's name
// as its cause. A second one ends the process at once, which costs a last delivery
// and no record.
func signalled(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // back to what the system does by itself
			cancel(fmt.Errorf("signal: %v", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// group is a command that only holds others. Cobra would answer a wrong name below
// it with help and success.
func group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(sub...)
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// hintFor says what to do about an error, or nothing.
func hintFor(err error) string {
	var h hinted
	var bad *config.Error
	var refused *uploader.Failure
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, errUsage):
		return "tidemark --help lists the commands, tidemark COMMAND --help their flags"
	case errors.Is(err, spool.ErrLocked), errors.Is(err, agent.ErrRunning):
		return "an agent is running with this state folder; stop it first (tidemark service stop), or ask it: tidemark status"
	case errors.Is(err, spool.ErrNewer):
		return "update Tidemark; the file is left as it is"
	case errors.Is(err, spool.ErrDisk) && !errors.Is(err, fs.ErrPermission):
		return "look at the disk and the permissions of the state folder; nothing is lost"
	case errors.Is(err, disclosure.ErrNoManifest):
		return "the agent writes it when it runs and is enrolled: tidemark status"
	case errors.Is(err, agent.ErrNotEnrolled):
		return "enrol this device: tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE"
	case errors.Is(err, agent.ErrEnrolledElsewhere):
		return "give this archive a state folder of its own (state_dir); what waits for the other archive is sealed to that one"
	case errors.As(err, &bad):
		return "tidemark config --help lists every setting"
	case errors.Is(err, installer.ErrNoSystem):
		return "run it in the foreground: tidemark run"
	case errors.Is(err, installer.ErrPackaged):
		return "leave it to the package manager: apt remove tidemark, rpm -e tidemark"
	case errors.Is(err, installer.ErrNotInstalled):
		return "install it: tidemark service install"
	case errors.As(err, &refused) && refused.State == uploader.StateNotEnrolled:
		return "the enrolment token is unknown, used up or expired; ask the archive's administrator for a new one"
	case errors.Is(err, seal.ErrForged):
		return "the archive at this address is not the one whose key was given; check both with its administrator"
	case errors.Is(err, fs.ErrPermission):
		return "do it as an administrator (root), or as the user whom the service runs as"
	}
	return ""
}

// buildVersion is the release's version, or the revision this was built from.
func buildVersion() string { return buildinfo.Read(version).Version }

// completeAccounts offers the accounts of this device and of the key store.
func (a *app) completeAccounts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, _, err := a.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return agent.AccountNames(c), cobra.ShellCompDirectiveNoFileComp
}
