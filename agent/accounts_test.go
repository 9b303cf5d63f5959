package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Promise: whether databases open is told for every generation of the client, with the
// account's key or the file's, and an account's image key is seen. The databases were
// written by real SQLCipher 3; see the tests of collector/sqlcipher for how.
func TestAccountsOfEveryGeneration(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	w := newWorld(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	windows, mac := filepath.Join(dir, "WeChat Files"), filepath.Join(dir, "com.tencent.xinWeChat", "2.0b4.0.9", hash)
	for path, form := range map[string]string{
		filepath.Join(windows, "wxid_w", "Msg", "MicroMsg.db"):            "4096-derived.db",
		filepath.Join(windows, "wxid_w", "Msg", "Multi", "MSG0.db"):       "4096-derived.db",
		filepath.Join(windows, "wxid_w", "Msg", "Multi", "FTSMSG0.db"):    "plain.db", // not captured, not tried
		filepath.Join(windows, "wxid_raw", "Msg", "Multi", "MSG0.db"):     "4096-raw.db",
		filepath.Join(windows, "wxid_other", "Msg", "Multi", "MSG0.db"):   "1024-raw.db", // no form of this client
		filepath.Join(mac, "Message", "msg_0.db"):                         "1024-raw.db",
		filepath.Join(mac, "Contact", "wccontact_new2.db"):                "1024-derived.db",
		filepath.Join(mac, "Group", "group_new.db"):                       "4096-raw.db",
		filepath.Join(mac, "Hardlink", "hldata.db"):                       "4096-derived.db",
		filepath.Join(mac, "Session", "session_new.db"):                   "plain.db",
		filepath.Join(dir, "xwechat_files", "wxid_w_0a0b", "db_storage/"): "",
	} {
		folder := filepath.Dir(path)
		if form == "" {
			folder = path
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if form == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join("..", "collector", "sqlcipher", "testdata", "third", form))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.config.Sources = []string{dir}
	key := hex.EncodeToString([]byte("an-ordinary-32-byte-key-for-tests"[:32]))
	store := KeyStore(w.config)
	if err := os.MkdirAll(w.config.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"wxid_w", "wxid_raw", "wxid_other", hash} {
		if err := store.AddAccount(account, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.AddImage("wxid_w_0a0b", "0123456789abcdef", ""); err != nil { // by the folder's whole name
		t.Fatal(err)
	}
	infos, problems, err := Accounts(context.Background(), w.config)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", err, problems)
	}
	var got []string
	for _, i := range infos {
		if !strings.HasPrefix(i.Path, dir) {
			continue // this machine's own
		}
		opens := 0
		for _, d := range i.Databases {
			if d.Opens {
				opens++
			}
		}
		got = append(got, fmt.Sprintf("%s %s %s %s: %s, %d of %d, image %v", i.Account, i.App, i.Generation, i.OS, i.Key, opens, len(i.Databases), i.ImageKey))
	}
	want := []string{
		"wxid_other wechat 3 windows: rejected, 0 of 1, image false",
		"wxid_raw wechat 3 windows: opens, 1 of 1, image false",
		"wxid_w wechat 3 windows: opens, 2 of 2, image false",
		hash + " wechat 3 darwin: opens, 5 of 5, image false",
	}
	if n := len(got); n != 5 || !slices.Equal(got[:4], want) || !strings.HasPrefix(got[4], "wxid_w weixin 4 ") || !strings.HasSuffix(got[4], "unknown, 0 of 0, image true") {
		t.Errorf("accounts:\n%s\nwant:\n%s\nand the new one of 4.x", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b, err := json.Marshal(infos); err != nil || strings.Contains(string(b), key[:16]) {
		t.Errorf("a key shows: %v", err)
	}
}
