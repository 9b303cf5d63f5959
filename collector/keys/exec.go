package keys

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"tidemark/collector/sqlcipher"
)

// How long a helper's answers are believed. A missing key is asked for again
// sooner, so that one given to the helper works within a minute.
const (
	execKeepFound  = 10 * time.Minute
	execKeepNone   = time.Minute
	execTimeout    = 10 * time.Second
	execWaitDelay  = 2 * time.Second // for helpers whose children hold the pipe
	execMaxAccount = 1024            // answers remembered
)

// Exec asks a credential helper; the package comment has the conversation. Safe
// for concurrent use; questions are asked one at a time.
type Exec struct {
	command []string
	opts    ExecOptions

	mu      sync.Mutex
	answers map[string]answer
}

// ExecOptions are a helper's choices.
type ExecOptions struct {
	Timeout time.Duration    // for one question; 0 means 10 s
	Now     func() time.Time // nil means time.Now
}

type answer struct {
	keys  []sqlcipher.Key
	err   error
	until time.Time
}

// NewExec names a helper: the program and its arguments, started without a shell.
func NewExec(command []string, o ExecOptions) (*Exec, error) {
	if len(command) == 0 || command[0] == "" {
		return nil, errors.New("key helper: no command")
	}
	o.Timeout = cmp.Or(o.Timeout, execTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Exec{command: command, opts: o, answers: map[string]answer{}}, nil
}

// Name says where the keys come from, for listings. It leaves out the arguments.
func (e *Exec) Name() string { return "helper " + e.command[0] }

// Keys asks the helper, or gives what it answered a short while ago.
func (e *Exec) Keys(ctx context.Context, account string) ([]sqlcipher.Key, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	if a, ok := e.answers[account]; ok && now.Before(a.until) {
		return a.keys, a.err
	}
	keys, err := e.ask(ctx, account)
	if ctx.Err() != nil {
		return nil, ctx.Err() // says nothing about the helper
	}
	keep := execKeepFound
	if err != nil || len(keys) == 0 {
		keep = execKeepNone
	}
	if len(e.answers) >= execMaxAccount {
		clear(e.answers)
	}
	e.answers[account] = answer{keys, err, now.Add(keep)}
	return keys, err
}

func (e *Exec) ask(ctx context.Context, account string) ([]sqlcipher.Key, error) {
	name := filepath.Base(e.command[0])
	question, err := json.Marshal(struct {
		V       int    `json:"v"`
		Account string `json:"account"`
	}{1, account})
	if err != nil {
		return nil, fmt.Errorf("ask key helper %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.command[0], e.command[1:]...)
	cmd.Stdin = bytes.NewReader(question)
	out := limited{max: maxInput}
	cmd.Stdout = &out
	cmd.WaitDelay = execWaitDelay
	err = cmd.Run()
	switch exit := (*exec.ExitError)(nil); {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("ask key helper %s: no answer within %v", name, e.opts.Timeout)
	case out.over:
		return nil, fmt.Errorf("ask key helper %s: answer of more than %d bytes: %w", name, maxInput, ErrFormat)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("ask key helper %s: it ended with exit code %d", name, exit.ExitCode())
	case err != nil:
		return nil, fmt.Errorf("ask key helper %s: %w", name, err)
	}
	keys, err := parseAnswer(out.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("ask key helper %s: answer %w", name, err)
	}
	return keys, nil
}

func parseAnswer(data []byte) ([]sqlcipher.Key, error) {
	var form struct {
		V    int      `json:"v"`
		Keys []string `json:"keys"`
	}
	if err := decodeStrict(data, &form); err != nil {
		return nil, err
	}
	if form.V != 1 {
		return nil, fmt.Errorf("version %d, this program knows 1: %w", form.V, ErrFormat)
	}
	var keys []sqlcipher.Key
	for i, text := range form.Keys {
		k, err := sqlcipher.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w: %w", i, err, ErrFormat)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// limited keeps what is written up to max bytes and refuses the rest.
type limited struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > l.max {
		l.over = true
		return 0, errors.New("too much output")
	}
	return l.buf.Write(p)
}
