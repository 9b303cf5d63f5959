package discover

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func gbk(t *testing.T, text string) string {
	t.Helper()
	out, err := simplifiedchinese.GBK.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Promise: on each system the usual places and those that WeChat's or the user's
// settings name are searched; $DIR in a setting stands for the test's folder.
func TestPlaces(t *testing.T) {
	const account4, account3 = "wxid_a_1a2b", "wxid_a"
	const db4, db3 = "/" + account4 + "/db_storage/", "/" + account3 + "/Msg/MicroMsg.db"
	const appData = "home/AppData/Roaming/Tencent/"
	const support = "home/Library/Containers/com.tencent.xinWeChat/Data/Library/Application Support/com.tencent.xinWeChat/"
	tests := []struct {
		name, goos string
		windows    windowsProfile
		settings   map[string]string // files and what is in them
		account    string            // what makes the account; its folder is what is to be found
		problem    string
	}{
		{name: "Windows 4, documents", goos: "windows", account: "home/Documents/xwechat_files" + db4},
		{name: "Windows 3, documents", goos: "windows", account: "home/Documents/WeChat Files" + db3},
		{name: "Windows 4, profile folder", goos: "windows", account: "home/xwechat_files" + db4},
		{name: "Windows 4, documents elsewhere", goos: "windows", windows: windowsProfile{personal: "$DIR/文档"}, account: "文档/xwechat_files" + db4},
		{
			name: "Windows 3, documents by a variable", goos: "windows", windows: windowsProfile{personal: "%userprofile%/OneDrive/Documents"},
			account: "home/OneDrive/Documents/WeChat Files" + db3,
		},
		{
			name: "Windows 4, documents by the user's own variable", goos: "windows",
			windows: windowsProfile{personal: "%OneDrive%/Docs", vars: map[string]string{"ONEDRIVE": "$DIR/cloud"}}, account: "cloud/Docs/xwechat_files" + db4,
		},
		{
			name: "Windows, a variable that is not known", goos: "windows", windows: windowsProfile{personal: "%NOSUCH%/Docs"},
			account: "home/Documents/xwechat_files" + db4, problem: "variable",
		},
		{name: "Windows 3, registry", goos: "windows", windows: windowsProfile{fileSavePath: "$DIR/disk d"}, account: "disk d/WeChat Files" + db3},
		{name: "Windows 3, registry, the root itself", goos: "windows", windows: windowsProfile{fileSavePath: "$DIR/d/WeChat Files/"}, account: "d/WeChat Files" + db3},
		{
			name: "Windows 3, registry, MyDocument", goos: "windows", windows: windowsProfile{personal: "$DIR/docs", fileSavePath: "MyDocument:"},
			account: "docs/WeChat Files" + db3,
		},
		{
			name: "Windows 3, registry, nonsense", goos: "windows", windows: windowsProfile{fileSavePath: "nonsense"},
			account: "home/Documents/WeChat Files" + db3, problem: "FileSavePath",
		},
		{
			name: "Windows 3, ini", goos: "windows", settings: map[string]string{appData + "WeChat/All Users/config/3ebffe94.ini": "$DIR/数据"},
			account: "数据/WeChat Files" + db3,
		},
		{
			name: "Windows 3, ini, MyDocument below", goos: "windows", settings: map[string]string{appData + "WeChat/All Users/config/3ebffe94.ini": "mydocument:/chat\r\n"},
			account: "home/Documents/chat/WeChat Files" + db3,
		},
		{
			name: "Windows 3, ini below another AppData", goos: "windows", windows: windowsProfile{appData: "$DIR/roaming"},
			settings: map[string]string{"roaming/Tencent/WeChat/All Users/config/3ebffe94.ini": "$DIR/r"}, account: "r/WeChat Files" + db3,
		},
		{
			name: "Windows 4, ini in UTF-8 with a mark", goos: "windows", settings: map[string]string{appData + "xwechat/config/0a1b.ini": "\xef\xbb\xbf$DIR/数据\x00"},
			account: "数据/xwechat_files" + db4,
		},
		{
			name: "Windows 4, ini in GBK", goos: "windows", settings: map[string]string{appData + "xwechat/config/0a1b.INI": gbk(t, "$DIR/微信数据")},
			account: "微信数据/xwechat_files" + db4,
		},
		{
			name: "Windows 4, one of several, the root itself", goos: "windows",
			settings: map[string]string{appData + "xwechat/config/a.ini": "$DIR/gone", appData + "xwechat/config/b.ini": "$DIR/d/xwechat_files", appData + "xwechat/config/c.txt": "x"},
			account:  "d/xwechat_files" + db4,
		},
		{
			name: "Windows 4, ini that is empty", goos: "windows", settings: map[string]string{appData + "xwechat/config/a.ini": "\r\n"},
			account: "home/Documents/xwechat_files" + db4,
		},
		{
			name: "Windows 4, ini of another kind", goos: "windows", settings: map[string]string{appData + "xwechat/config/a.ini": "[paths]\nroot=/x\n"},
			account: "home/Documents/xwechat_files" + db4, problem: "name that folder in sources",
		},
		{name: "macOS 3", goos: "darwin", account: support + "2.0b4.0.9/" + hashA + "/Message/msg_0.db"},
		{name: "macOS 4", goos: "darwin", account: "home/Library/Containers/com.tencent.xinWeChat/Data/Documents/xwechat_files" + db4},
		{name: "Linux, documents", goos: "linux", account: "home/Documents/xwechat_files" + db4},
		{name: "Linux, home", goos: "linux", account: "home/xwechat_files" + db4},
		{
			name: "Linux, documents by another name", goos: "linux", settings: map[string]string{"home/.config/user-dirs.dirs": "# comment\nXDG_DOCUMENTS_DIR=\"$HOME/文档\"\n"},
			account: "home/文档/xwechat_files" + db4,
		},
		{
			name: "Linux, documents elsewhere", goos: "linux", settings: map[string]string{"home/.config/user-dirs.dirs": "XDG_DOCUMENTS_DIR=\"$DIR/d\"\n"},
			account: "d/xwechat_files" + db4,
		},
		{name: "Linux, Flatpak", goos: "linux", account: "home/.var/app/com.tencent.WeChat/xwechat_files" + db4},
		{name: "Linux, Flatpak's documents", goos: "linux", account: "home/.var/app/com.tencent.WeChat/Documents/xwechat_files" + db4},
		{name: "Linux, early build", goos: "linux", account: "home/.local/share/weixin/data/db_storage/"},
	}
	for _, c := range tests {
		if runtime.GOOS == "windows" && c.goos != "windows" {
			continue // other systems' settings hold paths that are none here
		}
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			here := func(text string) string { return strings.ReplaceAll(text, "$DIR", dir) }
			plant(t, dir, "home/", c.account)
			for path, content := range c.settings {
				plant(t, dir, path)
				if err := os.WriteFile(filepath.Join(dir, path), []byte(here(content)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			w := windowsProfile{here(c.windows.personal), here(c.windows.appData), here(c.windows.fileSavePath), map[string]string{}}
			for name, value := range c.windows.vars {
				w.vars[name] = here(value)
			}
			m := machine{goos: c.goos, profiles: []profile{{home: filepath.Join(dir, "home"), own: true, windows: w}}}
			found, problems := find(m, nil)
			if len(found) != 1 || !strings.HasPrefix(filepath.Join(dir, c.account), found[0].Path+string(filepath.Separator)) || found[0].OS != c.goos {
				t.Errorf("found %+v", found)
			}
			if c.problem == "" && len(problems) > 0 || c.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), c.problem)) {
				t.Errorf("problems %v, want %q", problems, c.problem)
			}
		})
	}
}

