//go:build unix

package disclosure

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Promise: the notice goes to the dialog program as an argument, never as a part of a
// program; its first button acknowledges, everything else does not; and a session
// without any says so.
func TestShow(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("the stand-in is for the programs of Linux")
	}
	const text = `A "notice"; $(touch /tmp/never) <b>&amp;`
	ctx, dir := context.Background(), t.TempDir()
	t.Setenv("PATH", dir)
	if read, err := Show(ctx, text, LabelsIn(English)); read || !errors.Is(err, ErrNoDialog) {
		t.Errorf("no program: %t, %v", read, err)
	}
	for _, c := range []struct {
		program, exit string
		read, fails   bool
	}{
		{"xmessage", "0", true, false}, {"kdialog", "1", false, false}, {"zenity", "0", true, false}, {"zenity", "1", false, false}, {"zenity", "255", false, true},
	} {
		told := filepath.Join(dir, "told")
		script := "#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done > '" + told + "'\nexit " + c.exit + "\n"
		if err := os.WriteFile(filepath.Join(dir, c.program), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		read, err := Show(ctx, text, LabelsIn(Chinese))
		if read != c.read || (err != nil) != c.fails {
			t.Errorf("%s ends with %s: %t, %v", c.program, c.exit, read, err)
		}
		if got, _ := os.ReadFile(told); !slices.Contains(strings.Split(string(got), "\n"), text) {
			t.Errorf("%s was given %q", c.program, got)
		}
	}
}

// Promise: on macOS the words are arguments of the script as well.
func TestDialogOfMacOS(t *testing.T) {
	for _, args := range dialogs("darwin", "text", Labels{"title", "read", "later"}) {
		if args[0] != "osascript" || !slices.Equal(args[3:], []string{"text", "title", "read", "later"}) {
			t.Errorf("%q", args)
		}
	}
}
