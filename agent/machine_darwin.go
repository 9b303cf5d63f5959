package agent

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// readMachine asks the kernel, the I/O registry and Directory Services by the system's
// own tools. It has not run on a real Mac.
func readMachine() machineFacts {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		version = ""
	}
	f := machineFacts{version: strings.TrimSpace("macOS " + version)}
	f.serial = quoted(output("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"), "IOPlatformSerialNumber")
	for line := range strings.Lines(output("/usr/sbin/dsconfigad", "-show")) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "Active Directory Domain" {
			f.directory = strings.TrimSpace(value)
		}
	}
	return f
}

// quoted is the value of "name" = "value".
func quoted(text, name string) string {
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, `"`+name+`" = "`); ok {
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
	}
	return ""
}

func output(program string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return ""
	}
	return string(out)
}
