// Package discover finds WeChat's account folders on this device.
//
// It looks in the usual places of the operating system and in the places that
// WeChat's own settings name, for every user profile it may see, and in the roots it
// is given. Of the files in an account it reads nothing: what is there tells by its
// name. docs/coverage.md says which generations and places are known; the facts are
// those of public sources, none has been seen on a real client.
package discover

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
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

// Account is an account folder. One user's accounts before and after an upgrade from
// 3.x to 4.x are two, with the same ID where both folders tell it.
type Account struct {
	ID          string // username, by the folder's name; see Hashed
	Alternative string // the folder's whole name, when it could be the username itself
	App         string // wechat (3.x) or weixin (4.x)
	Generation  string // 3 or 4
	OS          string // windows, darwin, linux: of the client that wrote the files, where the layout tells; else this device's
	Layout      Layout
	Path        string // the account folder
	DBDir       string // what database names are relative to: db_storage (V4), Msg (W3), the account folder (M3)
	Home        string // the profile of the user whose account it is; "" when that cannot be told

	// Hashed says that the folder's name does not tell the username: it is a hash in
	// M3, and the word data in early builds for Linux. ID then is a stand-in that
	// stays the same as long as the folder does, until the databases tell the username.
	Hashed bool
}

// Problem is a place that should be searched and could not be.
type Problem struct {
	Path string
	Err  error
}

// Names of the folders that hold account folders.
const (
	root4  = "xwechat_files"
	rootW3 = "WeChat Files"
	rootM3 = "com.tencent.xinWeChat" // holds one folder for each data version, and these the accounts
)

// Find returns the accounts below the usual places and the extra roots, sorted by
// path, each once. An extra root may be a folder that holds accounts (xwechat_files,
// WeChat Files, com.tencent.xinWeChat), the folder around it, or an account folder of
// any layout. A usual place that does not exist is no problem; an extra root that
// does not exist is one, and so is any place that may not be read. Other users'
// folders are searched where this process may: only a process of the administrator
// is expected to.
func Find(extra []string) ([]Account, []Problem) {
	return find(thisMachine(), extra)
}

// machine is what the operating system says of this device.
type machine struct {
	goos       string
	privileged bool // root, an elevated process, the system's own account
	profiles   []profile
	problems   []Problem
}

func find(m machine, extra []string) ([]Account, []Problem) {
	f := finder{machine: m, seen: map[string]bool{}}
	f.problems = append(f.problems, m.problems...)
	for _, root := range extra {
		if _, err := os.Stat(root); err != nil {
			f.problem(root, err)
			continue
		}
		f.extra(root)
	}
	for _, p := range m.profiles {
		f.strict, f.home = p.own || m.privileged, p.home
		for _, root := range f.roots(p) {
			f.root(root)
		}
	}
	for i := range f.accounts {
		f.settleHome(&f.accounts[i])
	}
	slices.SortFunc(f.accounts, func(a, b Account) int { return strings.Compare(a.Path, b.Path) })
	return f.accounts, f.problems
}

type finder struct {
	machine
	strict   bool            // a place of which it cannot be told whether it is there is a problem
	home     string          // whose places are searched; "" while extra roots are
	seen     map[string]bool // roots and accounts, by resolved path
	accounts []Account
	problems []Problem
}

// version is how data versions of macOS 3.x are named, such as 2.0b4.0.9.
var version = regexp.MustCompile(`^[0-9]+\.[0-9]+b[0-9.]+$`)

// extra searches a root that was given. What it holds decides what it is.
func (f *finder) extra(root string) {
	f.strict = true
	if f.account(root) {
		return
	}
	if slices.Contains([]string{root4, rootW3}, filepath.Base(root)) || !f.inner(root) {
		f.root(root)
	}
}

// inner searches the roots inside a folder that was given.
func (f *finder) inner(folder string) (any bool) {
	const new4, old3, container = "Documents/" + root4, "Library/Application Support/" + rootM3, "Data/"
	for _, inner := range []string{
		root4, rootW3, rootM3,
		new4, "Documents/" + rootW3, old3, // the folder is a home, or the Data of a container
		container + new4, container + old3, // it is the container
		rootM3 + "/" + container + new4, rootM3 + "/" + container + old3, // it holds the container
	} {
		inner := filepath.Join(folder, filepath.FromSlash(inner))
		if f.folder(inner) {
			any = true
			f.root(inner)
		}
	}
	return any
}

// root searches a folder that holds account folders, and those of data versions if
// it has any. Where there is none, nothing is found.
func (f *finder) root(root string) {
	if !f.folder(root) || !f.first(root) {
		return
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		f.problem(root, err) // and what could be listed is looked at
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		switch {
		case e.Type().IsRegular() || notAccount(e.Name()):
		case f.account(path):
		case version.MatchString(e.Name()):
			f.root(path)
		}
	}
}

// first reports whether the path was not met before, under this name or another.
func (f *finder) first(path string) bool {
	path = resolved(path)
	known := f.seen[path]
	f.seen[path] = true
	return !known
}

func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// folder reports whether there is a folder at the path.
func (f *finder) folder(path string) bool {
	info, ok := f.stat(path)
	return ok && info.IsDir()
}

// stat looks whether the path is there. Not being able to tell is a problem where
// this process should be able to.
func (f *finder) stat(path string) (fs.FileInfo, bool) {
	info, err := os.Stat(path)
	if err != nil && f.strict && !absent(err) {
		f.problem(path, err)
	}
	return info, err == nil
}

// absent also covers a path that goes through something that is no folder.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (f *finder) problem(path string, err error) {
	err = explain(f.goos, path, err)
	same := func(p Problem) bool { return p.Path == path && p.Err.Error() == err.Error() }
	if !slices.ContainsFunc(f.problems, same) {
		f.problems = append(f.problems, Problem{path, err})
	}
}
