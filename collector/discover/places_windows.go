package discover

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

func profileParents() []string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_UserProfiles, 0)
	if err != nil {
		return nil
	}
	return []string{dir}
}

// places are where Weixin 4.x for Windows keeps xwechat_files by default: the
// documents folder, in some builds the profile itself.
func places(home string) []string {
	return []string{filepath.Join(home, "Documents"), home}
}
