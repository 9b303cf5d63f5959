package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"tidemark/agent/config"
)

// folderAccess is for what only the service and administrators enter. It takes nothing
// from the folder above: in ProgramData every user may make files and folders.
const folderAccess = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

// errOpenFolder reports a folder that others may enter.
var errOpenFolder = errors.New("other users may enter it")

// folders are the state folder, after the program's folder in ProgramData if the state is
// below it: that one has the configuration, and a user may have made it before the program
// was installed.
func folders(stateDir string) []string {
	if own := filepath.Dir(config.DefaultFile()); strings.HasPrefix(strings.ToLower(stateDir), strings.ToLower(own)+`\`) {
		return []string{own, stateDir}
	}
	return []string{stateDir}
}

// ownFolder checks that the folders are the system's, the administrators' or this user's,
// and nobody else's. A link in a folder's place is somebody else's.
func ownFolder(stateDir string, _ fs.FileInfo) error {
	for _, dir := range folders(stateDir) {
		if err := own(dir); err != nil {
			return err
		}
	}
	return nil
}

func own(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode()&(os.ModeSymlink|os.ModeIrregular) != 0 {
		return fmt.Errorf("%w: %s leads to another folder; name that one in state_dir", ErrOthersFolder, dir)
	}
	sd, err := windows.GetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("the access list of %s cannot be read: %w", dir, err)
	}
	if who := stranger(sd); who != "" {
		return fmt.Errorf("%w: %s is %s's", ErrOthersFolder, dir, who)
	}
	if who := strangers(sd); len(who) > 0 {
		return fmt.Errorf("%s is open to %s: %w", dir, strings.Join(who, ", "), errOpenFolder)
	}
	if control, _, err := sd.Control(); err == nil && control&windows.SE_DACL_PROTECTED == 0 && windows.GetCurrentProcessToken().IsElevated() {
		return fmt.Errorf("%s takes access from the folder above: %w", dir, errOpenFolder)
	}
	return nil
}

// removable checks what Purge deletes. A list that lets others in is no reason to keep
// it: there are file systems that keep no lists.
func removable(stateDir string, info fs.FileInfo) error {
	if err := ownFolder(stateDir, info); err != nil && !errors.Is(err, errOpenFolder) {
		return err
	}
	return nil
}

// closeFolder gives the folders to the administrators. What belongs to somebody else is
// left alone: what is in it could be theirs too. A user's own agent, in a folder of the
// user's, changes nothing.
func closeFolder(stateDir string) error {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return nil
	}
	for _, dir := range folders(stateDir) {
		if err := own(dir); !errors.Is(err, errOpenFolder) {
			continue
		}
		if err := setAccess(dir); err != nil {
			return fmt.Errorf("protect %s: %w", dir, err)
		}
	}
	return nil
}

// setAccess sets the owner first, for only an owner may always set the rest.
func setAccess(dir string) error {
	sd, err := windows.SecurityDescriptorFromString(folderAccess)
	if err != nil {
		return err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return err
	}
	if err := windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION, owner, nil, nil, nil); err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}

// openAccess is what content or keys are read, changed or opened to others with: read and
// write data, append, extended attributes, delete, permissions, owner, and the general rights.
const openAccess = windows.FILE_READ_DATA | windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.FILE_WRITE_EA | 0x40 | // FILE_DELETE_CHILD
	windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_READ | windows.GENERIC_WRITE | windows.GENERIC_ALL

// trusted says that an account is the system's, the administrators' or this process's own.
func trusted(sid *windows.SID) bool {
	own, _ := ownSID()
	return sid.IsWellKnown(windows.WinLocalSystemSid) || sid.IsWellKnown(windows.WinBuiltinAdministratorsSid) ||
		sid.IsWellKnown(windows.WinCreatorOwnerSid) || sid.String() == own
}

// stranger names the owner who is not trusted, "" if the owner is.
func stranger(sd *windows.SECURITY_DESCRIPTOR) string {
	owner, _, err := sd.Owner()
	if err != nil || owner == nil {
		return "nobody known"
	}
	if trusted(owner) {
		return ""
	}
	return accountName(owner)
}

// strangers names whom else the list lets in. Without a list everybody is.
func strangers(sd *windows.SECURITY_DESCRIPTOR) []string {
	var who []string
	list, _, err := sd.DACL()
	if err != nil || list == nil {
		return append(who, "everybody")
	}
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return append(who, "whom its list does not tell")
		}
		if ace.Header.AceType == windows.ACCESS_ALLOWED_ACE_TYPE && ace.Mask&openAccess != 0 {
			if sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); !trusted(sid) && !slices.Contains(who, accountName(sid)) {
				who = append(who, accountName(sid))
			}
		}
	}
	return who
}

// accountName is what a person knows an account by, else its SID.
func accountName(sid *windows.SID) string {
	name, domain, _, err := sid.LookupAccount("")
	if err != nil {
		return sid.String()
	}
	return domain + `\` + name
}
