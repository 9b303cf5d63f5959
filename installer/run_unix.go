//go:build unix

package installer

import "context"

// Run runs the agent as the service manager wants it. systemd and launchd want an
// ordinary program in the foreground that ends on SIGTERM, which the caller's
// context follows.
func Run(ctx context.Context, run func(context.Context) error) error { return run(ctx) }
