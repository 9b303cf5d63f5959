//go:build unix

package installer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
)

// Run runs the agent as the service manager wants it. systemd and launchd want an
// ordinary program in the foreground that ends on SIGTERM, which the caller's
// context follows.
func Run(ctx context.Context, _ *slog.Logger, run func(context.Context) error) error {
	return run(ctx)
}

// Ready tells the service manager that the start has succeeded, if it is one that
// wants to know: systemd, which names a socket for it.
func Ready() error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// Supervised says that systemd or launchd has started this program as a service and
// starts it again when it ends.
func Supervised() bool {
	if os.Getppid() != 1 {
		return false
	}
	if runtime.GOOS == "darwin" {
		return os.Getenv("XPC_SERVICE_NAME") == Name
	}
	return os.Getenv("INVOCATION_ID") != ""
}
