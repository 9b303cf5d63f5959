package discover

import "os"

// thisMachine knows users by the passwd file, where homes may be anywhere, and by
// /home, for directory services' users are not in that file.
func thisMachine() machine {
	homes, problems := folders("/home")
	if passwd, err := os.ReadFile("/etc/passwd"); err == nil {
		homes = append(homes, passwdHomes(string(passwd))...)
	}
	return machine{goos: "linux", privileged: os.Geteuid() == 0, profiles: profiles(homes), problems: problems}
}
