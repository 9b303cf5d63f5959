package keys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func helper(t *testing.T, mode string, o ExecOptions) (*Exec, string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "asked")
	t.Setenv("KEYS_TEST_HELPER", mode)
	t.Setenv("KEYS_TEST_LOG", log)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewExec([]string{self}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

// Promise: a helper is asked once, its answer believed for two minutes, and for less
// than that when it had no key, so that a key given to it works soon.
func TestExec(t *testing.T) {
	now := time.Unix(0, 0)
	asked := func(log string) int {
		b, _ := os.ReadFile(log)
		return strings.Count(string(b), "wxid_a\n")
	}
	e, log := helper(t, "answers", ExecOptions{Now: func() time.Time { return now }})
	got := count(t, e, "wxid_a", 2)
	if _, ok := got[1].Salt(); !ok {
		t.Error("the second key has lost its salt")
	}
	now = now.Add(execKeepFound - 1)
	count(t, e, "wxid_a", 2)
	if n := asked(log); n != 1 {
		t.Errorf("asked %d times while its answer is believed", n)
	}
	now = now.Add(2)
	count(t, e, "wxid_a", 2)
	if n := asked(log); n != 2 {
		t.Errorf("asked %d times later, want 2", n)
	}
	e, log = helper(t, "none", ExecOptions{Now: func() time.Time { return now }})
	count(t, e, "wxid_a", 0)
	now = now.Add(execKeepNone)
	count(t, e, "wxid_a", 0)
	if n := asked(log); n != 2 {
		t.Errorf("helper without a key asked %d times, want 2", n)
	}
}

// Promise: a helper that fails, in whatever way, is an error that names it and shows
// nothing of what it wrote.
func TestExecFailures(t *testing.T) {
	for mode, want := range map[string]string{
		"fails": "exit code 3", "garbage": "not JSON", "bad key": "keys[0]", "bad image": "image_keys[0]", "newer": "version 2",
		"endless": "more than", "hangs": "no answer within",
	} {
		t.Run(mode, func(t *testing.T) {
			o := ExecOptions{}
			if mode == "hangs" {
				o.Timeout = 200 * time.Millisecond // it sleeps for an hour
			}
			e, _ := helper(t, mode, o)
			_, err := e.Keys(context.Background(), "wxid_a")
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(e.command[0])) {
				t.Fatalf("error %v, want one with %q", err, want)
			}
			if strings.Contains(err.Error(), keyA[:8]) {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
	e, err := NewExec([]string{filepath.Join(t.TempDir(), "absent")}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Keys(context.Background(), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent helper: %v", err)
	}
	if _, err := NewExec(nil, ExecOptions{}); err == nil {
		t.Error("no command accepted")
	}
}
