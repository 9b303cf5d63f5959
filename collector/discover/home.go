package discover

import (
	"path/filepath"
	"strings"
)

// settleHome finds out whose the account is. The profile that it lies in decides; an
// account elsewhere is of the user whose settings name the place, or else of the one who
// owns the folder.
func (f *finder) settleHome(a *Account) {
	for _, p := range f.profiles {
		if within(resolved(p.home), a.Path) {
			a.Home = p.home
			return
		}
	}
	if a.Home != "" {
		return
	}
	for _, p := range f.profiles {
		if sameOwner(p.home, a.Path) {
			a.Home = p.home
			return
		}
	}
}

// within says whether the path lies below the folder.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) && folder != string(filepath.Separator)
}
