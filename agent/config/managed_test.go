package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"howett.net/plist"
)

// managedOf loads defaults and one managed place.
func managedOf(t testing.TB, origin string, p place) (*Config, []Setting) {
	t.Helper()
	l := newLoader()
	if err := l.defaults(); err != nil {
		t.Fatal(err)
	}
	l.managed(origin, []place{p})
	return l.config, l.settings()
}

// what is expected of every form of the same policy.
func checkManaged(t *testing.T, c *Config, settings []Setting, where string) {
	t.Helper()
	if len(c.Problems) > 0 {
		t.Errorf("problems %v", c.Problems)
	}
	if c.ArchiveURL != "https://archive.example.com" || !slices.Equal(c.Scope.Conversations.Exclude, []string{"kind:direct", "wxid_boss,x"}) ||
		!c.Media.NoVideo || c.SpoolMaxBytes != 3<<30 || c.SpoolMinFree != 2097152 || len(c.Keys) != 1 || c.Keys[0].Path != abs("/keys.json") ||
		c.History.Since.Format("2006-01-02") != "2026-01-01" || c.LogLevel.String() != "DEBUG" {
		t.Errorf("%+v", c)
	}
	for _, s := range settings {
		if s.Key == "archive.url" && (s.Origin != FromPolicy || s.Where != where) {
			t.Errorf("%+v", s)
		}
	}
}

// Promise: a property list sets the same keys as a file, under whole names or in
// dictionaries, in XML and in binary form.
func TestPlist(t *testing.T) {
	forms := map[string]map[string]any{
		"dictionaries": {
			"archive": map[string]any{"url": "https://archive.example.com"},
			"capture": map[string]any{
				"conversations": map[string]any{"exclude": []string{"kind:direct", "wxid_boss,x"}},
				"media":         map[string]any{"video": false}, "history": "since: 2026-01-01",
			},
			"spool": map[string]any{"max_bytes": "3GiB", "min_free": 2097152},
			"keys":  []any{map[string]any{"source": "file", "path": abs("/keys.json")}},
			"log":   map[string]any{"level": "debug"}, "PayloadUUID": "0F2C",
		},
		"whole names": {
			"archive.url": "https://archive.example.com", "capture.conversations.exclude": []string{"kind:direct", "wxid_boss,x"},
			"capture.media.video": false, "capture.history": "since: 2026-01-01", "spool.max_bytes": "3GiB", "spool.min_free": 2097152,
			"keys": []any{map[string]any{"source": "file", "path": abs("/keys.json")}}, "log.level": "debug",
		},
	}
	for name, top := range forms {
		for format, suffix := range map[int]string{plist.XMLFormat: "XML", plist.BinaryFormat: "binary"} {
			t.Run(name+" "+suffix, func(t *testing.T) {
				data, err := plist.Marshal(top, format)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "x.plist")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				places := preferences(path)
				c, settings := managedOf(t, FromPolicy, places[0])
				checkManaged(t, c, settings, path)
			})
		}
	}
	if places := preferences(filepath.Join(t.TempDir(), "absent.plist")); len(places) != 0 {
		t.Errorf("absent: %v", places)
	}
}

