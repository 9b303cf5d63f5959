package installer

import (
	_ "embed"
	"html"
	"strings"
)

// The identities of the macOS package and where it puts the program; profiles name them.
const (
	MacPackage = "tidemark.agent"                 // of the package's receipt
	MacProgram = "/Library/Tidemark/bin/tidemark" // only root can write there, unlike /usr/local on many Macs
)

const description = "Records the business WeChat conversations on this device for the organisation that manages it."

// unit and daemon are the definitions for systemd and launchd. The library's own have
// limits and log files of an earlier age and no sandbox.
//
//go:embed tidemark.service
var unit string

//go:embed tidemark.plist
var daemon string

// Unit is the systemd unit.
func Unit(o Options) string {
	command := make([]string, 0, 4)
	for _, word := range o.command() {
		command = append(command, systemdWord(word))
	}
	writable := ""
	if o.Writable != "" {
		writable = "ReadWritePaths=-" + systemdWord(o.Writable) + "\n" // it need not be there yet
	}
	return strings.NewReplacer(
		"@DESCRIPTION@", description, "@EXECUTABLE@", systemdWord(o.Executable), "@COMMAND@", strings.Join(command, " "), "@WRITABLE@", writable,
	).Replace(unit)
}

// LaunchDaemon is the property list for launchd.
func LaunchDaemon(o Options) string {
	var command strings.Builder
	for _, word := range o.command() {
		command.WriteString("\t\t<string>" + html.EscapeString(word) + "</string>\n")
	}
	return strings.NewReplacer("@LABEL@", Name, "@COMMAND@", command.String()).Replace(daemon)
}

// command is what the service runs.
func (o Options) command() []string { return append([]string{o.Executable}, o.arguments()...) }

func (o Options) arguments() []string {
	if o.Config == "" {
		return []string{"run"}
	}
	return []string{"run", "--config", o.Config}
}

// systemdWord writes a word as systemd reads it: in quotes if it has to be, and with
// nothing expanded.
func systemdWord(s string) string {
	s = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(s)
	if strings.ContainsAny(s, " \t'\";\\") {
		return `"` + s + `"`
	}
	return s
}
