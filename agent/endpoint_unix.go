//go:build unix

package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socketFile is where the agent listens, in the state folder.
const socketFile = "agent.sock"

// maxSocketPath is the shortest limit of the systems (macOS: 104 with the final
// zero).
const maxSocketPath = 103

// socketPath is where the agent of the state folder listens. A path too long for a
// socket gives way to one in the system's folder for temporary files, whose owner
// is checked before it is believed.
func socketPath(stateDir string) string {
	path := filepath.Join(stateDir, socketFile)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(stateDir))
	return filepath.Join(os.TempDir(), "tidemark-"+hex.EncodeToString(sum[:8])+".sock")
}

// listenLocal opens the agent's socket, whose name goes when it is closed.
func listenLocal(stateDir string) (net.Listener, error) {
	path := socketPath(stateDir)
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, ErrRunning
	}
	// Nobody answers, so what is there was left by an agent that was killed.
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		os.Remove(path)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	return ln, nil
}

// dialLocal asks for the agent of the state folder.
func dialLocal(ctx context.Context, stateDir string) (net.Conn, error) {
	path := socketPath(stateDir)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	if err := trustedSocket(info); err != nil {
		return nil, fmt.Errorf("ask agent: %s: %w", path, err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask agent: %w", err)
	case err != nil: // a socket that nobody listens on was left by a killed agent
		return nil, ErrNotRunning
	}
	return conn, nil
}

// trustedSocket refuses a socket that another user has put in the agent's place.
func trustedSocket(info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode()&fs.ModeSocket == 0 || !ok || (s.Uid != 0 && int(s.Uid) != os.Geteuid()) {
		return errors.New("it is not a socket of this user's or the system's")
	}
	return nil
}
