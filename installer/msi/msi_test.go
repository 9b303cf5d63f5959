package msi

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// build makes a package around a file that stands for the program. Where wixl is
// missing the test is skipped; make dist and make test-windows need it.
func build(t *testing.T, o Options) string {
	t.Helper()
	dir := t.TempDir()
	o.Program, o.Date = filepath.Join(dir, "p.exe"), time.Unix(1795000000, 0)
	if err := os.WriteFile(o.Program, []byte("MZ stands for a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "a.msi")
	err := Build(o, out)
	if errors.Is(err, ErrNoTools) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func msiinfo(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("msiinfo", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Promise: the same source gives the same package, byte by byte; another version gives
// another product that the same upgrade code replaces.
func TestReproducible(t *testing.T) {
	o := Options{Version: "1.2.3+dirty", Arch: "amd64"}
	first, err := os.ReadFile(build(t, o))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // times in the package are of seconds
	again, err := os.ReadFile(build(t, o))
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("two builds differ, %v", err)
	}
	product := func(o Options) string {
		_, rest, _ := strings.Cut(msiinfo(t, "export", build(t, o), "Property"), "ProductCode\t")
		return rest[:38]
	}
	a, b, c := product(o), product(Options{Version: "1.2.4", Arch: "amd64"}), product(Options{Version: "1.2.3", Arch: "arm64"})
	if a == b || a == c || b == c {
		t.Errorf("product codes %s, %s, %s", a, b, c)
	}
}

// Promise: what Windows Installer compares and runs is in the package: the program's
// version, the processor, the service, what is kept over upgrades, the removal's steps in
// the script and before the program goes, and no property that holds a secret.
func TestTables(t *testing.T) {
	file := build(t, Options{Version: "1.2.3", Arch: "arm64"})
	for table, want := range map[string][]string{
		"Property":       {"ProductVersion\t1.2.3", "ARCHIVE_URL;ARCHIVE_KEY;ENROLL_TOKEN_FILE;PURGE", "UpgradeCode\t{" + UpgradeCode + "}"},
		"File":           {"\t1.2.3.0\t1033\t"},
		"ServiceInstall": {"tidemark\tTidemark\t16\t2\t1"},
		"Component":      {"\tARCHIVE_URL\tUrl", "\tARCHIVE_KEY\tKey", "\tENROLL_TOKEN_FILE\tToken"},
		"CustomAction":   {"Settle\t3154\tProgram\tservice settle", "Configure\t3154\tProgram\tservice configure"},
		"InstallExecuteSequence": {
			"RemoveExistingProducts\t\t1501", "InstallInitialize\t\t1500", "StopServices\tVersionNT\t1900", "Settle\t" + removal + " AND NOT (PURGE=\"1\")\t1910",
			"DeleteServices\tVersionNT\t2000", "RemoveFiles\t\t3500", "Configure\tNOT REMOVE~=\"ALL\"\t5810", "StartServices\tVersionNT\t5900",
		},
	} {
		got := msiinfo(t, "export", file, table)
		for _, w := range want {
			if !strings.Contains(strings.ReplaceAll(got, "\r\n", "\n"), w) {
				t.Errorf("%s has no %q:\n%s", table, w, got)
			}
		}
	}
	if s := msiinfo(t, "suminfo", file); !strings.Contains(s, "Template: Arm64;1033") {
		t.Errorf("summary:\n%s", s)
	}
}

// Promise: a version that Windows Installer does not compare is refused.
func TestVersionRefused(t *testing.T) {
	if err := Build(Options{Version: "unknown", Arch: "amd64"}, "x"); err == nil {
		t.Error("built")
	}
}
