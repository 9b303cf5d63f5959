// Package buildinfo says which build of a program runs: the release's version, as
// the linker set it in package main (-X main.version=1.2.3), or what the Go command
// noted of the source, for a build that is no release.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Info is what a program's version command prints.
type Info struct {
	Version  string `json:"version"` // "1.2.3", or "dev+<start of Revision>" and ".dirty" when Modified
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the source had changes that are not in Revision
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Read describes the running program; version is main's, "" when it is no release.
func Read(version string) Info {
	i := Info{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if build, ok := debug.ReadBuildInfo(); ok {
		i.source(build.Settings)
	}
	return i
}

// source takes what the Go command noted of the source, which may be nothing.
func (i *Info) source(settings []debug.BuildSetting) {
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	if i.Version != "" {
		return
	}
	i.Version = "dev"
	if i.Revision != "" {
		i.Version += "+" + i.Revision[:min(12, len(i.Revision))]
	}
	if i.Modified {
		i.Version += ".dirty"
	}
}

// Line is the info as one line of text about the program of that name.
func (i Info) Line(program string) string {
	return fmt.Sprintf("%s %s (%s, %s/%s)", program, i.Version, i.Go, i.OS, i.Arch)
}
