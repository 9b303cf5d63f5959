package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidemark/agent/disclosure"
	"tidemark/seal"
)

// abs makes a path that is absolute on this system.
func abs(path string) string {
	if runtime.GOOS == "windows" {
		return `C:` + strings.ReplaceAll(path, "/", `\`)
	}
	return path
}

func load(t *testing.T, content string, env map[string]string) (*Config, []Setting, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tidemark.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Options{File: file, PolicyDir: filepath.Join(dir, "policy.d"), LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
}

func origin(settings []Setting, key string) string {
	for _, s := range settings {
		if s.Key == key {
			return s.Origin
		}
	}
	return "no such setting"
}

// Promise: without a file every setting has its documented default and says so.
func TestDefaults(t *testing.T) {
	c, settings, err := load(t, "# nothing\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.SpoolMaxBytes != 2<<30 || c.Poll != 10*time.Second || c.LogFormat != "text" || c.StateDir == "" || len(c.Scope.Accounts.Include) != 1 || len(c.Keys) != 0 {
		t.Errorf("%+v", c)
	}
	if m := c.Media; m.NoImages || m.NoVoice || m.NoVideo || m.NoFiles || m.MaxBytes != 2<<30 || m.GiveUp != 7*24*time.Hour {
		t.Errorf("%+v", m)
	}
	if len(settings) != len(Keys()) {
		t.Errorf("%d settings, %d keys", len(settings), len(Keys()))
	}
	for _, s := range settings {
		if s.Origin != FromDefault {
			t.Errorf("%s comes from %s", s.Key, s.Origin)
		}
	}
}

// Promise: the documented form of the file is read, every setting of it.
func TestFile(t *testing.T) {
	key := seal.ArchiveKey{1, 2, 3}.String()
	c, settings, err := load(t, `
archive: {url: https://archive.example.com, key: `+key+`, proxy: 'http://anna:secret@proxy:3128', token: tmt1secret, token_file: '`+abs("/run/token")+`'}
delivery: {max_rate: 250KiB}
state_dir: '`+abs("/var/lib/other")+`'
sources: ['`+abs("/srv/wechat")+`']
capture:
  accounts: {include: ["wxid_*"], exclude: [wxid_boss]}
  conversations:
    include: ["*", "kind:room"]
    exclude: []
  history: {since: 2026-01-01}
  poll: 500ms
  notice: required
  media: {images: true, voice: false, video: true, files: false, max_bytes: 100MiB, give_up: 48h}
notice: {organisation: Example, text: We record., version: v7, retention: seven years, contact: compliance@example.com}
keys:
  - {source: file, path: '`+abs("/etc/tidemark/keys.json")+`'}
  - {source: exec, command: ['`+abs("/usr/local/bin/key-helper")+`', --quiet]}
spool: {max_bytes: 500MiB, min_free: 3GiB}
limits: {memory: 512MiB, cpu: 25%}
removal: {undelivered: keep, wait: 2m}
secrets: system
metrics: {listen: '0.0.0.0:9477', remote: true, textfile: '`+abs("/var/lib/m.prom")+`'}
health: {interval: 90s}
events: {level: warn}
log: {level: debug, format: json}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.ArchiveURL != "https://archive.example.com" || c.ArchiveKey != key || c.StateDir != abs("/var/lib/other") ||
		c.Sources[0] != abs("/srv/wechat") || c.Scope.Accounts.Exclude[0] != "wxid_boss" || c.Scope.Conversations.Include[1] != "kind:room" ||
		c.History.Since.Format(time.DateOnly) != "2026-01-01" || c.Poll != 500*time.Millisecond || len(c.Keys) != 2 || c.Keys[1].Command[1] != "--quiet" ||
		c.Token != "tmt1secret" || c.TokenFile != abs("/run/token") || c.Proxy != "http://anna:secret@proxy:3128" || c.MaxRate != 250<<10 || c.SpoolMaxBytes != 500<<20 || c.SpoolMinFree != 3<<30 || c.MaxMemory != 512<<20 || c.MaxCPU != 25 || c.LogLevel.String() != "DEBUG" || c.LogFormat != "json" || c.Secrets != "system" {
		t.Errorf("%+v", c)
	}
	if want := (Metrics{"0.0.0.0:9477", true, abs("/var/lib/m.prom")}); c.Metrics != want {
		t.Errorf("%+v", c.Metrics)
	}
	for listen, fits := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "0.0.0.0:1": false, ":1": false, "10.0.0.1:1": false, "": true} {
		if err := (Metrics{Listen: listen}).Fit(); (err == nil) != fits {
			t.Errorf("%q without metrics.remote: %v", listen, err)
		}
	}
	if h := c.Health; h.Interval != 90*time.Second || h.Events != slog.LevelWarn {
		t.Errorf("%+v", h)
	}
	if m := c.Media; m.NoImages || !m.NoVoice || m.NoVideo || !m.NoFiles || m.MaxBytes != 100<<20 || m.GiveUp != 48*time.Hour {
		t.Errorf("%+v", m)
	}
	if want := (disclosure.Notice{Mode: disclosure.NoticeRequired, Organisation: "Example", Text: "We record.", Version: "v7",
		Retention: "seven years", Contact: "compliance@example.com"}); c.Notice != want {
		t.Errorf("notice %+v", c.Notice)
	}
	for _, s := range settings {
		if strings.Contains(fmt.Sprint(s.Value), "secret") {
			t.Errorf("%s shows a password", s.Key)
		}
		if s.Origin != FromFile || !strings.Contains(s.Where, "tidemark.yaml:") {
			t.Errorf("%s comes from %s %s", s.Key, s.Origin, s.Where)
		}
	}
}

// Promise: policy wins over the environment, that over the file, that over the
// default, key by key, and each value says which.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	file, policy := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "policy.d")
	if err := os.Mkdir(policy, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		file:                              "log: {level: warn, format: json}\nspool: {max_bytes: 10MiB}\ncapture: {poll: 1s}\n",
		filepath.Join(policy, "20.yaml"):  "spool: {max_bytes: 30MiB}\n",
		filepath.Join(policy, "10.yaml"):  "spool: {max_bytes: 20MiB}\nlog: {level: debug}\n",
		filepath.Join(policy, "30.bak"):   "nonsense",
		filepath.Join(policy, ".40.yaml"): "nonsense",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"TIDEMARK_LOG_LEVEL": "error", "TIDEMARK_CAPTURE_POLL": "2s",
		"TIDEMARK_CAPTURE_ACCOUNTS_EXCLUDE": "wxid_a, wxid_b", "TIDEMARK_CAPTURE_CONVERSATIONS_EXCLUDE": `["a,b"]`,
		"TIDEMARK_KEYS": `[{source: file, path: '` + abs("/k") + `'}]`,
	}
	c, settings, err := Load(Options{File: file, PolicyDir: policy, LookupEnv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	if c.SpoolMaxBytes != 30<<20 || c.LogLevel.String() != "DEBUG" || c.Poll != 2*time.Second || c.LogFormat != "json" ||
		len(c.Scope.Accounts.Exclude) != 2 || c.Scope.Accounts.Exclude[1] != "wxid_b" || c.Scope.Conversations.Exclude[0] != "a,b" || c.Keys[0].Path != abs("/k") {
		t.Errorf("%+v", c)
	}
	for key, want := range map[string]string{
		"spool.max_bytes": FromPolicy, "log.level": FromPolicy, "capture.poll": FromEnvironment, "log.format": FromFile, "sources": FromDefault,
	} {
		if got := origin(settings, key); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
}

// Promise: what cannot be taken is an error that names file, line, setting, value
// and rule; nothing is guessed or skipped.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"unknown setting", "state_dirr: /x", "tidemark.yaml:1: state_dirr: no such setting"},
		{"unknown setting in a group", "\ncapture: {account: {include: [a]}}", "tidemark.yaml:2: capture.account: no such setting; there are accounts, conversations, history, poll, media"},
		{"set twice", "log: {level: info}\nlog: {level: warn}", ":2: log: "},
		{"size in words", "spool:\n  max_bytes: lots", `:2: spool.max_bytes: "lots": must be a size`},
		{"wait of a removal", "removal: {wait: 1h}", "from 1s to 10m"},
		{"size of decimal units", "spool: {max_bytes: 2GB}", "must be a size"},
		{"size too small", "spool: {max_bytes: 10KiB}", "at least 1MiB"},
		{"negative size", "spool: {max_bytes: -1GiB}", "must be a size"},
		{"huge size", "spool: {max_bytes: 99999999999TiB}", "must be a size"},
		{"duration without unit", "capture: {poll: 10}", "must be a duration"},
		{"duration too short", "capture: {poll: 1ms}", "from 100ms"},
		{"kind of media in words", "capture: {media: {images: some}}", "must be true or false"},
		{"largest medium in words", "capture: {media: {max_bytes: lots}}", "must be a size such as"},
		{"giving up at once", "capture: {media: {give_up: 1s}}", "from 1m to 720h"},
		{"history", "capture: {history: some}", "must be all, none or"},
		{"history with a bad date", "capture: {history: {since: soon}}", "must be all, none or"},
		{"history with two keys", "capture: {history: {since: 2026-01-01, until: 2026-02-01}}", "must be all, none or"},
		{"nothing included", "capture: {accounts: {include: []}}", "must name something"},
		{"list as text", "capture: {accounts: {include: wxid_a}}", "must be a list"},
		{"malformed pattern", `capture: {accounts: {include: ["[a"]}}`, "malformed"},
		{"unknown kind", `capture: {conversations: {include: ["kind:pub"]}}`, "kind"},
		{"list item that is a list", "sources: [[a]]", "each item"},
		{"relative source", "sources: [wechat]", "must be an absolute path"},
		{"relative state folder", "state_dir: state", `state_dir: "state": must be an absolute path`},
		{"http to the network", "archive: {url: http://archive.example.com}", "must be https"},
		{"password in the address", "archive: {url: https://a:b@archive.example.com}", "must be https"},
		{"archive key with a slip", "archive: {key: tmk1aaaa}", "must be the archive's key"},
		{"key source unknown", "keys: [{source: vault}]", "must be a list of"},
		{"key source with an unknown member", "keys: [{source: file, path: /x, file: /y}]", `"file" is not known`},
		{"key source without path", "keys: [{source: file}]", "must be a list of"},
		{"key helper by name", "keys: [{source: exec, command: [helper]}]", "must be a list of"},
		{"log level", "log: {level: loud}", "must be debug"},
		{"secrets", "secrets: keychain", "must be auto, file or system"},
		{"log format", "log: {format: xml}", "must be text or json"},
		{"group as text", "capture: yes", "capture: \"yes\": must be settings"},
		{"list at the top", "- a", "must be settings"},
		{"not YAML", "a: [", "not YAML"},
		{"tabs", "log:\n\tlevel: info", "not YAML"},
		{"two documents", "log: {level: info}\n---\nlog: {level: warn}", "one YAML document"},
		{"alias", "sources: &a ['/x']\ncapture: {accounts: {include: *a}}", "alias"},
		{"merge", "log: &a {level: info}\n<<: *a", "must"},
		{"setting without a value", "state_dir:", "must be text"},
		{"too large", strings.Repeat("# comment\n", maxFile/10+1), "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := load(t, c.content, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	_, _, err := load(t, "", map[string]string{"TIDEMARK_LOG_LEVEL": "loud"})
	var bad *Error
	if !errors.As(err, &bad) || bad.Where != "TIDEMARK_LOG_LEVEL" || bad.Key != "log.level" || bad.Value != "loud" {
		t.Errorf("bad environment: %v", err)
	}
	if _, _, err := load(t, "", map[string]string{"TIDEMARK_SOURCES": "[a"}); !errors.As(err, &bad) {
		t.Errorf("bad environment: %v", err)
	}
	if _, _, err := Load(Options{File: filepath.Join(t.TempDir(), "absent.yaml")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("named file that is absent: %v", err)
	}
}

// Promise: a heading with everything under it commented out is no error, and HTTP is
// allowed on the loopback address, where an archive without TLS listens.
func TestAllowances(t *testing.T) {
	for _, content := range []string{
		"capture:\nspool:\n", "capture: {history: none}", `capture: {history: "since: 2026-01-01"}`, "capture: {history: 2026-01-01}",
		"archive: {url: http://127.0.0.1:8080}", "archive: {url: 'http://[::1]:1'}", "archive: {url: http://localhost:1/prefix}", "archive: {url: ''}",
		"spool: {max_bytes: 2097152}", "spool: {max_bytes: 3 MiB}", "sources: []", "---\nlog: {level: info}\n",
	} {
		if _, _, err := load(t, content, nil); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Promise: sizes print as they are written.
func TestFormatSize(t *testing.T) {
	for text, n := range map[string]int64{"2GiB": 2 << 30, "1536MiB": 1536 << 20, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != n {
			t.Errorf("parse %s: %d, %v", text, got, err)
		}
		if got := formatSize(n); got != text {
			t.Errorf("format %d: %s, want %s", n, got, text)
		}
	}
}

// FuzzFile: no file makes the loader panic or hang, and its errors stay short.
func FuzzFile(f *testing.F) {
	f.Add([]byte("archive: {url: https://a}\nkeys: [{source: exec, command: [/x]}]\ncapture: {history: {since: 2026-01-01}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? [a]\n: b"))
	f.Add([]byte("capture: !!binary aGk="))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader()
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.file(path, false); err != nil && len(err.Error()) > 1000+len(path) {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	})
}
