// Command tidemark-archive is Tidemark's reference archive: it receives sealed
// batches of records from agents, keeps them unchanged, logs them, answers with
// signed receipts, and shows what it has.
//
//	tidemark-archive init   --dir DIR [--name NAME]    an empty archive; prints the ARCHIVEKEY
//	tidemark-archive serve  --dir DIR --listen ADDR    takes batches, until SIGTERM or SIGINT
//	tidemark-archive token  --dir DIR                  prints an enrolment token
//	tidemark-archive records --dir DIR                 records as NDJSON
//	tidemark-archive media --dir DIR --list            what contents there are; --sha256 X writes one
//	tidemark-archive devices --dir DIR                 devices and their state
//	tidemark-archive revoke --dir DIR DEVICE           ends a device's right to deliver
//	tidemark-archive rollover --dir DIR                replaces the keys; prints the new ARCHIVEKEY
//	tidemark-archive recipient new|add|remove|list     further keys that can open what is sealed
//	tidemark-archive verify --dir DIR                  re-checks everything
//	tidemark-archive completeness --dir DIR            counts of devices against what arrived
//	tidemark-archive version
//
// TIDEMARK_ARCHIVE_DIR stands in for --dir. What a command gives is on standard
// output, alone; hints, logs and errors are on standard error.
//
// Exit codes: 0 done; 1 it failed, or verify or completeness found something; 2 the command line is
// wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/spf13/cobra"

	"tidemark/archive"
	"tidemark/archive/index"
	"tidemark/archive/registry"
	"tidemark/archive/tlog"
)

const dirVariable = "TIDEMARK_ARCHIVE_DIR"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What Tessera has to say is of use only when something is wrong.
	tlog.LogTo(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))

	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var faults *faultsError
	if errors.As(err, &faults) {
		return 1 // they are reported already
	}
	fmt.Fprintf(stderr, "tidemark-archive: error: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(stderr, "tidemark-archive: hint: %s\n", hint)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// usageError marks a command line that can't be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// hintOf says what to do about an error, when there is something to say.
func hintOf(err error) string {
	var u *usageError
	switch {
	case errors.As(err, &u):
		return "see tidemark-archive help"
	case errors.Is(err, archive.ErrNoArchive):
		return "make one with tidemark-archive init, or name its folder with --dir or " + dirVariable
	case errors.Is(err, archive.ErrNotEmpty):
		return "give init a folder of its own; an archive is never made over something else"
	case errors.Is(err, archive.ErrHeld):
		return "another tidemark-archive is serving this folder; stop it first"
	case errors.Is(err, archive.ErrUnchanged):
		return "see tidemark-archive recipient list"
	case errors.Is(err, archive.ErrPartly):
		return "its other pieces may still be on their way; try again later"
	case errors.Is(err, archive.ErrBlind):
		return "run this where the archive's recipient key is, keys/recipient.pem in its folder"
	case errors.Is(err, tlog.ErrUnsupported):
		return "run the archive on Linux or macOS; records, devices and verify work here on a copy of its folder"
	case errors.Is(err, archive.ErrOlder):
		return "restore the batches folder from the newest backup; or delete index.db to go on with what is there, which verify then reports on"
	case errors.Is(err, registry.ErrMissing), errors.Is(err, sqlite3.NOTADB), errors.Is(err, sqlite3.CORRUPT):
		return "restore state.db from the newest backup; devices that are not in it must enrol again. If it is index.db that is damaged, delete it"
	case errors.Is(err, tlog.ErrMissing), errors.Is(err, tlog.ErrDamaged), errors.Is(err, archive.ErrLogShort):
		return "restore the log folder from the newest backup; receipts were given for what it lacks"
	case errors.Is(err, index.ErrMissing):
		return "serve makes the index again from the stored batches when it starts"
	case errors.Is(err, index.ErrNewer):
		return "update this program, or delete index.db and start serve, which makes it again"
	}
	return ""
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "tidemark-archive",
		Short:         "Tidemark's reference archive",
		Long:          "Receives sealed batches of records from Tidemark agents, keeps them unchanged,\nlogs them, answers with signed receipts, and shows what it has.",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q", args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.AddCommand(initCommand(), serveCommand(), tokenCommand(), recordsCommand(), mediaCommand(), devicesCommand(), deviceKeysCommand(),
		revokeCommand(), rolloverCommand(), recipientCommand(), verifyCommand(), completenessCommand(), versionCommand())
	return cmd
}

// withDir gives a command the flag --dir.
func withDir(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("dir", os.Getenv(dirVariable), "the archive's folder; default $"+dirVariable)
	cmd.MarkFlagDirname("dir")
	if cmd.Args == nil {
		cmd.Args = noArgs
	}
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no argument %q", cmd.Name(), args[0])
	}
	return nil
}

// folder returns the archive's folder.
func folder(cmd *cobra.Command) (archive.Folder, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", usage("--dir is required")
	}
	return archive.Folder(dir), nil
}
