package agent

import (
	"io"
	"os"
	"strings"
)

// readMachine takes the system's name from os-release, the serial number from the
// firmware (for root only), and the domain from SSSD's settings.
func readMachine() machineFacts {
	return machineFacts{
		version:   setting(readSmall("/etc/os-release"), "PRETTY_NAME"),
		serial:    readSmall("/sys/class/dmi/id/product_serial"),
		directory: setting(readSmall("/etc/sssd/sssd.conf"), "domains"),
	}
}

// setting is the value of NAME=value in a text of lines.
func setting(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

func readSmall(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return ""
	}
	return string(b)
}
