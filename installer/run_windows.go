package installer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// Run runs the agent as the service manager wants it, or in the foreground when it
// was not the service manager that started it. As a service it repeats Configure; what
// fails there is for the log.
//
// The manager is asked itself rather than guessed at from sessions and parents, as
// kardianos/service does: a dispatcher that says "not started by the manager" is sure on
// every Windows and under Wine.
func Run(ctx context.Context, log *slog.Logger, run func(context.Context) error) error {
	h := &handler{ctx: ctx, run: func(ctx context.Context) error {
		if err := configure(); err != nil {
			log.Warn("the service's recovery is not set", "err", err)
		}
		return run(ctx)
	}}
	err := svc.Run(Name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		return run(ctx)
	}
	if err != nil {
		return fmt.Errorf("run service: %w", err)
	}
	return h.err
}

// Ready does nothing: Run has told the service manager.
func Ready() error { return nil }

// handler is the service as the manager sees it.
type handler struct {
	ctx context.Context
	run func(context.Context) error
	err error // valid once Execute has returned
}

// The codes that the service ends with, in the system's event log beside its end.
const (
	exitByItself = 1 // it was not asked to stop: the manager starts it again
	exitFailed   = 2 // it was, and did not end well
)

// stopHint is how long the manager waits for the next sign of life of a service that
// stops. Ending takes as long as the last delivery may, and a disk.
const stopHint = 10 * time.Second

// Execute is called by the manager. Preshutdown comes before the machine ends anything
// else, so that the last delivery still has a network; shutdown comes on old systems.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (specific bool, code uint32) {
	const accepted = svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown
	status <- svc.Status{State: svc.StartPending}
	ctx, cancel := context.WithCancelCause(h.ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }()
	status <- svc.Status{State: svc.Running, Accepts: accepted}
	for {
		select {
		case h.err = <-done:
			return true, exitByItself
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown, svc.PreShutdown:
				cancel(ErrStopped)
				if h.err = ending(done, status); h.err != nil {
					return true, exitFailed
				}
				return false, 0
			}
		}
	}
}

// ending waits for the work to end and gives the manager signs of life.
func ending(done <-chan error, status chan<- svc.Status) error {
	alive := time.NewTicker(stopHint / 4)
	defer alive.Stop()
	for checkpoint := uint32(1); ; checkpoint++ {
		status <- svc.Status{State: svc.StopPending, CheckPoint: checkpoint, WaitHint: uint32(stopHint.Milliseconds())}
		select {
		case err := <-done:
			return err
		case <-alive.C:
		}
	}
}

// Supervised is false: the service manager has growing pauses of its own.
func Supervised() bool { return false }
