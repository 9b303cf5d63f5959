//go:build unix

package installer

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Promise: systemd is told at the socket that it names; without one nobody is.
func TestReady(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Ready(); err != nil {
		t.Error(err)
	}
	dir, err := os.MkdirTemp("", "tm") // a short path: a socket's has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	t.Setenv("NOTIFY_SOCKET", name)
	if err := Ready(); err == nil {
		t.Error("no error when nobody listens")
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Ready(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("told %q, %v", b[:n], err)
	}
}
