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

// How long a helper's answers are believed. A missing key is asked for again sooner,
// so that one given to the helper works at once for a person. A failing helper may take
// its whole time limit, which the other accounts wait for, so it is given a rest.
const (
	execKeepFound  = 2 * time.Minute
	execKeepNone   = 15 * time.Second
	execKeepFailed = time.Minute
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
	keys   []sqlcipher.Key
	images []ImageKey
	err    error
	until  time.Time
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
	a, err := e.answer(ctx, account)
	return a.keys, err
}

// ImageKeys gives the image keys of the same answer.
func (e *Exec) ImageKeys(ctx context.Context, account string) ([]ImageKey, error) {
	a, err := e.answer(ctx, account)
	return a.images, err
}

func (e *Exec) answer(ctx context.Context, account string) (answer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a, ok := e.answers[account]; ok && e.opts.Now().Before(a.until) {
		return a, a.err
	}
	a, err := e.ask(ctx, account)
	if ctx.Err() != nil {
		return answer{}, ctx.Err() // says nothing about the helper
	}
	keep := execKeepFound
	switch {
	case err != nil:
		keep = execKeepFailed
	case len(a.keys) == 0 && len(a.images) == 0:
		keep = execKeepNone
	}
	if len(e.answers) >= execMaxAccount {
		clear(e.answers)
	}
	a.err, a.until = err, e.opts.Now().Add(keep)
	e.answers[account] = a
	return a, err
}

func (e *Exec) ask(ctx context.Context, account string) (answer, error) {
	name := filepath.Base(e.command[0])
	question, err := json.Marshal(struct {
		V       int    `json:"v"`
		Account string `json:"account"`
	}{1, account})
	if err != nil {
		return answer{}, fmt.Errorf("ask key helper %s: %w", name, err)
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
		return answer{}, fmt.Errorf("ask key helper %s: no answer within %v", name, e.opts.Timeout)
	case out.over:
		return answer{}, fmt.Errorf("ask key helper %s: answer of more than %d bytes: %w", name, maxInput, ErrFormat)
	case errors.As(err, &exit):
		return answer{}, fmt.Errorf("ask key helper %s: it ended with exit code %d", name, exit.ExitCode())
	case err != nil:
		return answer{}, fmt.Errorf("ask key helper %s: %w", name, err)
	}
	a, err := parseAnswer(out.buf.Bytes())
	if err != nil {
		return answer{}, fmt.Errorf("ask key helper %s: answer %w", name, err)
	}
	return a, nil
}

func parseAnswer(data []byte) (a answer, err error) {
	var form struct {
		V         int      `json:"v"`
		Keys      []string `json:"keys"`
		ImageKeys []string `json:"image_keys"`
	}
	if err := decodeStrict(data, &form); err != nil {
		return answer{}, err
	}
	if form.V != 1 {
		return answer{}, fmt.Errorf("version %d, this program knows 1: %w", form.V, ErrFormat)
	}
	for i, text := range form.Keys {
		k, err := sqlcipher.ParseKey(text)
		if err != nil {
			return answer{}, fmt.Errorf("keys[%d]: %w: %w", i, err, ErrFormat)
		}
		a.keys = append(a.keys, k)
	}
	for i, text := range form.ImageKeys {
		k, err := ParseImageKey(text, "")
		if err != nil {
			return answer{}, fmt.Errorf("image_keys[%d]: %w", i, err)
		}
		a.images = append(a.images, k)
	}
	return a, nil
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
