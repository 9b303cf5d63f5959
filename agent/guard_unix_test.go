//go:build unix

package agent

import (
	"os"
	"strings"
	"testing"
)

// Promise: a state folder that others could enter is closed at the start, and that is
// logged; capture goes on.
func TestOpenStateDir(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	if err := os.Chmod(w.config.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	a := w.agent()
	r := w.run(a)
	w.waitFor("it captures", func() bool { return a.Status().Spool != nil })
	r.end("test")
	info, err := os.Stat(w.config.StateDir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !strings.Contains(w.log.String(), "the state folder was open to other users") {
		t.Error("nothing is logged")
	}
}

// Promise: nothing is captured into a state folder that another user owns, status says
// so, and capture begins when that is put right.
func TestOthersStateDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else; CI is root")
	}
	w := newWorld(t)
	w.enrol()
	if err := os.Chown(w.config.StateDir, 4711, -1); err != nil {
		t.Fatal(err)
	}
	a := w.agent()
	r := w.run(a)
	w.waitFor("status says so", func() bool {
		s := a.Status()
		return s.Overall == Blind && strings.Contains(s.Reasons[0].What, ErrOthersFolder.Error()+" (number 4711)")
	})
	if a.Status().Spool != nil {
		t.Error("it captures")
	}
	if err := os.Chown(w.config.StateDir, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	w.waitFor("it captures", func() bool { return a.Status().Spool != nil })
	r.end("test")
}
