//go:build unix

package config

import (
	"path/filepath"
	"runtime"
)

// DefaultFile is where the configuration file is looked for unless named.
func DefaultFile() string {
	if runtime.GOOS == "darwin" {
		return "/Library/Application Support/Tidemark/tidemark.yaml"
	}
	return "/etc/tidemark/tidemark.yaml"
}

func defaultStateDir() string {
	if runtime.GOOS == "darwin" {
		return "/Library/Application Support/Tidemark/state"
	}
	return "/var/lib/tidemark"
}

func defaultTokenFile() string { return filepath.Join(filepath.Dir(DefaultFile()), "enroll.token") }

func defaultPublicDir() string {
	if runtime.GOOS == "darwin" {
		return "/Library/Application Support/Tidemark/public"
	}
	return "/run/tidemark" // RuntimeDirectory of the service
}

// policies are this machine's managed settings.
func policies() []place {
	if runtime.GOOS == "darwin" {
		return preferences(managedPreferences)
	}
	return policyFiles("/etc/tidemark/policy.d")
}

// installation is what the package was given to install with: nothing on these systems,
// where the configuration file is the place for it.
func installation() []place { return nil }
