package archive

import "context"

// OpenHooked opens an archive whose commit calls h before and after each step.
func OpenHooked(ctx context.Context, dir string, o Options, h func(step string, landed bool) error) (*Archive, error) {
	return open(ctx, dir, o, h)
}

// Steps are the steps of commit, in their order, and RestartSteps those with a restart.
var (
	Steps        = []string{stepStore, stepLog, stepReceipt, stepIndex}
	RestartSteps = append([]string{stepRestart}, Steps...)
)
