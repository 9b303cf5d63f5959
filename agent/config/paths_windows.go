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

// policies are this machine's managed settings.
func policies() []place { return registryPlaces(registryPolicy, false) }

// installation is what the package was given to install with.
func installation() []place { return registryPlaces(registryInstallation, true) }

// programData asks the system: in a service the variable ProgramData may be
// another user's, or wrong.
func programData() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		dir = `C:\ProgramData`
	}
	return filepath.Join(dir, "Tidemark")
}
