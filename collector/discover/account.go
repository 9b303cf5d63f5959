package discover

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// suffix is what the 4.x client appends to the username: "_" and 4 to 8 hex digits,
// local to the machine [A for 4, C for 8].
var suffix = regexp.MustCompile(`^(.+)_[0-9a-fA-F]{4,8}$`)

// hash is what macOS 3.x names an account folder by.
var hash = regexp.MustCompile(`^[0-9a-f]{32}$`)

// unnamed is the account folder of early 4.x builds for Linux,
// ~/.local/share/weixin/data [C]. It says nothing of whose it is.
const unnamed = "data"

// Folders beside the accounts that are none.
var notAccounts = []string{"All Users", "Applet", "WMPF", "all_users", "Backup"}

func notAccount(name string) bool {
	return slices.ContainsFunc(notAccounts, func(n string) bool { return strings.EqualFold(n, name) })
}

// account adds the folder if it is an account's, and reports whether it is one.
func (f *finder) account(path string) bool {
	layout := f.layout(path)
	if layout == "" {
		return false
	}
	if path = resolved(path); f.first(path) {
		f.accounts = append(f.accounts, f.describe(path, layout))
	}
	return true
}

// layout tells an account folder by what is in it; "" is none. A folder that the
// client made a moment ago and has not filled yet counts. One that is there and may
// not be looked into is a problem.
func (f *finder) layout(path string) Layout {
	var denied error
	has := func(names ...string) bool {
		_, err := os.Stat(filepath.Join(append([]string{path}, names...)...))
		if err != nil && !absent(err) && denied == nil {
			denied = err
		}
		return err == nil
	}
	switch {
	case has("db_storage"):
		return V4
	case has("Msg", "MicroMsg.db"), has("Msg", "Multi"):
		return W3
	case has("Message", "msg_0.db"), hash.MatchString(filepath.Base(path)) && has("Message"):
		return M3
	case denied != nil:
		f.problem(path, denied)
	}
	return ""
}

func (f *finder) describe(path string, layout Layout) Account {
	name := filepath.Base(path)
	a := Account{ID: name, App: "wechat", Generation: "3", Layout: layout, Path: path, Home: f.home}
	switch layout {
	case W3:
		a.OS, a.DBDir = "windows", filepath.Join(path, "Msg")
	case M3:
		a.OS, a.DBDir = "darwin", path
		a.Hashed = hash.MatchString(name)
	case V4:
		a.App, a.Generation = "weixin", "4"
		a.OS, a.DBDir = f.goos, filepath.Join(path, "db_storage")
		if name == unnamed {
			sum := sha256.Sum256([]byte(path)) // two users' folders are two accounts
			a.ID, a.Hashed = "unnamed-"+hex.EncodeToString(sum[:4]), true
		} else if m := suffix.FindStringSubmatch(name); m != nil {
			a.ID, a.Alternative = m[1], name
		}
	}
	return a
}
