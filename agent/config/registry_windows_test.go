package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/windows/registry"
)

// regKey makes a registry key that the test's end removes.
func regKey(t *testing.T, root registry.Key, path string) registry.Key {
	t.Helper()
	k, existed, err := registry.CreateKey(root, path, registry.ALL_ACCESS|registry.WOW64_64KEY)
	if err != nil {
		t.Skipf("this user may not write %s: %v", path, err)
	}
	if existed {
		k.Close()
		t.Skipf("%s is there already, and is not this test's to change", path)
	}
	t.Cleanup(func() {
		names, _ := k.ReadSubKeyNames(0)
		for _, name := range names {
			registry.DeleteKey(k, name)
		}
		k.Close()
		if err := registry.DeleteKey(root, path); err != nil {
			t.Errorf("remove %s: %v", path, err)
		}
	})
	return k
}

// fill writes one value of each type that a setting may have.
func fill(t *testing.T, k registry.Key) {
	t.Helper()
	below, _, err := registry.CreateKey(k, "capture.conversations.exclude", registry.ALL_ACCESS)
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	for _, err := range []error{
		k.SetStringValue("Archive.URL", "https://archive.example.com"), k.SetDWordValue("capture.media.video", 0), k.SetQWordValue("spool.min_free", 2097152),
		k.SetStringValue("spool.max_bytes", "3GiB"), k.SetStringsValue("keys", []string{`{source: file, path: 'C:\keys.json'}`}),
		k.SetStringValue("log.level", "debug"), k.SetStringValue("capture.history", "since: 2026-01-01"),
		below.SetStringValue("2", "wxid_boss,x"), below.SetStringValue("1", "kind:direct"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: the real registry is read with every type of value that a setting may have,
// and a value of another type is told.
func TestRealRegistry(t *testing.T) {
	const path = `Software\TidemarkTest`
	k := regKey(t, registry.CURRENT_USER, path)
	fill(t, k)
	read := func() (*Config, []Setting) {
		top, err := readRegistry(registry.CURRENT_USER, path)
		if err != nil {
			t.Fatal(err)
		}
		return managedOf(t, FromPolicy, place{name: `HKCU\` + path, root: registryNode(top, false)})
	}
	c, settings := read()
	checkManaged(t, c, settings, `HKCU\`+path)
	if err := k.SetBinaryValue("capture.poll", []byte{1}); err != nil {
		t.Fatal(err)
	}
	if c, _ := read(); len(c.Problems) != 1 || c.Problems[0].Key != "capture.poll" {
		t.Errorf("%v", c.Problems)
	}
	if _, err := readRegistry(registry.CURRENT_USER, path+`\absent`); !errors.Is(err, registry.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// Promise: the machine's policy is above a file, and what the installation was given is
// below it; a policy that is taken away is gone at the next look.
func TestMachinePolicy(t *testing.T) {
	policy := regKey(t, registry.LOCAL_MACHINE, registryPolicy)
	installation := regKey(t, registry.LOCAL_MACHINE, registryInstallation)
	fill(t, policy)
	for _, err := range []error{installation.SetStringValue("archive.url", "https://installed.example.com"), installation.SetStringValue("log.format", "json"),
		installation.SetStringValue("archive.key", ""), installation.SetStringValue("spool.max_bytes", "7GiB")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "tidemark.yaml")
	if err := os.WriteFile(file, []byte("spool: {max_bytes: 5GiB, min_free: 5GiB}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*Config, []Setting) {
		c, settings, err := Load(Options{File: file, LookupEnv: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		return c, settings
	}
	c, settings := load()
	checkManaged(t, c, settings, `HKLM\`+registryPolicy)
	if c.LogFormat != "json" || origin(settings, "log.format") != FromInstallation {
		t.Errorf("%s from %s", c.LogFormat, origin(settings, "log.format"))
	}
	for _, name := range []string{"Archive.URL", "spool.max_bytes"} {
		if err := policy.DeleteValue(name); err != nil {
			t.Fatal(err)
		}
	}
	c, _ = load()
	if c.ArchiveURL != "https://installed.example.com" || c.SpoolMaxBytes != 5<<30 {
		t.Errorf("%s, %d", c.ArchiveURL, c.SpoolMaxBytes)
	}
	if i := slices.IndexFunc(settings, func(s Setting) bool { return strings.Contains(s.Where, `\\`) }); i >= 0 {
		t.Errorf("%+v", settings[i])
	}
}
