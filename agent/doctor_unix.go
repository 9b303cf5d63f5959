//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// folderOpen says what is wrong with the owner or the permissions of the state folder.
func folderOpen(dir string, info fs.FileInfo) (problem, do string) {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Sprintf("%s may be entered by others (%#o)", dir, mode), "chmod 700 " + dir
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && int(s.Uid) != os.Geteuid() {
		return dir + " is another user's", "run doctor as the user whom the service runs as"
	}
	return "", ""
}

// agentUser is whom the process runs as, or "".
func agentUser(pid int) string {
	info, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return ""
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.Itoa(int(s.Uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
