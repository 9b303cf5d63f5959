package buildinfo

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// A release is called what it is called; any other build names the source it was
// made from, and says so when that source was changed.
func TestVersion(t *testing.T) {
	const revision = "0123456789abcdef0123456789abcdef01234567"
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for name, c := range map[string]struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		"release":                 {"1.2.3", nil, "1.2.3"},
		"release of known source": {"1.2.3", []debug.BuildSetting{setting("vcs.revision", revision), setting("vcs.modified", "true")}, "1.2.3"},
		"known source":            {"", []debug.BuildSetting{setting("vcs.revision", revision), setting("vcs.modified", "false")}, "dev+0123456789ab"},
		"changed source":          {"", []debug.BuildSetting{setting("vcs.modified", "true"), setting("vcs.revision", revision)}, "dev+0123456789ab.dirty"},
		"short revision":          {"", []debug.BuildSetting{setting("vcs.revision", "17")}, "dev+17"},
		"unknown source":          {"", nil, "dev"},
	} {
		i := Info{Version: c.version}
		i.source(c.settings)
		if i.Version != c.want {
			t.Errorf("%s: version %s, want %s", name, i.Version, c.want)
		}
	}
	want := "tidemark 1.2.3 (" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
	if got := Read("1.2.3").Line("tidemark"); got != want {
		t.Errorf("line %q, want %q", got, want)
	}
}
