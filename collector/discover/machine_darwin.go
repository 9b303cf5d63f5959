package discover

import "os"

func thisMachine() machine {
	homes, problems := folders("/Users")
	return machine{goos: "darwin", privileged: os.Geteuid() == 0, profiles: profiles(homes), problems: problems}
}
