package agent

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"tidemark/seal/protocol"
)

// machineFacts is what does not change while a machine runs, or costs something to ask.
type machineFacts struct{ version, serial, directory string }

var machineCache struct {
	sync.Mutex
	at    time.Time
	facts machineFacts
}

// machineFor is how long the facts of a machine are believed.
const machineFor = time.Hour

// thisMachine says which computer this is. The name is asked each time: a device may be
// renamed.
func thisMachine(users []string) protocol.Machine {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	machineCache.Lock()
	if now := time.Now(); machineCache.at.IsZero() || now.Sub(machineCache.at) > machineFor {
		machineCache.at, machineCache.facts = now, readMachine()
	}
	f := machineCache.facts
	machineCache.Unlock()
	return protocol.Machine{
		Hostname: protocol.Showable(hostname), OS: runtime.GOOS, Arch: runtime.GOARCH, OSVersion: protocol.Showable(f.version),
		Serial: protocol.Showable(serialNumber(f.serial)), Directory: protocol.Showable(f.directory), Users: users,
	}
}

// serialNumber drops what makers write where they have none.
func serialNumber(s string) string {
	s = strings.TrimSpace(s)
	switch strings.ToLower(strings.Trim(s, ". ")) {
	case "", "none", "default string", "to be filled by o.e.m", "system serial number", "not specified", "not applicable", "0", "n/a", "unknown":
		return ""
	}
	return s
}
