package installer

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"howett.net/plist"
)

// Promise: what the system is told to run is "tidemark run --config FILE", under a
// name that people find in its list.
func TestDefinition(t *testing.T) {
	d := definition(Options{Config: "/etc/tidemark/other.yaml", Executable: "/usr/bin/tidemark"})
	if !slices.Equal(d.Arguments, []string{"run", "--config", "/etc/tidemark/other.yaml"}) || d.Executable != "/usr/bin/tidemark" {
		t.Errorf("%+v", d)
	}
	if d.Name != "tidemark" || d.DisplayName != "Tidemark" || d.Description == "" {
		t.Errorf("%+v", d)
	}
	if d := definition(Options{}); !slices.Equal(d.Arguments, []string{"run"}) {
		t.Errorf("without a configuration: %v", d.Arguments)
	}
}

// Promise: the definitions name the program and its arguments, whatever is in their
// paths, and hold no mark that was not filled in.
func TestDefinitions(t *testing.T) {
	mark := regexp.MustCompile(`@[A-Z]+@|\{\{`) // the second are the library's own
	o := Options{Executable: "/opt/Tide mark/100%/tidemark", Config: `/etc/"x" & <y>.yaml`, Writable: "/srv/tide mark"}
	for name, c := range map[string]struct {
		text  string
		lines []string
	}{
		"systemd": {Unit(o), []string{
			`ExecStart="/opt/Tide mark/100%%/tidemark" run --config "/etc/\"x\" & <y>.yaml"` + "\n",
			`ReadWritePaths=-"/srv/tide mark"` + "\n", "Restart=always\n", "WantedBy=multi-user.target\n",
		}},
		"systemd's usual": {Unit(Options{Executable: "/usr/bin/tidemark"}), []string{"ExecStart=/usr/bin/tidemark run\n", "\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\n"}},
		"launchd": {LaunchDaemon(o), []string{
			"<key>Label</key>\n\t<string>tidemark</string>", "<string>/opt/Tide mark/100%/tidemark</string>\n\t\t<string>run</string>\n\t\t<string>--config</string>\n",
			"<string>/etc/&#34;x&#34; &amp; &lt;y&gt;.yaml</string>",
		}},
	} {
		for _, line := range c.lines {
			if !strings.Contains(c.text, line) {
				t.Errorf("%s has no %q:\n%s", name, line, c.text)
			}
		}
		if mark.MatchString(c.text) {
			t.Errorf("%s: a mark is left:\n%s", name, c.text)
		}
	}
}

// Promise: launchd reads the property list and finds a service of a stable name that
// starts with the system, starts again, not at once, and has time to end.
func TestLaunchDaemon(t *testing.T) {
	o := Options{Executable: MacProgram, Config: "/a & b.yaml"}
	var got struct {
		Label                         string
		ProgramArguments              []string
		RunAtLoad, KeepAlive          bool
		ThrottleInterval, ExitTimeOut int
		Umask                         int
		StandardErrorPath             string
	}
	if _, err := plist.Unmarshal([]byte(LaunchDaemon(o)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Label != Name || !slices.Equal(got.ProgramArguments, []string{MacProgram, "run", "--config", "/a & b.yaml"}) {
		t.Errorf("%+v", got)
	}
	if !got.RunAtLoad || !got.KeepAlive || got.ThrottleInterval < 5 || got.ExitTimeOut < 30 || got.Umask != 0o077 || got.StandardErrorPath == "" {
		t.Errorf("%+v", got)
	}
}

// Promise: the scripts of the packages are scripts of a POSIX shell.
func TestScriptsParse(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell on this system")
	}
	scripts, err := filepath.Glob("packaging/p*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("packaging/macos/*")
	if err != nil {
		t.Fatal(err)
	}
	if scripts = append(scripts, more...); len(scripts) != 7 {
		t.Errorf("scripts: %v", scripts)
	}
	for _, script := range scripts {
		if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", script, out)
		}
	}
}
