package agent

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/record"
)

// unattendedWorld is a device whose settings name the archive, with a token in a file.
func unattendedWorld(t *testing.T) (*world, func() *Agent) {
	w := newWorld(t)
	w.config.ArchiveURL, w.config.ArchiveKey = w.server.URL, w.archive.Keys.Archive.Key.String()
	w.config.TokenFile = filepath.Join(t.TempDir(), "enroll.token")
	return w, func() *Agent {
		a := w.agent()
		a.enrolFirst = time.Millisecond
		return a
	}
}

func (w *world) giveToken(token string) {
	w.t.Helper()
	if err := os.WriteFile(w.config.TokenFile, []byte(token+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within a minute\n%s", what, w.log)
		}
	}
}

func (w *world) tokenIsGone() bool {
	_, err := os.Stat(w.config.TokenFile)
	return errors.Is(err, fs.ErrNotExist)
}

// Promise: a device that is deployed with the archive's address, its key and a token
// enrols without a person, however long the archive does not answer or the token is not
// there; the token's file is deleted; and the token is in no log and no status.
func TestUnattended(t *testing.T) {
	w, agent := unattendedWorld(t)
	var down atomic.Bool
	down.Store(true)
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if down.Load() {
				w.refused.Add(1)
				rw.WriteHeader(http.StatusBadGateway)
			}
			return down.Load()
		}
	})
	r := w.run(agent())
	w.waitFor("status says what is missing", func() bool {
		return strings.Contains(r.a.Status().Reasons[0].What, ErrNotEnrolled.Error())
	})
	if w.refused.Load() > 0 {
		t.Error("asked without a token")
	}
	w.giveToken("tmt1wrong")
	w.waitFor("the archive is asked again", func() bool { return w.refused.Load() > 3 })
	down.Store(false)
	w.waitFor("status says that the token is refused", func() bool {
		return strings.Contains(r.a.Status().Reasons[0].What, "enrol")
	})
	if w.tokenIsGone() {
		t.Error("a token that did not work was deleted")
	}
	w.giveToken(w.archive.Token)
	w.waitRecords(1)
	w.waitFor("the token's file is deleted", w.tokenIsGone)
	r.end("x")
	if log := w.log.String(); strings.Contains(log, w.archive.Token) || strings.Contains(log, "tmt1wrong") {
		t.Error("the log has a token")
	}
}

// Promise: a token of managed policy enrols as well, and is not needed afterwards.
func TestUnattendedByPolicy(t *testing.T) {
	w, agent := unattendedWorld(t)
	w.config.Token = w.archive.Token
	r := w.run(agent())
	w.waitRecords(1)
	r.end("x")
	w.config.Token = ""
	r = w.run(agent())
	w.waitRecords(3)
	r.end("x")
	if got := w.events(); strings.Join(got, " ") != strings.Join([]string{record.EventStarted, record.EventStopped, record.EventStarted, record.EventStopped}, " ") {
		t.Errorf("events %v", got)
	}
}

// Promise: a device that its archive has forgotten enrols again with the same identity
// when there is a token, and nothing that waited is lost.
func TestReenrolled(t *testing.T) {
	w, agent := unattendedWorld(t)
	before := w.enrol().Device
	var known atomic.Bool
	w.archive.Do(func() {
		w.archive.Intercept = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if strings.HasSuffix(r.URL.Path, "/enroll") {
				known.Store(true)
				return false
			}
			if known.Load() || !strings.Contains(r.URL.Path, "/lanes/") {
				return false
			}
			rw.Header().Set("Content-Type", "application/problem+json")
			rw.WriteHeader(http.StatusUnauthorized)
			rw.Write([]byte(`{"type":"urn:tidemark:problem:token","status":401}`))
			return true
		}
	})
	r := w.run(agent())
	w.source.say(t, "while it is forgotten")
	w.waitFor("the archive's refusal shows", func() bool {
		s := r.a.Status()
		return s.Delivery != nil && s.Delivery.State == "not enrolled"
	})
	w.giveToken(w.archive.Token)
	w.waitRecords(2)
	w.waitFor("the token's file is deleted", w.tokenIsGone)
	if got := r.a.Status().Device; got != before {
		t.Errorf("the device is %s, and was %s", got, before)
	}
	r.end("x")
}
