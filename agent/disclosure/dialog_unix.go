//go:build unix

package disclosure

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// script shows the dialog on macOS: the words are arguments, never part of the program.
const script = `on run argv
	display dialog (item 1 of argv) with title (item 2 of argv) buttons {item 4 of argv, item 3 of argv} default button (item 3 of argv)
	if button returned of result is not (item 3 of argv) then error number 1
end run`

// dialogs lists the programs of a system that show one, the best first. All end with 0
// when the first button was pressed, and otherwise with 1.
func dialogs(goos, text string, l Labels) [][]string {
	if goos == "darwin" {
		return [][]string{{"osascript", "-e", script, text, l.Title, l.Read, l.Later}}
	}
	return [][]string{
		{"zenity", "--question", "--no-markup", "--width=560", "--title", l.Title, "--ok-label", l.Read, "--cancel-label", l.Later, "--text", text},
		{"kdialog", "--title", l.Title, "--yes-label", l.Read, "--no-label", l.Later, "--yesno", text},
		{"xmessage", "-center", "-title", l.Title, "-buttons", xmessageLabel(l.Read) + ":0," + xmessageLabel(l.Later) + ":1", text},
	}
}

// xmessageLabel keeps the signs out that separate xmessage's buttons.
func xmessageLabel(s string) string { return strings.NewReplacer(",", " ", ":", " ").Replace(s) }

// Show shows the text in the user's session until a button is pressed, and reports
// whether it was acknowledged. The error is ErrNoDialog where nothing can show it.
func Show(ctx context.Context, text string, l Labels) (bool, error) {
	for _, args := range dialogs(runtime.GOOS, text, l) {
		path, err := exec.LookPath(args[0])
		if err != nil {
			continue
		}
		err = exec.CommandContext(ctx, path, args[1:]...).Run()
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil:
			return true, nil
		case errors.As(err, &exit) && exit.ExitCode() == 1:
			return false, nil
		default:
			return false, fmt.Errorf("show notice with %s: %w", args[0], err)
		}
	}
	return false, ErrNoDialog
}
