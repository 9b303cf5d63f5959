package disclosure

import (
	"context"

	"golang.org/x/sys/windows"
)

// pressedOK is MessageBox's IDOK.
const pressedOK = 1

// Show shows the text in the user's session until a button is pressed, and reports
// whether it was acknowledged. The context does not end a dialog that is shown.
func Show(_ context.Context, text string, l Labels) (bool, error) {
	body, err := windows.UTF16PtrFromString(text + "\n\nOK: " + l.Read)
	if err != nil {
		return false, err
	}
	title, err := windows.UTF16PtrFromString(l.Title)
	if err != nil {
		return false, err
	}
	pressed, err := windows.MessageBox(0, body, title, windows.MB_OKCANCEL|windows.MB_ICONINFORMATION|windows.MB_SETFOREGROUND)
	if pressed == 0 {
		return false, err
	}
	return pressed == pressedOK, nil
}
