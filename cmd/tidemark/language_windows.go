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