// Promise: the registry sets the same keys, in every type of value that a template or a
// person may use.
func TestRegistry(t *testing.T) {
	where := `HKLM\` + registryPolicy
	url := registryValue{name: "Archive.URL", text: "https://archive.example.com"}
	rest := []registryValue{
		url, {name: "capture.media.video", text: "0", number: true}, {name: "spool.max_bytes", text: "3GiB"},
		{name: "spool.min_free", text: "2097152", number: true}, {name: "log.level", text: "debug"}, {name: "capture.history", text: "{since: 2026-01-01}"},
	}
	source := "{source: file, path: '" + abs("/keys.json") + "'}"
	for name, top := range map[string]*registryKey{
		"keys with numbered values": {values: rest, keys: map[string][]registryValue{
			"Capture.Conversations.Exclude": {{name: "10", text: "wxid_boss,x"}, {name: "2", text: "kind:direct"}, {name: "11"}},
			"keys":                          {{name: "1", text: source}},
		}},
		"several strings": {values: append(slices.Clone(rest), registryValue{name: "capture.conversations.exclude", lines: []string{"kind:direct", "wxid_boss,x"}},
			registryValue{name: "keys", lines: []string{source}})},
		"text": {values: append(slices.Clone(rest), registryValue{name: "capture.conversations.exclude", text: `[kind:direct, "wxid_boss,x"]`},
			registryValue{name: "keys", text: "[" + source + "]"})},
	} {
		t.Run(name, func(t *testing.T) {
			c, settings := managedOf(t, FromPolicy, place{name: where, root: registryNode(top, false)})
			checkManaged(t, c, settings, where)
		})
	}
}

// Promise: what the installation was given is below everything but the defaults, what
// it was not given says nothing, and the package's own values beside it are not ours.
func TestInstallation(t *testing.T) {
	top := &registryKey{values: []registryValue{
		{name: "archive.url", text: "https://archive.example.com"}, {name: "archive.key"}, {name: "log.level"}, {name: "InstalledVersion", text: "1.2.3"},
	}, keys: map[string][]registryValue{"Setup": {{name: "x", text: "y"}}}}
	c, settings := managedOf(t, FromInstallation, place{name: "HKLM", root: registryNode(top, true)})
	if c.ArchiveURL != "https://archive.example.com" || len(c.Problems) > 0 || origin(settings, "archive.url") != FromInstallation || origin(settings, "log.level") != FromDefault {
		t.Errorf("%+v %+v", c, c.Problems)
	}
}

// Promise: a managed value that cannot be taken stops nothing. It is named with place,
// key and rule, the default is in force and not the file's value, and capture is held
// exactly when the value may have been meant to narrow it.
func TestManagedProblems(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		key, rule    string
		held         bool
	}{
		{"size", "spool: {max_bytes: lots}", "spool.max_bytes", "must be a size", false},
		{"choice", "log: {level: loud}", "log.level", "must be debug", false},
		{"relative folder", "state_dir: x", "state_dir", "absolute", false},
		{"poll", "capture: {poll: 1}", "capture.poll", "duration", false},
		{"excluded kind", "capture: {conversations: {exclude: ['kind:privat']}}", "capture.conversations.exclude", "kind", true},
		{"nothing included", "capture: {accounts: {include: []}}", "capture.accounts.include", "must name", true},
		{"history", "capture: {history: some}", "capture.history", "all, none", true},
		{"kind of media", "capture: {media: {images: 1}}", "capture.media.images", "true or false", true},
		{"unknown", "colour: blue", "colour", "no such setting", false},
		{"unknown in capture", "capture: {conversation: {exclude: [a]}}", "capture.conversation", "no such setting", true},
		{"capture as text", "capture: off", "capture", "must be settings", true},
		{"set twice", "log: {level: info}\nlog.level: warn", "log.level", "set twice", false},
		{"not YAML", "a: [", "", "not YAML", true},
		{"not settings", "- a", "", "must be settings", true},
		{"too large", strings.Repeat("# comment\n", maxFile/10+1), "", "more than", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file, policy := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "policy.d")
			write(t, file, "spool: {max_bytes: 300MiB, min_free: 5MiB}\ncapture: {conversations: {exclude: [wxid_a]}, history: none}\n")
			write(t, filepath.Join(policy, "10.yaml"), "spool: {min_free: 7MiB}\n")
			write(t, filepath.Join(policy, "20.yaml"), c.policy)
			got, settings, err := Load(Options{File: file, PolicyDir: policy, LookupEnv: func(string) (string, bool) { return "", false }})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Problems) != 1 || got.Problems[0].Key != c.key || !strings.Contains(got.Problems[0].Error(), c.rule) || !strings.Contains(got.Problems[0].Where, "20.yaml") {
				t.Fatalf("problems %v", got.Problems)
			}
			if held := len(got.Held()) > 0; held != c.held {
				t.Errorf("held %v, want %v", held, c.held)
			}
			if got.SpoolMinFree != 7<<20 {
				t.Error("the policy beside it is not in force")
			}
			for _, s := range settings {
				if s.Key == c.key && (s.Origin != FromDefault || s.Problem == "") {
					t.Errorf("%+v", s)
				}
			}
			if c.key == "spool.max_bytes" && got.SpoolMaxBytes != 2<<30 {
				t.Errorf("%d is in force, and not the default", got.SpoolMaxBytes)
			}
		})
	}
}

// Promise: a stronger place in order outweighs a weaker one that is not, and holds
// nothing; the problem is told all the same.
func TestManagedOverruled(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "10.yaml"), "capture: {history: some}")
	write(t, filepath.Join(dir, "20.yaml"), "capture: {history: none}")
	write(t, filepath.Join(dir, "c.yaml"), "")
	c, settings, err := Load(Options{File: filepath.Join(dir, "c.yaml"), PolicyDir: dir, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil || len(c.Problems) != 1 || len(c.Held()) != 0 || !c.History.None || origin(settings, "capture.history") != FromPolicy {
		t.Errorf("%v %+v %v", err, c, c.Problems)
	}
}

// Promise: a policy that cannot be read holds capture, for it may have narrowed it.
func TestManagedUnreadable(t *testing.T) {
	c, _ := managedOf(t, FromPolicy, place{name: `HKLM\x`, err: errors.New("access denied")})
	if len(c.Held()) != 1 || !strings.Contains(c.Problems[0].Error(), `HKLM\x: cannot be read: access denied`) {
		t.Errorf("%v", c.Problems)
	}
	path := filepath.Join(t.TempDir(), "x.plist")
	write(t, path, "bplist00garbage")
	if c, _ := managedOf(t, FromPolicy, preferences(path)[0]); len(c.Held()) != 1 {
		t.Errorf("%v", c.Problems)
	}
	top := &registryKey{values: []registryValue{{name: "log.level", stray: true}}, keys: map[string][]registryValue{
		"capture.accounts.exclude": {{name: "1", text: "wxid_a"}, {name: "2", stray: true}}, "unknown": {}}}
	if c, _ := managedOf(t, FromPolicy, place{name: "HKLM", root: registryNode(top, false)}); len(c.Problems) != 3 || len(c.Held()) != 1 {
		t.Errorf("%v", c.Problems)
	}
}

// Promise: no error shows a secret, wherever it stands.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "ftp://anna:hunter2@proxy"
	_, _, err := load(t, "archive: {proxy: '"+secret+"'}", nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("file: %v", err)
	}
	if _, _, err = load(t, "archive: '"+secret+"'", nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("group: %v", err)
	}
	if _, _, err = load(t, "", map[string]string{"TIDEMARK_ARCHIVE_PROXY": secret}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("environment: %v", err)
	}
	c, settings := managedOf(t, FromPolicy, place{name: "HKLM", root: registryNode(&registryKey{values: []registryValue{{name: "archive.proxy", text: secret}}}, false)})
	if len(c.Problems) != 1 || strings.Contains(fmt.Sprint(c.Problems[0], settings), "hunter2") {
		t.Errorf("policy: %v %v", c.Problems, settings)
	}
}

// FuzzPlist: no property list makes the loader panic, and its problems stay short.
func FuzzPlist(f *testing.F) {
	for _, format := range []int{plist.XMLFormat, plist.BinaryFormat} {
		data, err := plist.Marshal(map[string]any{"capture.history": "none", "sources": []string{"/x"}, "log": map[string]any{"level": 1}}, format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := parsePlist(data)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		managedOf(t, FromPolicy, place{name: "x.plist", root: root})
	})
}

// FuzzRegistry: no value makes the loader panic, and what it takes obeys the rules.
func FuzzRegistry(f *testing.F) {
	f.Add("capture.history", "{since: 2026-01-01}", false)
	f.Add("capture.media.images", "1", true)
	f.Add("keys", "[{source: exec, command: [/x]}]", false)
	f.Fuzz(func(t *testing.T, name, text string, number bool) {
		v := registryValue{name: name, text: text, number: number}
		top := &registryKey{values: []registryValue{v}, keys: map[string][]registryValue{name: {v, v}}}
		c, _ := managedOf(t, FromPolicy, place{name: "HKLM", root: registryNode(top, false)})
		if len(c.Problems) == 0 {
			t.Error("a value and a list of the same name are one too many")
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
