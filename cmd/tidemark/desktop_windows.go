package main

import (
	"golang.org/x/sys/windows"

	"tidemark/agent/disclosure"
)

// systemLanguage is the one that the user has chosen for menus.
func systemLanguage() string {
	names, err := windows.GetUserPreferredUILanguages(windows.MUI_LANGUAGE_NAME)
	if err != nil {
		return disclosure.English
	}
	return disclosure.Language(names...)
}

// detachConsole lets go of the window that Windows opens for a console program which is
// started at login.
func detachConsole() { windows.NewLazySystemDLL("kernel32.dll").NewProc("FreeConsole").Call() }
