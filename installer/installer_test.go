package installer

import (
	"context"
	"encoding/xml"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
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
// paths, and hold no mark that was not filled in; launchd's is well-formed.
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
	if err := xml.Unmarshal([]byte(LaunchDaemon(o)), new(struct{})); err != nil {
		t.Errorf("launchd: %v", err)
	}
}

// Promise: stopping the service ends the work's context, for a reason that can be
// told, and returns only when the work has ended, with its error; Shutdown is the
// same.
func TestProgramStops(t *testing.T) {
	failed := errors.New("failed")
	for name, stop := range map[string]func(*program) error{
		"stop":     func(p *program) error { return p.Stop(nil) },
		"shutdown": func(p *program) error { return p.Shutdown(nil) },
	} {
		ended := false
		p := newProgram(context.Background(), func(ctx context.Context) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrStopped) {
				t.Errorf("%s: cause %v", name, context.Cause(ctx))
			}
			ended = true
			return failed
		}, func() { t.Errorf("%s: taken for an exit by itself", name) })
		if err := p.Start(nil); err != nil {
			t.Fatal(err)
		}
		if err := stop(p); !errors.Is(err, failed) || !ended {
			t.Errorf("%s: %v, ended %t", name, err, ended)
		}
	}
}

// Promise: a program that ends without being asked is told to the manager.
func TestProgramEndsByItself(t *testing.T) {
	told := make(chan struct{})
	p := newProgram(context.Background(), func(context.Context) error { return errors.New("crash") }, func() { close(told) })
	if err := p.Start(nil); err != nil {
		t.Fatal(err)
	}
	<-told
}
