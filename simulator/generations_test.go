package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// Promise: what is written as the third generation is the third generation: SQLCipher
// 3.4.1, which knows no other, opens it with its own defaults and finds it whole.
func TestSecondOpinion(t *testing.T) {
	if _, err := exec.LookPath("sqlcipher"); err != nil {
		t.Skip("sqlcipher, the second opinion, is not installed")
	}
	for _, tc := range []struct {
		generation, file, key, count string
	}{
		{"w3", "Multi/MSG0.db", "PRAGMA hexkey='KEY'; PRAGMA cipher_page_size=4096;", "SELECT count(*) FROM MSG"},
		{"m3", account.M3ContactFile, `PRAGMA key="x'KEY'";`, "SELECT count(*) > 6 FROM WCContact"},
		{"m3", account.M3LinkFile, "PRAGMA hexkey='KEY'; PRAGMA cipher_page_size=4096;", "SELECT count(*) FROM HlinkMediaRecord"},
	} {
		t.Run(tc.generation+" "+tc.file, func(t *testing.T) {
			root := t.TempDir()
			runOK(t, "make", "--generation", tc.generation, "--root", root, "--messages", "200", "--conversations", "9", "--key", hexKey)
			g := account.Generation(tc.generation)
			db := account.Place{Root: root, Name: "wxid_tide", Generation: g}.Path(tc.file)
			// The copy has no -shm, and the program that writes has the original open.
			dir := t.TempDir()
			for _, end := range []string{"", "-wal"} {
				if err := os.WriteFile(filepath.Join(dir, "db")+end, read(t, db+end), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("sqlcipher", filepath.Join(dir, "db"),
				strings.ReplaceAll(tc.key, "KEY", hexKey)+"PRAGMA cipher_version; PRAGMA integrity_check;"+tc.count+";").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			lines := strings.Fields(string(out))
			if len(lines) != 3 || !strings.HasPrefix(lines[0], "3.") || lines[1] != "ok" {
				t.Fatalf("got %q", lines)
			}
			if want := map[string]bool{"1": true, "0": true}; tc.generation == "m3" && !want[lines[2]] || tc.generation == "w3" && lines[2] == "0" {
				t.Errorf("rows: %s", lines[2])
			}
		})
	}
}

// Promise: keys by file open each file as raw keys, name it by its salt, and the
// account's own key is not among them.
func TestKeysByFile(t *testing.T) {
	for _, g := range []account.Generation{account.V4, account.W3, account.M3} {
		t.Run(string(g), func(t *testing.T) {
			dir := t.TempDir()
			keys := filepath.Join(dir, "keys.json")
			runOK(t, "make", "--generation", string(g), "--root", dir, "--messages", "50", "--conversations", "5", "--keys-out", keys, "--key-form", "files", "--key", hexKey)
			var kf keyFile
			if err := json.Unmarshal(read(t, keys), &kf); err != nil {
				t.Fatal(err)
			}
			if len(kf.Accounts) != 0 || len(kf.Databases) < 10 {
				t.Fatalf("%d accounts, %d databases", len(kf.Accounts), len(kf.Databases))
			}
			byFile := map[account.Generation]string{account.V4: account.MessageFile, account.W3: "Multi/MSG0.db", account.M3: account.M3ContactFile}
			db := account.Place{Root: dir, Name: "wxid_tide", Suffix: "1a2b", Generation: g}.Path(byFile[g])
			o := map[account.Generation]writer.ConnectOptions{
				account.V4: {Raw: true}, account.W3: {Raw: true, Compat: 3, PageSize: 4096}, account.M3: {Raw: true, Compat: 3},
			}[g]
			salt := hexOf(read(t, db)[:16])
			for _, k := range kf.Databases {
				if k.Key == hexKey && g != account.M3 {
					t.Error("the account's key is among those of the files")
				}
				if k.Salt != salt {
					continue
				}
				key, err := writer.ParseKey(k.Key)
				if err != nil {
					t.Fatal(err)
				}
				c, err := writer.Connect(db, key, o)
				if err != nil {
					t.Fatalf("the file's key does not open it: %v", err)
				}
				c.Close()
				return
			}
			t.Error("no key for the message database")
		})
	}
}

func hexOf(b []byte) string {
	var k writer.Key
	copy(k[:], b)
	return k.Hex()[:2*len(b)]
}

// Promise: after an upgrade the messages of an older client are in the new account under
// their server ids, and its keys are beside the old ones; the oracle tells of both.
func TestMigrate(t *testing.T) {
	for _, g := range []string{"w3", "m3"} {
		t.Run(g, func(t *testing.T) {
			dir := t.TempDir()
			keys, oracle := filepath.Join(dir, "keys.json"), filepath.Join(dir, "oracle")
			both := []string{"--keys-out", keys, "--oracle", oracle}
			runOK(t, append([]string{"chat", "--generation", g, "--root", filepath.Join(dir, "old"), "--rate", "0", "--count", "80", "--recall", "0.1", "--recall-after", "20ms"}, both...)...)
			runOK(t, append([]string{"migrate", "--root", filepath.Join(dir, "new")}, both...)...)
			runOK(t, append([]string{"chat", "--root", filepath.Join(dir, "new"), "--rate", "0", "--count", "20", "--recall", "0"}, both...)...)
			var kf keyFile
			if err := json.Unmarshal(read(t, keys), &kf); err != nil || len(kf.Accounts) != 2 || kf.Accounts[0].Key == kf.Accounts[1].Key {
				t.Fatalf("%d accounts in the keys file, %v", len(kf.Accounts), err)
			}
			db := account.Place{Root: filepath.Join(dir, "new"), Name: "wxid_tide", Suffix: "1a2b"}.Path("message/message_1.db")
			var r struct{ Rows int }
			if err := json.Unmarshal([]byte(runOK(t, "scan", "--db", db, "--key", kf.Accounts[1].Key)), &r); err != nil || r.Rows < 70 {
				t.Errorf("%d rows imported, %v", r.Rows, err)
			}
			records := filepath.Join(dir, "records")
			if err := os.WriteFile(records, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			run(t.Context(), []string{"compare", "--oracle", oracle, "--records", records}, &out)
			if !strings.HasPrefix(out.String(), "100 messages") {
				t.Errorf("compare: %s", out.String())
			}
		})
	}
}

// Promise: history in several databases has its last part in the first, and chat goes on
// there.
func TestShards(t *testing.T) {
	for _, g := range []account.Generation{account.V4, account.W3} {
		dir := t.TempDir()
		p := account.Place{Root: dir, Name: "wxid_tide", Suffix: "1a2b", Generation: g}
		file, table, created := "message/message_%d.db", account.Table(account.FileHelper), "create_time"
		if g == account.W3 {
			file, table, created = "Multi/MSG%d.db", "MSG", "CreateTime"
		}
		runOK(t, "make", "--generation", string(g), "--root", dir, "--messages", "300", "--conversations", "2", "--shards", "3", "--per-commit", "70", "--key", hexKey)
		runOK(t, "chat", "--generation", string(g), "--root", dir, "--rate", "0", "--count", "10", "--key", hexKey)
		var last []int64
		for n := range 3 {
			out := runOK(t, "exec", "--no-close-checkpoint", "--generation", string(g), "--db", p.Path(fmt.Sprintf(file, n)), "--key", hexKey, "--sql", "SELECT max("+created+") FROM "+table)
			var row []int64
			if err := json.Unmarshal([]byte(out), &row); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			last = append(last, row[0])
		}
		if !(last[0] > last[1] && last[1] > last[2]) || last[0] < time.Now().Unix()-60 {
			t.Errorf("%s: last messages at %v", g, last)
		}
	}
}

// Promise: each kind of drift is in the databases and in the oracle, and compare wants
// it noticed.
func TestDrift(t *testing.T) {
	for _, g := range []string{"v4", "w3", "m3"} {
		dir := t.TempDir()
		oracle, records := filepath.Join(dir, "oracle"), filepath.Join(dir, "records")
		runOK(t, "chat", "--generation", g, "--root", dir, "--rate", "0", "--count", "10", "--oracle", oracle, "--drift", "column,type,table,missing")
		if n := strings.Count(string(read(t, oracle)), `"op":"drift"`); n != 4 {
			t.Errorf("%s: %d drifts told", g, n)
		}
		if err := os.WriteFile(records, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		run(t.Context(), []string{"compare", "--oracle", oracle, "--records", records}, &out)
		if !strings.Contains(out.String(), "drift_missing: 1") {
			t.Errorf("%s: drift went unnoticed: %s", g, out.String())
		}
		runOK(t, "chat", "--generation", g, "--root", dir, "--rate", "0", "--count", "10", "--oracle", oracle) // and goes on
	}
}
