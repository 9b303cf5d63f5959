package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidemark/simulator/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run an archive, an agent and a chatting client, and show live what happens",
		Long: `Runs the real programs in a fresh folder and shows live how messages come from the
client into the archive. Ends at Ctrl-C or after --for: then everything is stopped in
good order and all records are compared. A second Ctrl-C kills everything at once.

Exit code 0 only if every message is in the archive, once and as it was written, and
the archive verifies.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Rate <= 0 || o.Count < 0 || o.For < 0 {
				return errors.New("demo: --rate, --count and --for must be positive")
			}
			if o.Simulator, err = os.Executable(); err != nil {
				return fmt.Errorf("find own program: %w", err)
			}
			ctx, stop, done := stopping(cmd.Context())
			defer done()
			o.Out, o.Stop = os.Stdout, stop
			if err = demo.Run(ctx, o); errors.Is(err, demo.ErrFaults) {
				return errFaults
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bin, "bin", "bin", "the folder of tidemark and tidemark-archive")
	f.DurationVar(&o.For, "for", 0, "end so long after all programs run")
	f.BoolVar(&o.Keep, "keep", false, "leave the folder")
	f.Float64Var(&o.Rate, "rate", 5, "messages per second")
	f.IntVar(&o.Count, "count", 0, "end after so many messages")
	f.DurationVar(&o.RecallAfter, "recall-after", 4*time.Second, "how long after a message it is recalled, if it is")
	f.DurationVar(&o.Grace, "grace", 0, "excuse what was recalled this soon and could be captured as a notice only")
	return cmd
}

var errKilled = errors.New("killed by a second signal, nothing was compared")

// stopping closes stop at the first signal, or when parent ends, and ends ctx at the
// second. A terminal or pipe that goes away is a signal too: what was started must
// not outlive whoever watched it.
func stopping(parent context.Context) (ctx context.Context, stop <-chan struct{}, done func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	signals, asked := make(chan os.Signal, 8), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A write to a pipe that nobody reads is an error of the write, and otherwise nothing.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	go func() {
		select {
		case <-signals:
		case <-parent.Done():
			// The same signal may have come both ways.
			select {
			case <-signals:
			case <-time.After(100 * time.Millisecond):
			}
		case <-ctx.Done():
			return
		}
		close(asked)
		select {
		case <-signals:
			cancel(errKilled)
		case <-ctx.Done():
		}
	}()
	return ctx, asked, func() {
		signal.Stop(signals)
		signal.Stop(broken)
		cancel(nil)
	}
}
