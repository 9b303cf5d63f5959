package discover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// Where the registry says things. Hives of users stand under HKEY_USERS\<SID> while
// they are logged in; HKEY_CURRENT_USER would be the service's own.
const (
	profileList = `SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList`
	userFolders = `\Software\Microsoft\Windows\CurrentVersion\Explorer\User Shell Folders`
	wechat3     = `\Software\Tencent\WeChat`
	environment = `\Environment`
	volatile    = `\Volatile Environment`
)

// Profiles of the system's own accounts: local system, local service, network service.
var systemAccounts = []string{"S-1-5-18", "S-1-5-19", "S-1-5-20"}

// thisMachine knows users by the registry's list of profiles, else by the folder that
// holds them.
func thisMachine() machine {
	m := machine{goos: "windows", privileged: windows.GetCurrentProcessToken().IsElevated()}
	sids := registryProfiles()
	var homes []string
	for home := range sids {
		homes = append(homes, home)
	}
	slices.Sort(homes)
	if len(homes) == 0 {
		parent, err := windows.KnownFolderPath(windows.FOLDERID_UserProfiles, 0)
		if err != nil {
			parent = filepath.Join(os.Getenv("SystemDrive")+`\`, "Users")
		}
		homes, m.problems = folders(parent)
	}
	m.profiles = profiles(homes)
	for i, p := range m.profiles {
		for home, sid := range sids {
			if sameName(home, p.home) {
				m.profiles[i].windows = hive(sid)
			}
		}
	}
	return m
}

// registryProfiles maps home folders to their users' SIDs.
func registryProfiles() map[string]string {
	list, err := registry.OpenKey(registry.LOCAL_MACHINE, profileList, registry.ENUMERATE_SUB_KEYS)
	if err != nil {
		return nil
	}
	defer list.Close()
	sids, err := list.ReadSubKeyNames(-1)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, sid := range sids {
		if slices.Contains(systemAccounts, sid) {
			continue
		}
		home := text(registry.LOCAL_MACHINE, profileList+`\`+sid, "ProfileImagePath")
		if home, err := registry.ExpandString(home); err == nil && home != "" {
			out[filepath.Clean(home)] = sid
		}
	}
	return out
}

// hive reads what the user's hive says; nothing where it is not loaded or not ours
// to read.
func hive(sid string) windowsProfile {
	p := windowsProfile{
		personal:     text(registry.USERS, sid+userFolders, "Personal"),
		appData:      text(registry.USERS, sid+userFolders, "AppData"),
		fileSavePath: text(registry.USERS, sid+wechat3, "FileSavePath"),
		vars:         map[string]string{},
	}
	for _, name := range []string{"SystemDrive", "SystemRoot", "Public", "ProgramData"} { // the same for all users
		if v := os.Getenv(name); v != "" {
			p.vars[strings.ToUpper(name)] = v
		}
	}
	for _, path := range []string{sid + volatile, sid + environment} {
		k, err := registry.OpenKey(registry.USERS, path, registry.QUERY_VALUE)
		if err != nil {
			continue
		}
		names, err := k.ReadValueNames(-1)
		k.Close()
		if err != nil {
			continue
		}
		for _, name := range names {
			// A variable made of others is not followed: none that folders are named by is.
			if v := text(registry.USERS, path, name); v != "" && !strings.Contains(v, "%") {
				p.vars[strings.ToUpper(name)] = v
			}
		}
	}
	return p
}

// text reads a string value as it stands, variables not expanded; "" when there is none.
func text(root registry.Key, path, name string) string {
	k, err := registry.OpenKey(root, path, registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	value, _, err := k.GetStringValue(name)
	if err != nil {
		return ""
	}
	return value
}
