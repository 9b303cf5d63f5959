package discover

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// plant makes files (and, with a slash at the end, folders) below dir.
func plant(t *testing.T, dir string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		path := filepath.Join(dir, filepath.FromSlash(p))
		folder := path
		if !strings.HasSuffix(p, "/") {
			folder = filepath.Dir(path)
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if folder != path {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tempDir is a folder by its real name, as accounts are named by.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// seen are the paths of accounts below dir, with slashes.
func seen(t *testing.T, dir string, found []Account) []string {
	t.Helper()
	var out []string
	for _, a := range found {
		rel, err := filepath.Rel(dir, a.Path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out
}

const (
	hashA = "0123456789abcdef0123456789abcdef"
	hashB = "fedcba9876543210fedcba9876543210"
)

// Promise: an account says what wrote it and whose it is, for every layout, and what
// stands beside accounts is none.
func TestAccounts(t *testing.T) {
	dir := tempDir(t)
	plant(t, dir,
		"xwechat_files/wxid_a_1a2b/db_storage/session/session.db", "xwechat_files/old_name/db_storage/", "xwechat_files/custom_beef/db_storage/",
		"xwechat_files/wxid_long_12345678/db_storage/", "xwechat_files/x_123456789/db_storage/",
		"xwechat_files/all_users/db_storage/", "xwechat_files/Backup/db_storage/", "xwechat_files/wxid_empty_0000/", "xwechat_files/a file",
		"WeChat Files/wxid_a/Msg/MicroMsg.db", "WeChat Files/name_beef/Msg/Multi/MSG0.db",
		"WeChat Files/All Users/Msg/MicroMsg.db", "WeChat Files/Applet/Msg/Multi/", "WeChat Files/WMPF/Msg/Multi/", "WeChat Files/wxid_none/FileStorage/",
		"com.tencent.xinWeChat/2.0b4.0.9/"+hashA+"/Message/msg_0.db", "com.tencent.xinWeChat/2.0b4.0.9/"+hashB+"/Message/",
		"com.tencent.xinWeChat/2.0b4.0.9/KeyValue/Message/", "com.tencent.xinWeChat/2.0b4.0.9/"+strings.Repeat("0", 32)+"/Account/",
		"com.tencent.xinWeChat/1.2b3/"+hashA+"/Message/msg_3.db", "com.tencent.xinWeChat/Other/"+hashB+"/Message/msg_0.db",
		"weixin/data/db_storage/message/message_0.db",
	)
	at := func(p ...string) string { return filepath.Join(append([]string{dir}, p...)...) }
	v4 := func(id, alternative, folder string) Account {
		return Account{
			ID: id, Alternative: alternative, App: "weixin", Generation: "4", OS: "linux", Layout: V4,
			Path: at("xwechat_files", folder), DBDir: at("xwechat_files", folder, "db_storage"),
		}
	}
	w3 := func(id string) Account {
		return Account{
			ID: id, App: "wechat", Generation: "3", OS: "windows", Layout: W3, Path: at("WeChat Files", id), DBDir: at("WeChat Files", id, "Msg"),
		}
	}
	m3 := func(version, id string) Account {
		path := at("com.tencent.xinWeChat", version, id)
		return Account{ID: id, App: "wechat", Generation: "3", OS: "darwin", Layout: M3, Path: path, DBDir: path, Hashed: true}
	}
	want := []Account{
		w3("name_beef"), w3("wxid_a"),
		m3("1.2b3", hashA), m3("2.0b4.0.9", hashA), m3("2.0b4.0.9", hashB),
		v4("custom", "custom_beef", "custom_beef"), v4("old_name", "", "old_name"), v4("wxid_a", "wxid_a_1a2b", "wxid_a_1a2b"),
		v4("wxid_long", "wxid_long_12345678", "wxid_long_12345678"), v4("x_123456789", "", "x_123456789"),
	}
	slices.SortFunc(want, func(a, b Account) int { return strings.Compare(a.Path, b.Path) })
	got, problems := find(machine{goos: "linux"}, []string{dir})
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v\nwant  %+v", got, want)
	}

	// A folder that says nothing of its owner has a stand-in that lasts.
	one, _ := find(machine{goos: "linux"}, []string{at("weixin")})
	two, _ := find(machine{goos: "linux"}, []string{at("weixin", "data")})
	if len(one) != 1 || !reflect.DeepEqual(one, two) || !one[0].Hashed || one[0].ID == "data" || one[0].Layout != V4 {
		t.Errorf("unnamed account: %+v and %+v", one, two)
	}
}

// Promise: whichever folder an administrator names, from the account's own to the one
// around WeChat's, the accounts below are found, each once.
func TestExtraRoots(t *testing.T) {
	dir := tempDir(t)
	container := "home/Library/Containers/com.tencent.xinWeChat"
	m3 := container + "/Data/Library/Application Support/com.tencent.xinWeChat/2.0b4.0.9/" + hashA
	m4 := container + "/Data/Documents/xwechat_files/wxid_m_0a0b"
	plant(t, dir, "docs/xwechat_files/wxid_a_1a2b/db_storage/", "docs/WeChat Files/wxid_a/Msg/MicroMsg.db",
		m3+"/Message/msg_0.db", m4+"/db_storage/", "win/Documents/WeChat Files/wxid_w/Msg/Multi/", "empty/")
	if err := os.Symlink(filepath.Join(dir, "docs"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	a4, a3 := "docs/xwechat_files/wxid_a_1a2b", "docs/WeChat Files/wxid_a"
	for roots, want := range map[string][]string{
		"docs": {a3, a4}, "docs/xwechat_files": {a4}, "docs/WeChat Files": {a3}, a4: {a4}, a3: {a3},
		"docs,docs/xwechat_files,link," + a3: {a3, a4},
		container:                            {m4, m3}, "home/Library/Containers": {m4, m3}, container + "/Data": {m4, m3},
		container + "/Data/Library/Application Support/com.tencent.xinWeChat":           {m3},
		container + "/Data/Library/Application Support":                                 {m3},
		container + "/Data/Library/Application Support/com.tencent.xinWeChat/2.0b4.0.9": {m3},
		m3: {m3}, "win": {"win/Documents/WeChat Files/wxid_w"}, "empty": nil,
	} {
		var extra []string
		for r := range strings.SplitSeq(roots, ",") {
			extra = append(extra, filepath.Join(dir, filepath.FromSlash(r)))
		}
		found, problems := find(machine{goos: "linux"}, extra)
		if got := seen(t, dir, found); !slices.Equal(got, want) || len(problems) > 0 {
			t.Errorf("%s: found %q, want %q; problems %v", roots, got, want, problems)
		}
	}
	if _, problems := find(machine{goos: "linux"}, []string{filepath.Join(dir, "nowhere")}); len(problems) != 1 || !errors.Is(problems[0].Err, fs.ErrNotExist) {
		t.Errorf("a root that is not there is no problem: %v", problems)
	}
}

// Promise: this device's own users and places can be asked for, whatever they are.
func TestThisMachine(t *testing.T) {
	home := tempDir(t)
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	m := thisMachine()
	if len(m.profiles) == 0 || !m.profiles[0].own || m.profiles[0].home != home {
		t.Errorf("the own profile does not come first: %+v", m.profiles)
	}
	seen := map[string]bool{}
	for _, p := range m.profiles {
		if seen[p.home] {
			t.Errorf("%s twice", p.home)
		}
		seen[p.home] = true
	}
	found, _ := Find(nil)
	for _, a := range found {
		if strings.HasPrefix(a.Path, home) {
			t.Errorf("an account in an empty home: %+v", a)
		}
	}
}

// Promise: what may not be read is said with what to do, and on a Mac with the one
// cause that no permission of the folder explains.
func TestExplain(t *testing.T) {
	guarded := "/Users/a/Library/Containers/com.tencent.xinWeChat/Data"
	for _, c := range []struct {
		goos, path string
		err        error
		want       string
	}{
		{"darwin", guarded, syscall.EPERM, "SystemPolicyAllFiles"},
		{"darwin", guarded, syscall.EACCES, "may not read"},
		{"darwin", "/Users/a/Documents", syscall.EPERM, "may not read"},
		{"linux", guarded, syscall.EPERM, "may not read"},
		{"linux", "/x", syscall.EIO, ""},
	} {
		cause := &fs.PathError{Op: "open", Path: c.path, Err: c.err}
		err := explain(c.goos, c.path, cause)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q in it", c.goos, c.path, err, c.want)
		}
		if c.want == "" && err != error(cause) {
			t.Errorf("%v is explained: %v", c.err, err)
		}
	}
}
