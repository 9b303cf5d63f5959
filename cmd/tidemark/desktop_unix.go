//go:build unix

package main

import (
	"os"

	"tidemark/agent/disclosure"
)

// systemLanguage is the user's, in the order in which the C library looks.
func systemLanguage() string {
	return disclosure.Language(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
}

// detachConsole has nothing to do: only Windows opens a console by itself.
func detachConsole() {}
