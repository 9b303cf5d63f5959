package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/agent"
	"tidemark/uploader/archivetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tidemark": main,
		// managed is tidemark on a machine whose policy is the folder policy.d.
		"managed": func() { policyDir, reloadEvery = "policy.d", 50*time.Millisecond; main() },
	})
}

// Promise: the command line, as administrators and scripts rely on it: its output,
// its errors with their hints, and its exit codes. Each script in testdata/script
// says what it shows.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			archive := archivetest.New(t, "archive.test")
			archive.Token = "tmt1token"
			server := httptest.NewServer(archive)
			env.Defer(server.Close)
			portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "<html>Please sign in</html>")
			}))
			env.Defer(portal.Close)
			// A short path: a socket's has a limit.
			state, err := os.MkdirTemp("", "tm")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(state) })
			key := archive.Keys.Archive.Key.String()
			env.Setenv("ARCHIVE", server.URL)
			env.Setenv("ARCHIVEKEY", key)
			env.Setenv("PORTAL", portal.URL)
			third, err := filepath.Abs("../../collector/sqlcipher/testdata/third") // databases of real SQLCipher 3
			if err != nil {
				return err
			}
			env.Setenv("THIRD", third)
			deploy, err := filepath.Abs("../../docs/deploy")
			if err != nil {
				return err
			}
			env.Setenv("DEPLOY", deploy)
			policy, err := filepath.Abs("../../installer/policy")
			if err != nil {
				return err
			}
			env.Setenv("POLICY", policy)
			env.Setenv("STATE", filepath.Join(state, "state"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home")) // no WeChat there
			env.Setenv("TIDEMARK_STATE_DIR", filepath.Join(state, "state"))
			env.Setenv("TIDEMARK_CONFIG", filepath.Join(env.WorkDir, "c.yaml"))
			config := filepath.Join(env.WorkDir, "c.yaml")
			if _, err := os.Stat(config); err != nil { // a script may have its own
				return os.WriteFile(config, []byte("log: {level: warn}\n"), 0o600)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"waitagent": waitAgent,
			"waitstate": waitState,
		},
	})
}

// exits runs the program and demands its exit code: exits 2 tidemark status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%v ended with %s, want %s", args[1:], code, args[0])
	}
}

// waitAgent waits until an agent answers for the state folder.
func waitAgent(ts *testscript.TestScript, neg bool, _ []string) {
	for {
		s, err := agent.FetchStatus(context.Background(), ts.Getenv("STATE"))
		if err == nil && (s.Enrolled == !neg) && (neg || (s.Capture != nil && s.Capture.Passes > 0)) {
			return
		}
		time.Sleep(5 * time.Millisecond) // it is another process: nothing else tells
	}
}

// waitState waits until the agent of the state folder has a reason with the text:
// waitstate TEXT, and with ! until it has none.
func waitState(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: waitstate TEXT")
	}
	for {
		s, err := agent.FetchStatus(context.Background(), ts.Getenv("STATE"))
		has := err == nil && slices.ContainsFunc(s.Reasons, func(r agent.Reason) bool { return strings.Contains(r.What, args[0]) })
		if err == nil && has != neg {
			return
		}
		time.Sleep(5 * time.Millisecond) // it is another process: nothing else tells
	}
}
