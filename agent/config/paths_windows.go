package config

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// DefaultFile is where the configuration file is looked for unless named.
func DefaultFile() string { return filepath.Join(programData(), "tidemark.yaml") }

func defaultStateDir() string { return filepath.Join(programData(), "state") }

func defaultTokenFile() string { return filepath.Join(programData(), "enroll.token") }

func defaultPublicDir() string { return filepath.Join(programData(), "public") }

func defaultPolicyDir() string { return "" } // the registry comes later

// programData asks the system: in a service the variable ProgramData may be
// another user's, or wrong.
func programData() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		dir = `C:\ProgramData`
	}
	return filepath.Join(dir, "Tidemark")
}
