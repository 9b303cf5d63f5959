//go:build !windows

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/archive/archivetest"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidemark-archive": main})
}

// The command line does what its help says: what it prints, where, and how it
// exits. The scripts are in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"deliver": deliver,
			"flip":    flip,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// await FILE waits until the file is there.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s does not appear", args[0])
}

// flip FILE OFFSET changes one byte; a negative offset counts from the end.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	if offset < 0 {
		offset += len(b)
	}
	b[offset] ^= 1
	ts.Check(os.Remove(name))
	ts.Check(os.WriteFile(name, b, 0o440))
}

// deliver ADDR-FILE TOKEN-FILE N plays a device: it reads the key document,
// enrols, and delivers N messages in as many batches. It sets DEVICE to its id.
func deliver(ts *testscript.TestScript, neg bool, args []string) {
	url := "http://" + strings.TrimSpace(ts.ReadFile(args[0]))
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	send := func(method, path, contentType, token string, body []byte) ([]byte, error) {
		req, err := http.NewRequest(method, url+path, bytes.NewReader(body))
		ts.Check(err)
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		ts.Check(err)
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		}
		return answer, nil
	}
	doc, err := send(http.MethodGet, protocol.PathArchive, "", "", nil)
	ts.Check(err)
	a, err := seal.OpenArchiveDocument(doc, sha256.Sum256(doc))
	ts.Check(err)
	d := archivetest.NewDevice(scriptT{ts: ts}, a)
	e := protocol.Enrollment{Hostname: "laptop-7", OS: "windows", Arch: "amd64", Version: "0.1.0"}
	protocol.SignEnrollment(&e, d.Identity, a.Key)
	body, err := json.Marshal(e)
	ts.Check(err)
	if _, err := send(http.MethodPost, protocol.PathEnroll, protocol.TypeJSON, strings.TrimSpace(ts.ReadFile(args[1])), body); err != nil {
		if neg {
			return
		}
		ts.Check(err)
	}
	if neg {
		ts.Fatalf("the device was enrolled")
	}
	var batches []byte
	for i := range n {
		batches = append(batches, d.Seal(seal.Messages, archivetest.Text(d.ID(), "123@chatroom", i+1, fmt.Sprint("message ", i+1))).Raw...)
	}
	path := "/v1/lanes/messages/batches"
	token, err := protocol.Token(d.Identity, a.Name(), http.MethodPost, path, batches, time.Now())
	ts.Check(err)
	answer, err := send(http.MethodPost, path, protocol.TypeBatches, token, batches)
	ts.Check(err)
	var r protocol.Receipts
	ts.Check(json.Unmarshal(answer, &r))
	if len(r.Receipts) != n {
		ts.Fatalf("%d receipts for %d batches", len(r.Receipts), n)
	}
	ts.Setenv("DEVICE", d.ID().String())
}

// scriptT lets a script stand in for a test.
type scriptT struct {
	testing.TB
	ts *testscript.TestScript
}

func (t scriptT) Fatal(args ...any) { t.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (t scriptT) Helper()           {}
