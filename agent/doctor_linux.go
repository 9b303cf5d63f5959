package agent

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
)

const folderRemedy = "run the service as root with CAP_DAC_READ_SEARCH, or give its user permission to read the users' folders"

// leastWatches is what several accounts need with their folders of media.
const leastWatches = 8192

// notifications checks inotify's limits. Without it changes are noticed by looking, late.
func (d *doctor) notifications() {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.fail("file_notifications", "", "the system gives no more file notifications: "+err.Error(), "raise fs.inotify.max_user_instances with sysctl; until then changes are noticed later")
		return
	}
	w.Close()
	limit, err := strconv.Atoi(strings.TrimSpace(readSmall("/proc/sys/fs/inotify/max_user_watches")))
	switch {
	case err != nil:
		d.skip("file_notifications", "the system does not tell its limit")
	case limit < leastWatches:
		d.fail("file_notifications", "", fmt.Sprintf("fs.inotify.max_user_watches is %d", limit), fmt.Sprintf("raise it to %d with sysctl; until then changes are noticed later", leastWatches))
	default:
		d.pass("file_notifications", "fs.inotify.max_user_watches is %d", limit)
	}
}
