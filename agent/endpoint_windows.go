package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// pipePath names the pipe of the state folder's agent: names of folders differ in case
// only by accident.
func pipePath(stateDir string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(filepath.Clean(stateDir))))
	return `\\.\pipe\tidemark-` + hex.EncodeToString(sum[:8])
}

// listenLocal opens the agent's pipe to SYSTEM, to administrators and to the user whom
// the agent runs as, on this machine only. A pipe of that name that is there already is
// another agent's, or somebody's who waits for an agent to be asked; neither is joined.
func listenLocal(stateDir string) (net.Listener, error) {
	path := pipePath(stateDir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, err := dialLocal(ctx, stateDir); err == nil {
		conn.Close()
		return nil, ErrRunning
	}
	own, err := ownSID()
	if err != nil {
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	ln, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: "O:" + own + "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;" + own + ")", InputBufferSize: 16 << 10, OutputBufferSize: 64 << 10,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	// Wine lets one client in on the handle that only keeps the name, where nobody
	// answers. Windows does not, and this knock waits a moment in vain.
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if conn, err := winio.DialPipeContext(ctx, path); err == nil {
		conn.Close()
	}
	return ln, nil
}

// dialLocal asks for the agent of the state folder. The pipe's other end learns nothing
// of who asks, and is believed only if its owner is the system, the administrators or
// this user: any user may make a pipe of a name that is free.
func dialLocal(ctx context.Context, stateDir string) (net.Conn, error) {
	conn, err := winio.DialPipeContext(ctx, pipePath(stateDir))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask agent: %w", err)
	case err != nil:
		return nil, ErrNotRunning
	}
	if err := trustedPipe(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	return conn, nil
}

func trustedPipe(conn net.Conn) error {
	pipe, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		return errors.New("the pipe cannot be asked for its owner")
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(pipe.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("ask for the pipe's owner: %w", err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("ask for the pipe's owner: %w", err)
	}
	own, err := ownSID()
	if err != nil {
		return err
	}
	if owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.String() == own {
		return nil
	}
	return fmt.Errorf("the pipe belongs to %s, which is neither this user nor the system's", owner)
}

// ownSID is the user whom this process runs as.
func ownSID() (string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", fmt.Errorf("ask for this process's user: %w", err)
	}
	return user.User.Sid.String(), nil
}
