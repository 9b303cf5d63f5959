package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWithin is how long a program may take to stop in good order.
const stopWithin = 30 * time.Second

// process is a program that runs beside the demo.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
	err  error         // how; to be read once done is closed
}

// command readies a program. Each is a process group of its own, so that Ctrl-C in
// the terminal reaches the demo alone, which stops them in order.
func (s *site) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.SysProcAttr = s.env, processAttributes()
	return cmd
}

// spawn starts a program that runs until it is stopped or killed.
func (s *site) spawn(program string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(program) + " " + args[0], log: new(tail), done: make(chan struct{})}
	p.cmd = s.command(context.Background(), program, args...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	s.processes = append(s.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the program in good order: by the signal a service manager sends.
func (p *process) stop(ctx context.Context) error {
	p.cmd.Process.Signal(syscall.SIGTERM) // if it has ended, done says so
	select {
	case <-p.done:
		if p.err != nil {
			return p.died()
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stopWithin):
		return fmt.Errorf("stop %s: it still runs after %v", p.name, stopWithin)
	}
}

// died says how the program ended and what it said last.
func (p *process) died() error {
	how := "it ended by itself"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("run %s: %s%s", p.name, how, p.log)
}

// killAll ends what still runs and waits for it.
func (s *site) killAll() {
	for _, p := range s.processes {
		p.cmd.Process.Kill()
	}
	for _, p := range s.processes {
		<-p.done
	}
}

// run runs a program to its end; its standard output goes to out.
func (s *site) run(ctx context.Context, out io.Writer, program string, args ...string) error {
	log := new(tail)
	cmd := s.command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = out, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w%s", filepath.Base(program), args[0], errors.Join(context.Cause(ctx), err), log)
	}
	return nil
}

// output is run with the standard output, trimmed, as a string.
func (s *site) output(ctx context.Context, program string, args ...string) (string, error) {
	var b bytes.Buffer
	err := s.run(ctx, &b, program, args...)
	return strings.TrimSpace(b.String()), err
}

// tail keeps the end of what a program says. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes, tailLines = 8 << 10, 8

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String is the last lines, each on a line of its own, for the end of an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.b))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}

func writeFile(name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}
