//go:build !windows && !linux

package events

// system is syslog, which macOS puts into its unified log.
func system() (sink, error) { return openSyslog() }
