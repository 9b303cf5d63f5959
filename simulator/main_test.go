package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const hexKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// TestMain runs the program itself when asked to, for tests that must end a process.
func TestMain(m *testing.M) {
	if os.Getenv("SIMULATOR_TEST_RUN") != "" {
		main()
	}
	os.Exit(m.Run())
}

func runOK(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if code := run(context.Background(), args, &out); code != 0 {
		t.Fatalf("simulator %s: exit code %d", args[0], code)
	}
	return out.String()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Promise: make lays out an account that scan reads whole with the key that was handed
// out, checkpointed, with the WAL in the state the client leaves; chat goes on in it;
// the keys file keeps other accounts' keys and is nobody else's to read.
func TestMakeScanChat(t *testing.T) {
	dir := t.TempDir()
	keys, oracle := filepath.Join(dir, "keys.json"), filepath.Join(dir, "oracle")
	other := `{"v":1,"accounts":[{"account":"wxid_other","key":"` + hexKey + `"}]}`
	if err := os.WriteFile(keys, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	runOK(t, "make", "--root", dir, "--messages", "3000", "--conversations", "9", "--per-commit", "1000", "--keys-out", keys, "--oracle", oracle)
	var kf keyFile
	if err := json.Unmarshal(read(t, keys), &kf); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(keys); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("keys file: %v, %v", fi.Mode(), err)
	}
	if kf.V != 1 || len(kf.Accounts) != 2 || kf.Accounts[0].Account != "wxid_other" || kf.Accounts[1].Account != "wxid_tide" {
		t.Fatalf("keys file holds %d accounts in version %d", len(kf.Accounts), kf.V)
	}
	db := filepath.Join(dir, "wxid_tide_1a2b", "db_storage", "message", "message_0.db")
	if fi, err := os.Stat(db); err != nil || fi.Size() < 1_000_000 {
		t.Errorf("main file: %v, %v", fi.Size(), err)
	}
	if fi, err := os.Stat(db + "-wal"); err != nil || fi.Size() < 32 || fi.Size() > 4<<20 {
		t.Errorf("wal: %v, %v", fi.Size(), err)
	}
	rows := func() int {
		var r struct{ Rows, Bytes int }
		if err := json.Unmarshal([]byte(runOK(t, "scan", "--db", db, "--key", kf.Accounts[1].Key)), &r); err != nil || r.Bytes < r.Rows {
			t.Fatalf("scan: %+v, %v", r, err)
		}
		return r.Rows
	}
	if n := rows(); n != 3000 {
		t.Errorf("rows: got %d, want 3000", n)
	}
	if code := run(context.Background(), []string{"make", "--root", dir, "--messages", "1"}, &bytes.Buffer{}); code != 1 {
		t.Error("make wrote into an account that exists")
	}
	runOK(t, "chat", "--root", dir, "--rate", "0", "--count", "20", "--recall", "0", "--oracle", oracle)
	if n := rows(); n != 3020 {
		t.Errorf("rows: got %d, want 3020", n)
	}
	if code := run(context.Background(), []string{"chat", "--root", dir, "--count", "1", "--key", hexKey}, &bytes.Buffer{}); code != 1 {
		t.Error("chat accepted a wrong key")
	}
	// Promise: compare exits 1 on a fault and says how many.
	empty := filepath.Join(dir, "records")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(context.Background(), []string{"compare", "--oracle", oracle, "--records", empty}, &out); code != 1 || !strings.Contains(out.String(), "missing: 3020") {
		t.Errorf("compare with an empty archive: exit code %d", code)
	}
}

// Promise: exec prints rows as JSON arrays, and a text never looks like a blob of the same bytes.
func TestExec(t *testing.T) {
	db := filepath.Join(t.TempDir(), "e.db")
	got := runOK(t, "exec", "--db", db, "--key", hexKey, "--journal", "wal", "--sql", "CREATE TABLE m(a)", "--sql", "INSERT INTO m VALUES('x'), (x'78'), (NULL), (7)",
		"--sql", "SELECT a, 1 FROM m ORDER BY rowid")
	want := `["x",1]` + "\n" + `[{"base64":"eA=="},1]` + "\n" + `[null,1]` + "\n" + `[7,1]` + "\n"
	if got != want {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat(db + "-wal"); err == nil {
		t.Error("a plain exec left a WAL behind; stock SQLite removes it")
	}
	if code := run(context.Background(), []string{"exec", "--db", db, "--key", strings.Repeat("0", 64), "--sql", "SELECT 1"}, &bytes.Buffer{}); code != 1 {
		t.Error("exec accepted a wrong key")
	}
}

// Promise: with --hold the statements are committed in the WAL, which stays there when
// the process is told to end, and when it is killed.
func TestExecHold(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
		db := filepath.Join(t.TempDir(), "h.db")
		cmd := exec.Command(os.Args[0], "exec", "--db", db, "--key", hexKey, "--journal", "wal", "--hold",
			"--sql", "CREATE TABLE m(a)", "--sql", "INSERT INTO m VALUES(1)", "--sql", "SELECT 'ready'")
		cmd.Env = append(os.Environ(), "SIMULATOR_TEST_RUN=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		if n, err := out.Read(b); err != nil || !strings.Contains(string(b[:n]), "ready") {
			t.Fatalf("held process: %q, %v", b[:n], err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if fi, err := os.Stat(db); err != nil || fi.Size() != 4096 {
			t.Errorf("%v: main file is not one page", signal)
		}
		if fi, err := os.Stat(db + "-wal"); err != nil || fi.Size() < 32 {
			t.Errorf("%v: no wal left: %v", signal, err)
		}
		if got := runOK(t, "exec", "--db", db, "--key", hexKey, "--sql", "SELECT a FROM m"); got != "[1]\n" {
			t.Errorf("%v: reopened: %s", signal, got)
		}
	}
}

// Promise: SIGTERM ends a chat cleanly: exit code 0, nothing undecided, -wal and -shm in
// place, and an own message has its server id.
func TestChatEndsCleanly(t *testing.T) {
	dir := t.TempDir()
	oracle := filepath.Join(dir, "oracle")
	cmd := exec.Command(os.Args[0], "chat", "--root", dir, "--rate", "200", "--oracle", oracle)
	cmd.Env = append(os.Environ(), "SIMULATOR_TEST_RUN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); bytes.Count(read0(oracle), []byte("\n")) < 100; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("nothing said in a minute")
		}
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ended with %v", err)
	}
	b := read(t, oracle)
	if begins, outcomes := bytes.Count(b, []byte(`{"op":"begin"`)), bytes.Count(b, []byte(`{"op":"commit"`)); begins != outcomes {
		t.Errorf("%d changes begun, %d committed", begins, outcomes)
	}
	if pending, answered := bytes.Count(b, []byte(`"server_id":"0"`)), bytes.Count(b, []byte(`{"op":"server_id"`)); pending == 0 || pending != answered {
		t.Errorf("%d own messages, %d answers", pending, answered)
	}
	for _, end := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(filepath.Join(dir, "wxid_tide_1a2b", "db_storage", "message", "message_0.db") + end); err != nil {
			t.Error(err)
		}
	}
}

func read0(path string) []byte {
	b, _ := os.ReadFile(path)
	return b
}
