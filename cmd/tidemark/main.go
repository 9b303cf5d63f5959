// Command tidemark is the agent's command line: it reads the settings, calls
// package agent and prints. Nothing is decided here.
//
// It ends with 0 when what was asked is done, 1 when it failed and 2 when it was
// called in a wrong way. status has codes of its own: 0 healthy, 1 degraded, 2
// blind, not enrolled or not running. Errors go to standard error as
// "tidemark: error: …", with a "tidemark: hint: …" where there is something to do.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"tidemark/agent/limits"
)

// version is set by the linker for a release.
var version = ""

// dumps is why a crash of this process could leave a dump of its memory.
var dumps error

func main() {
	dumps = limits.NoDumps()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func warnOfDumps(log *slog.Logger) {
	if dumps != nil {
		log.Warn("a crash of the agent could leave a dump of its memory", "err", dumps)
	}
}

// run is the whole program, as tests call it.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root, began := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case !*began: // cobra's own: an unknown command or flag, a missing argument
		err = usage(err)
	}
	fmt.Fprintf(stderr, "tidemark: error: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(stderr, "tidemark: hint: %s\n", hint)
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// exitCode ends the program without a message: what it means has been printed.
type exitCode int

func (exitCode) Error() string { return "" }

// errUsage marks errors of the call, not of the work.
var errUsage = errors.New("usage")

type usageError struct{ err error }

func (e usageError) Error() string   { return e.err.Error() }
func (e usageError) Unwrap() error   { return e.err }
func (e usageError) Is(t error) bool { return t == errUsage }

func usage(err error) error { return usageError{err} }

// hinted is an error with its own hint.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// app is what the commands share.
type app struct {
	configFile string
	began      bool // a command's own work has begun: errors are not of usage any more
}

// work wraps what a command does.
func (a *app) work(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.began = true
		return f(cmd, args)
	}
}

func newRoot() (*cobra.Command, *bool) {
	a := new(app)
	root := &cobra.Command{
		Use:   "tidemark",
		Short: "Record this device's business WeChat conversations into your organisation's archive",
		Long: `Tidemark records the business WeChat conversations on this device into the
archive of the organisation that manages it: openly, within the configured scope,
with keys the organisation provides.

Exit codes: 0 done, 1 failed, 2 called in a wrong way.
"tidemark status": 0 healthy, 1 degraded, 2 blind, not enrolled or not running.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "configuration `FILE` (environment: TIDEMARK_CONFIG)")
	root.MarkPersistentFlagFilename("config", "yaml", "yml")
	root.AddCommand(
		a.runCommand(), a.onceCommand(), a.statusCommand(), a.doctorCommand(), a.accountsCommand(), a.enrollCommand(),
		a.keysCommand(), a.configCommand(), a.serviceCommand(), a.spoolCommand(), a.diagnoseCommand(), a.noticeCommand(), a.mineCommand(), versionCommand(a),
	)
	return root, &a.began
}
