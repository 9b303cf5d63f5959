package discover

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// explain says what to do about an error, where the system's own word for it misleads.
// macOS answers EPERM, whatever a folder's mode says, when no privacy profile lets a
// program see another's container [S: Apple's profile schema].
func explain(goos, path string, err error) error {
	switch guarded := strings.Contains(filepath.ToSlash(path)+"/", "/Library/Containers/"); {
	case goos == "darwin" && guarded && errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: macOS guards other programs' data; the device management must grant the agent SystemPolicyAllFiles (full disk access) in a privacy profile", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the user whom the agent runs as may not read it", err)
	}
	return err
}
