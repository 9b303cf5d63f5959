package installer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// Promise: what the system is told to run is "tidemark run --config FILE", under a
// name that people find in its list.
func TestDefinition(t *testing.T) {
	d := definition(Options{Config: "/etc/tidemark/other.yaml", Executable: "/usr/bin/tidemark"})
	if !slices.Equal(d.Arguments, []string{"run", "--config", "/etc/tidemark/other.yaml"}) || d.Executable != "/usr/bin/tidemark" {
		t.Errorf("%+v", d)
	}
	if d.Name != "tidemark" || d.DisplayName != "Tidemark" || d.Description == "" {
		t.Errorf("%+v", d)
	}
	if d := definition(Options{}); !slices.Equal(d.Arguments, []string{"run"}) {
		t.Errorf("without a configuration: %v", d.Arguments)
	}
	script, _ := d.Option["SystemdScript"].(string)
	for _, line := range []string{"ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}", "Restart=always", "WantedBy=multi-user.target"} {
		if !strings.Contains(script, line) {
			t.Errorf("the unit has no %q", line)
		}
	}
}

// Promise: stopping the service ends the work's context, for a reason that can be
// told, and returns only when the work has ended, with its error; Shutdown is the
// same.
func TestProgramStops(t *testing.T) {
	failed := errors.New("failed")
	for name, stop := range map[string]func(*program) error{
		"stop":     func(p *program) error { return p.Stop(nil) },
		"shutdown": func(p *program) error { return p.Shutdown(nil) },
	} {
		ended := false
		p := newProgram(context.Background(), func(ctx context.Context) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrStopped) {
				t.Errorf("%s: cause %v", name, context.Cause(ctx))
			}
			ended = true
			return failed
		}, func() { t.Errorf("%s: taken for an exit by itself", name) })
		if err := p.Start(nil); err != nil {
			t.Fatal(err)
		}
		if err := stop(p); !errors.Is(err, failed) || !ended {
			t.Errorf("%s: %v, ended %t", name, err, ended)
		}
	}
}

// Promise: a program that ends without being asked is told to the manager.
func TestProgramEndsByItself(t *testing.T) {
	told := make(chan struct{})
	p := newProgram(context.Background(), func(context.Context) error { return errors.New("crash") }, func() { close(told) })
	if err := p.Start(nil); err != nil {
		t.Fatal(err)
	}
	<-told
}
