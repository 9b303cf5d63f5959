package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidemark/agent/disclosure"
	"tidemark/internal/state"
	"tidemark/seal/protocol"
)

// find is the check of that id.
func (x *Examination) find(t *testing.T, id string) Check {
	t.Helper()
	for _, c := range x.Checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no check %s in %+v", id, x.Checks)
	return Check{}
}

// Promise: each precondition that is not met fails by name, with what to do; those that
// could not be reached say so.
func TestDoctor(t *testing.T) {
	serve := func(h http.HandlerFunc) func(w *world) {
		return func(w *world) {
			s := httptest.NewServer(h)
			w.t.Cleanup(s.Close)
			w.config.ArchiveURL = s.URL
		}
	}
	for _, c := range []struct {
		name, check string
		enrolled    bool
		change      func(w *world)
		result      string
		words       string
	}{
		{"all that an enrolled device has", "archive_key", true, func(*world) {}, Passed, "pinned"},
		{"a clock that agrees", "clock", true, func(*world) {}, Passed, "agree"},
		{"an enrolment", "enrolment", true, func(*world) {}, Passed, "archive.test"},
		{"no enrolment", "enrolment", false, func(*world) {}, Failed, "not enrolled"},
		{"nobody runs", "agent", true, func(*world) {}, Failed, "no agent runs"},
		{"no spool yet", "spool", true, func(*world) {}, NotApplicable, "no spool yet"},
		{"a spool that is no spool", "spool", true, func(w *world) { w.write(spoolFile, strings.Repeat("x", 8192)) }, Failed, ""},
		{"an identity that is damaged", "secrets", true, func(w *world) { w.write(identityFile, "{") }, Failed, "damaged"},
		{"no room", "disk_space", true, func(w *world) { w.config.SpoolMinFree = 1 << 60 }, Failed, "are to stay free"},
		{"a notice of nobody", "notice", true, func(w *world) { w.config.Notice = disclosure.Notice{Mode: disclosure.NoticeRequired} }, Failed, "who records"},
		{"a notice with a name", "notice", true, func(w *world) {
			w.config.Notice = disclosure.Notice{Mode: disclosure.NoticeRequired, Organisation: "Example"}
		}, Passed, "required"},
		{"a source that is not there", "folders", true, func(w *world) { w.config.Sources = []string{"/nowhere/at/all"} }, Failed, "/nowhere/at/all"},
		{"nobody listens", "archive_connection", true, func(w *world) { w.config.ArchiveURL = "http://127.0.0.1:1" }, Failed, "no connection"},
		{"and the rest is open", "archive_answer", true, func(w *world) { w.config.ArchiveURL = "http://127.0.0.1:1" }, NotApplicable, "not reached"},
		{"a proxy that is away", "archive_connection", true, func(w *world) {
			w.config.ArchiveURL, w.config.Proxy = "http://archive.invalid", "http://127.0.0.1:1"
		}, Failed, "proxy"},
		{"a portal's redirect", "archive_answer", true, serve(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://login.example/", http.StatusFound)
		}), Failed, "login.example"},
		{"a portal's page", "archive_answer", true, serve(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") }), Failed, "captive portal"},
		{"a fault of the archive's", "archive_answer", true, serve(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) }), Failed, "503"},
		{"another archive", "archive_key", true, serve(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", protocol.TypeJSON)
			fmt.Fprint(rw, "{}")
		}), Failed, "another archive"},
		{"a clock that is off", "clock", true, serve(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", protocol.TypeJSON)
			rw.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}), Failed, "differs"},
		{"a certificate of nobody's", "archive_tls", true, func(w *world) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			w.t.Cleanup(s.Close)
			w.config.ArchiveURL = s.URL
		}, Failed, "not trusted"},
		{"a connection without TLS where TLS is wanted", "archive_tls", true, func(w *world) {
			w.config.ArchiveURL = strings.Replace(w.server.URL, "http:", "https:", 1)
		}, Failed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.enrolled {
				w.enrol()
			}
			c.change(w)
			x := Doctor(t.Context(), DoctorOptions{Config: w.config, Version: "test"})
			got := x.find(t, c.check)
			if got.Result != c.result || !strings.Contains(got.What, c.words) {
				t.Errorf("%+v, want %s, %q", got, c.result, c.words)
			}
			for _, c := range x.Checks {
				if c.Result == Failed && (c.Do == "" || strings.Contains(c.Do, "{")) {
					t.Errorf("%+v does not say what to do", c)
				}
			}
			if x.Passed { // no account is here in any case
				t.Error("everything passes")
			}
		})
	}
}

// Promise: an agent that runs is asked, and what it finds is told.
func TestDoctorWithAgent(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	r := w.run(w.agent())
	<-w.source.running
	x := Doctor(t.Context(), DoctorOptions{Config: w.config, Version: "test"})
	if c := x.find(t, "spool"); c.Result != Passed || !strings.Contains(c.What, "the agent has it open") {
		t.Errorf("%+v", c)
	}
	if c := x.find(t, "agent"); c.State == state.NotRunning {
		t.Errorf("%+v", c)
	}
	r.end("test")
}

// Promise: a state folder that others may enter is named.
func TestDoctorStateFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are an access list there, which the installer's tests set")
	}
	w := newWorld(t)
	w.enrol()
	if err := os.Chmod(w.config.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := Doctor(t.Context(), DoctorOptions{Config: w.config, Version: "test"}).find(t, "state_folder")
	if c.Result != Failed || !strings.Contains(c.Do, "chmod 700") {
		t.Errorf("%+v", c)
	}
}
