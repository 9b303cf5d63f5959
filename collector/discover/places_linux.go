package discover

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

func profileParents() []string { return []string{"/home"} }

// places are where Weixin 4.x for Linux keeps xwechat_files: the user's documents
// folder, whatever its name, the home folder, and the home that a Flatpak without
// permission for documents sees.
func places(home string) []string {
	out := []string{filepath.Join(home, "Documents"), home}
	if d := documents(home); d != "" {
		out = append(out, d)
	}
	flatpak := filepath.Join(home, ".var", "app", "com.tencent.WeChat")
	return append(out, flatpak, filepath.Join(flatpak, "Documents"), filepath.Join(flatpak, "data"))
}

// documents reads the name of the documents folder from the user's
// user-dirs.dirs (xdg-user-dirs).
func documents(home string) string {
	f, err := os.Open(filepath.Join(home, ".config", "user-dirs.dirs"))
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		value, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "XDG_DOCUMENTS_DIR=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `"`)
		if rest, ok := strings.CutPrefix(value, "$HOME"); ok {
			return filepath.Join(home, rest)
		}
		return value
	}
	return ""
}
