package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrRunning reports that another agent answers for the same state folder.
var ErrRunning = errors.New("another agent is running with this state folder")

// ErrNotRunning reports that no agent answers for the state folder.
var ErrNotRunning = errors.New("the agent is not running")

// maxSocketPath is the shortest limit of the systems (macOS: 104 with the final
// zero).
const maxSocketPath = 103

const maxStatus = 4 << 20

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

// serve answers GET /status until the function it returns is called.
func (a *Agent) serve() (stop func(), err error) {
	path := socketPath(a.config().StateDir)
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
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(a.Status())
	})
	srv := &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ln) })
	return func() {
		srv.Close() // removes the socket too
		wg.Wait()
	}, nil
}

// FetchStatus asks the agent of the state folder how it is. ErrNotRunning means
// that none answers; fs.ErrPermission that this user may not ask.
func FetchStatus(ctx context.Context, stateDir string) (*Status, error) {
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
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask agent: %w", err)
	case err != nil: // a socket that nobody listens on was left by a killed agent
		return nil, ErrNotRunning
	}
	defer resp.Body.Close()
	var s Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask agent: status %d and no understandable answer", resp.StatusCode)
	}
	return &s, nil
}
