package disclosure

import (
	"os"

	"golang.org/x/sys/windows"
)

// publicAccess: the system and administrators do everything, users read, and nothing
// comes from the folder above, in which users may make files.
const publicAccess = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FRFX;;;BU)"

// makePublic makes a folder that everybody may read and only administrators may write.
func makePublic(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !windows.GetCurrentProcessToken().IsElevated() {
		return nil // a user's own agent, in that user's own folder
	}
	sd, err := windows.SecurityDescriptorFromString(publicAccess)
	if err != nil {
		return err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}
