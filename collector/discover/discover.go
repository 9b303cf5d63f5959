// Package discover finds WeChat's account folders on this device.
//
// It looks in the usual places of the operating system, for every user profile it
// may see, and in the roots it is given. It lists folders and reads nothing in
// them. An account is a folder below a root named xwechat_files that has a folder
// db_storage (docs/coverage.md says which generations and places are known).
package discover

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Layout is how a generation of the client lays its files out, and with it their
// schema and encryption.
type Layout string

// The layouts.
const (
	W3 Layout = "w3" // Windows 3.x: Msg/MicroMsg.db, Msg/Multi/MSG<n>.db
	M3 Layout = "m3" // macOS 3.x: Message/msg_<n>.db below a hash
	V4 Layout = "v4" // 4.x of every system: db_storage
)

// Account is an account folder.
type Account struct {
	ID          string // username, by the folder's name; see Hashed
	Alternative string // the folder's whole name, when it could be the username itself
	App         string // wechat (3.x) or weixin (4.x)
	Generation  string // 3 or 4
	OS          string // windows, darwin, linux: of the client that wrote the files
	Layout      Layout
	Path        string // the account folder
	DBDir       string // what database names are relative to: db_storage (V4), Msg (W3), the account folder (M3)

	// Hashed says that the folder's name does not tell the username: it is a hash in
	// M3, and nothing at all in early builds for Linux. ID then is a stand-in that
	// stays the same as long as the folder does, until the databases tell the username.
	Hashed bool
}

// Problem is a place that should be searched and could not be.
type Problem struct {
	Path string
	Err  error
}

const rootName = "xwechat_files"

// Folders beside the accounts that are none.
var notAccounts = []string{"all_users", "Backup"}

// suffix is what the client appends to the username: "_" and 4 to 8 hex digits,
// local to the machine.
var suffix = regexp.MustCompile(`^(.+)_[0-9a-fA-F]{4,8}$`)

// Find returns the accounts below the usual places and the extra roots, sorted by
// path, each once. An extra root may be the xwechat_files folder, a folder that
// holds it, or an account folder itself. A usual place that does not exist is no
// problem; an extra root that does not exist is one.
func Find(extra []string) ([]Account, []Problem) {
	f := finder{seen: map[string]bool{}}
	for _, root := range extra {
		if _, err := os.Stat(root); err != nil {
			f.problems = append(f.problems, Problem{root, err})
			continue
		}
		if isDir(filepath.Join(root, "db_storage")) {
			f.account(root)
			continue
		}
		if inner := filepath.Join(root, rootName); isDir(inner) {
			root = inner
		}
		f.root(root)
	}
	homes, problems := profiles()
	f.problems = append(f.problems, problems...)
	for _, home := range homes {
		for _, place := range places(home) {
			if root := filepath.Join(place, rootName); isDir(root) {
				f.root(root)
			}
		}
	}
	slices.SortFunc(f.accounts, func(a, b Account) int { return strings.Compare(a.Path, b.Path) })
	return f.accounts, f.problems
}

type finder struct {
	seen     map[string]bool // by resolved path
	accounts []Account
	problems []Problem
}

func (f *finder) root(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		f.problems = append(f.problems, Problem{root, err})
		return
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if slices.Contains(notAccounts, e.Name()) || !isDir(filepath.Join(path, "db_storage")) {
			continue
		}
		f.account(path)
	}
}

func (f *finder) account(path string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		f.problems = append(f.problems, Problem{path, err})
		return
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	if f.seen[abs] {
		return
	}
	f.seen[abs] = true
	name := filepath.Base(abs)
	a := Account{ID: name, App: "weixin", Generation: "4", OS: runtime.GOOS, Layout: V4, Path: abs, DBDir: filepath.Join(abs, "db_storage")}
	if m := suffix.FindStringSubmatch(name); m != nil {
		a.ID, a.Alternative = m[1], name
	}
	f.accounts = append(f.accounts, a)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// profiles lists the home folders of this machine's users: the own one, and the
// others where the process may look.
func profiles() ([]string, []Problem) {
	var homes []string
	var problems []Problem
	if home, err := os.UserHomeDir(); err == nil {
		homes = append(homes, home)
	}
	for _, parent := range profileParents() {
		entries, err := os.ReadDir(parent)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				problems = append(problems, Problem{parent, err})
			}
			continue
		}
		for _, e := range entries {
			if home := filepath.Join(parent, e.Name()); !slices.Contains(homes, home) && isDir(home) {
				homes = append(homes, home)
			}
		}
	}
	return homes, problems
}
