// Simulator writes what the desktop client writes: an account of the 4.x generation,
// encrypted with real SQLCipher, filled with history or chatting live, and an oracle
// that knows what was committed and when. It also runs single statements on such
// files, is the rival in benchmarks, and compares an oracle with an archive's records.
//
// It has no part in the product: nothing outside this module imports it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Connections are not closed before the process ends: that would checkpoint and
	// delete the WAL, which the client never does.
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// errFaults is returned by compare when the archive is not what it should be. The
// summary has been printed.
var errFaults = errors.New("the records differ from the oracle")

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, out io.Writer) int {
	root := &cobra.Command{
		Use:           "simulator",
		Short:         "A desktop client's account, written by real SQLCipher",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(makeCommand(), chatCommand(), migrateCommand(), execCommand(), sqlCommand(), scanCommand(), compareCommand(), demoCommand(), kindsCommand())
	root.SetArgs(args)
	root.SetOut(out)
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errFaults) {
			fmt.Fprintln(os.Stderr, "simulator: error:", err)
		}
		return 1
	}
	return 0
}
