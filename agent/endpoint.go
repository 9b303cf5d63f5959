package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ErrRunning reports that another agent answers for the same state folder.
var ErrRunning = errors.New("another agent is running with this state folder")

// ErrNotRunning reports that no agent answers for the state folder.
var ErrNotRunning = errors.New("the agent is not running")

const maxStatus = 4 << 20

// The door to a running agent is a socket on Unix and a named pipe on Windows. Each
// system has
//
//	listenLocal(stateDir)       opens it for the agent's user and the administrators
//	dialLocal(ctx, stateDir)    knocks; ErrNotRunning when nobody is there, fs.ErrPermission
//	                            when this user may not ask, and another error when what is
//	                            there cannot be believed

// serve answers GET /status until the function it returns is called.
func (a *Agent) serve() (stop func(), err error) {
	ln, err := listenLocal(a.config().StateDir)
	if err != nil {
		return nil, err
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
		srv.Close() // and with it the door
		wg.Wait()
	}, nil
}

// FetchStatus asks the agent of the state folder how it is. ErrNotRunning means
// that none answers; fs.ErrPermission that this user may not ask.
func FetchStatus(ctx context.Context, stateDir string) (*Status, error) {
	conn, err := dialLocal(ctx, stateDir)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil { // it ended a moment ago
		return nil, ErrNotRunning
	}
	defer resp.Body.Close()
	var s Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&s); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask agent: status %d and no understandable answer", resp.StatusCode)
	}
	return &s, nil
}
