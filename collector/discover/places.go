package discover

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// profile is one user of this device, with what the system says of the user's folders.
type profile struct {
	home string
	own  bool // of the user whom this process runs as

	windows windowsProfile
}

// roots are the places where this user's accounts can be, whether they exist or not.
func (f *finder) roots(p profile) []string {
	switch f.goos {
	case "windows":
		return f.windowsRoots(p)
	case "darwin":
		return darwinRoots(p)
	case "linux":
		return linuxRoots(p)
	}
	return nil
}

// windowsProfile is what the user's registry hive says, as it stands there. All is
// empty for a user who is not logged in, whose hive is not loaded.
type windowsProfile struct {
	personal     string            // User Shell Folders, Personal: the documents folder
	appData      string            // User Shell Folders, AppData
	fileSavePath string            // Software\Tencent\WeChat, FileSavePath
	vars         map[string]string // environment, names in upper case
}

// windowsRoots: both generations keep to the documents folder until the user chooses
// another; 3.x notes the choice in the registry and in a file, 4.x in files [A]. Some
// 4.1 builds took the profile folder instead [C].
func (f *finder) windowsRoots(p profile) []string {
	vars := map[string]string{"USERPROFILE": p.home, "APPDATA": filepath.Join(p.home, "AppData", "Roaming")}
	for name, value := range p.windows.vars {
		vars[name] = value
	}
	expanded := func(value string) []string {
		if value == "" {
			return nil
		}
		path, ok := expand(value, vars)
		if !ok {
			f.unclear(value, errors.New("a folder setting of the user names a variable that is not known"))
			return nil
		}
		return []string{path}
	}
	documents := append(expanded(p.windows.personal), filepath.Join(p.home, "Documents"))
	appData := vars["APPDATA"]
	if e := expanded(p.windows.appData); e != nil {
		appData = e[0]
	}

	var roots []string
	for _, d := range documents {
		roots = append(roots, filepath.Join(d, rootW3), filepath.Join(d, root4))
	}
	roots = append(roots, filepath.Join(p.home, root4))
	if saved := p.windows.fileSavePath; saved != "" {
		parents, ok := parents(saved, vars, documents)
		if !ok {
			f.unclear(saved, errors.New("WeChat's setting FileSavePath is no folder's path"))
		}
		for _, parent := range parents {
			roots = append(roots, below(parent, rootW3))
		}
	}
	tencent := filepath.Join(appData, "Tencent")
	for _, parent := range f.iniParents(filepath.Join(tencent, "WeChat", "All Users", "config", "3ebffe94.ini"), vars, documents) {
		roots = append(roots, below(parent, rootW3))
	}
	config := filepath.Join(tencent, "xwechat", "config")
	if f.folder(config) {
		entries, err := os.ReadDir(config)
		if err != nil {
			f.problem(config, err)
		}
		for _, e := range entries {
			if !strings.EqualFold(filepath.Ext(e.Name()), ".ini") {
				continue
			}
			for _, parent := range f.iniParents(filepath.Join(config, e.Name()), vars, documents) {
				roots = append(roots, below(parent, root4))
			}
		}
	}
	return roots
}

// unclear is a problem with what a setting says rather than with a place.
func (f *finder) unclear(path string, err error) {
	if f.strict {
		f.problem(path, err)
	}
}

// below is parent/name, or parent when it is that already.
func below(parent, name string) string {
	if strings.EqualFold(filepath.Base(parent), name) {
		return parent
	}
	return filepath.Join(parent, name)
}

// iniParents reads a file whose whole content is the parent folder of a root.
func (f *finder) iniParents(path string, vars map[string]string, documents []string) []string {
	info, ok := f.stat(path)
	if !ok || !info.Mode().IsRegular() {
		return nil
	}
	data, err := readSmall(path)
	if err != nil {
		f.unclear(path, err)
		return nil
	}
	texts := iniTexts(data)
	if len(texts) == 0 && len(strings.TrimSpace(string(data))) == 0 {
		return nil // empty: nothing was chosen
	}
	var out []string
	for _, text := range texts {
		found, _ := parents(text, vars, documents)
		out = append(out, found...)
	}
	if len(out) == 0 {
		f.unclear(path, errors.New("it should hold the path of WeChat's data folder and does not; name that folder in sources"))
	}
	return out
}

// maxSetting bounds a setting's file; a path has at most 32,767 characters.
const maxSetting = 64 << 10

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSetting))
}

// darwinRoots: both generations live in the client's sandbox container [A].
func darwinRoots(p profile) []string {
	data := filepath.Join(p.home, "Library", "Containers", rootM3, "Data")
	return []string{
		filepath.Join(data, "Library", "Application Support", rootM3),
		filepath.Join(data, "Documents", root4),
	}
}

// linuxRoots: the documents folder, whatever its name [A], the home folder, the home
// that a Flatpak without permission for documents sees [B], and where early builds
// kept their one account [C].
func linuxRoots(p profile) []string {
	flatpak := filepath.Join(p.home, ".var", "app", "com.tencent.WeChat")
	parents := []string{
		filepath.Join(p.home, "Documents"), p.home, flatpak, filepath.Join(flatpak, "Documents"), filepath.Join(flatpak, "data"),
	}
	if data, err := readSmall(filepath.Join(p.home, ".config", "user-dirs.dirs")); err == nil {
		if d := xdgDocuments(string(data), p.home); d != "" && !slices.Contains(parents, d) {
			parents = append(parents, d)
		}
	}
	var roots []string
	for _, parent := range parents {
		roots = append(roots, filepath.Join(parent, root4))
	}
	return append(roots,
		filepath.Join(p.home, ".local", "share", "weixin"), filepath.Join(flatpak, ".local", "share", "weixin"), filepath.Join(flatpak, "data", "weixin"))
}
