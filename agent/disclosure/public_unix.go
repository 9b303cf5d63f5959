//go:build unix

package disclosure

import "os"

// makePublic makes a folder that everybody may read and only this user may write.
func makePublic(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask is
}
