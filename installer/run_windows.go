package installer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// Run runs the agent as the service manager wants it, or in the foreground when it
// was not the service manager that started it.
//
// The manager is asked itself rather than guessed at from sessions and parents, as
// the library does: a dispatcher that says "not started by the manager" is sure on
// every Windows and under Wine.
func Run(ctx context.Context, run func(context.Context) error) error {
	p := newProgram(ctx, run, func() { os.Exit(1) }) // the manager restarts a process that ends so
	s, err := service.New(p, definition(Options{}))
	if err != nil {
		return fmt.Errorf("describe service: %w", err)
	}
	handler, ok := s.(svc.Handler)
	if !ok {
		return run(ctx)
	}
	err = svc.Run(Name, handler)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		return run(ctx)
	}
	if err != nil {
		return fmt.Errorf("run service: %w", err)
	}
	return p.err
}

// Ready does nothing: Run has told the service manager.
func Ready() error { return nil }

// Supervised is false: the service manager has growing pauses of its own.
func Supervised() bool { return false }