// Promise: every user's folders are searched, of one system in one go, and an upgrade
// shows as two accounts of one username.
func TestProfiles(t *testing.T) {
	dir := tempDir(t)
	plant(t, dir, "a/Documents/WeChat Files/wxid_a/Msg/Multi/", "a/Documents/xwechat_files/wxid_a_0001/db_storage/", "b/Documents/xwechat_files/wxid_b_0002/db_storage/")
	m := machine{goos: "windows", privileged: true, profiles: []profile{{home: filepath.Join(dir, "a")}, {home: filepath.Join(dir, "b")}, {home: filepath.Join(dir, "c")}}}
	found, problems := find(m, nil)
	var ids []string
	for _, a := range found {
		ids = append(ids, a.ID+" "+a.Generation)
	}
	if want := []string{"wxid_a 3", "wxid_a 4", "wxid_b 4"}; !slices.Equal(ids, want) || len(problems) > 0 {
		t.Errorf("found %q, want %q; problems %v", ids, want, problems)
	}
}

// Promise: a place of which it cannot be told whether accounts are there is a problem
// for the user's own folders and for an administrator's process, and for nobody else;
// one that is seen and cannot be listed always is. (A name too long stands for a
// folder that may not be entered, because an administrator runs this test too.)
func TestPlaceThatCannotBeLookedAt(t *testing.T) {
	long := string(filepath.Separator) + strings.Repeat("x", 5000)
	for _, c := range []struct{ own, privileged, want bool }{{own: true, want: true}, {privileged: true, want: true}, {}} {
		for _, goos := range []string{"windows", "darwin", "linux"} {
			_, problems := find(machine{goos: goos, privileged: c.privileged, profiles: []profile{{home: long, own: c.own}}}, nil)
			if (len(problems) > 0) != c.want {
				t.Errorf("%s, %+v: problems %v", goos, c, problems)
			}
		}
	}
	dir := tempDir(t)
	plant(t, dir, "home/Documents/xwechat_files/wxid_a_0001/")
	loop := filepath.Join(dir, "home", "Documents", "xwechat_files", "wxid_a_0001", "db_storage")
	if err := os.Symlink(loop, loop); err != nil { // itself: nothing can be looked up below
		t.Fatal(err)
	}
	_, problems := find(machine{goos: "linux", profiles: []profile{{home: filepath.Join(dir, "home")}}}, nil)
	if len(problems) != 1 || problems[0].Path != filepath.Dir(loop) {
		t.Errorf("account folder that cannot be looked into: %v", problems)
	}
}
