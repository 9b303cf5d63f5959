package discover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// profiles makes profiles of home folders, the own one first, each once. Those that
// are not there are left out.
func profiles(homes []string) []profile {
	var out []profile
	own, err := os.UserHomeDir()
	if err == nil {
		homes = append([]string{own}, homes...)
	}
	for _, home := range homes {
		home = filepath.Clean(home)
		known := slices.ContainsFunc(out, func(p profile) bool { return sameName(p.home, home) })
		if info, err := os.Stat(home); known || (err == nil && !info.IsDir()) || (err != nil && absent(err)) {
			continue
		}
		out = append(out, profile{home: home, own: own != "" && sameName(home, filepath.Clean(own))})
	}
	return out
}

// folders lists what may be home folders below one that holds them.
func folders(parent string) ([]string, []Problem) {
	entries, err := os.ReadDir(parent)
	var problems []Problem
	if err != nil && !absent(err) {
		problems = append(problems, Problem{parent, err})
	}
	var out []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			out = append(out, filepath.Join(parent, e.Name()))
		}
	}
	return out, problems
}

// sameName compares paths as the file systems of Windows do, which is harmless elsewhere.
func sameName(a, b string) bool {
	return a == b || (filepath.Separator == '\\' && strings.EqualFold(a, b))
}
