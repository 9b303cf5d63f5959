package agent

import (
	"io/fs"
	"strings"

	"golang.org/x/sys/windows"
)

const folderRemedy = "let the service run as LocalSystem, or give its user permission to read the users' profiles"

// folderOpen says when everybody, or every user, has rights in the state folder.
func folderOpen(dir string, _ fs.FileInfo) (problem, do string) {
	sd, err := windows.GetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return "the access list of " + dir + " cannot be read: " + err.Error(), "run doctor as an administrator"
	}
	text := sd.String()
	for _, open := range []string{";;;WD)", ";;;BU)", ";;;AU)", ";;;IU)"} { // everyone, users, authenticated, interactive
		if strings.Contains(text, open) {
			return dir + " may be entered by every user of this computer", "repair the installation (msiexec /fa), which sets the folder's access list"
		}
	}
	return "", ""
}

func agentUser(int) string { return "" }

func (d *doctor) notifications() {
	d.skip("file_notifications", "Windows has no limit for them")
}
