package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// Promise: a release has three numbers, which every package manager compares rightly,
// and a date; anything else is refused before something is built.
func TestNewRelease(t *testing.T) {
	for _, version := range []string{"0.1.17", "1.0.0", "0.1.17+dirty", "255.255.65535"} {
		if _, err := newRelease(version, "1796000000"); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	for _, version := range []string{"", "1.2", "v1.2.3", "1.2.3-rc1", "1.2.3.4", "1.2.3+", "1.2.3 ", "unknown"} {
		if _, err := newRelease(version, "1796000000"); err == nil {
			t.Errorf("%q is taken", version)
		}
	}
	for _, epoch := range []string{"", "0", "-1", "2026-01-01"} {
		if _, err := newRelease("0.1.17", epoch); err == nil {
			t.Errorf("epoch %q is taken", epoch)
		}
	}
}

// Promise: an archive depends on what is packed and on the release's date, on nothing
// of this machine or of now.
func TestArchivesReproducible(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	members := []member{{"a/program", file, 0o755}}
	date := time.Unix(1_796_000_000, 0).UTC()
	for name, pack := range map[string]func(io.Writer, []member, time.Time) error{"tar": tarGz, "zip": zipped} {
		packed := func(date time.Time) string {
			var b bytes.Buffer
			if err := pack(&b, members, date); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		first := packed(date)
		if err := os.Chtimes(file, date, date.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if packed(date) != first {
			t.Errorf("%s: the file's own time is in it", name)
		}
		if packed(date.Add(time.Hour)) == first {
			t.Errorf("%s: the release's time is not in it", name)
		}
	}
}

// Promise: the list of components has each module of each target once, says where one
// is that is not everywhere, and is the same each time.
func TestBillOfMaterials(t *testing.T) {
	infos := map[target]*debug.BuildInfo{}
	for _, x := range targets {
		deps := []*debug.Module{{Path: "example.org/b", Version: "v1.0.0", Sum: "h1:b"}, {Path: "example.org/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v2.0.0"}}}
		if x.os == "windows" {
			deps = append(deps, &debug.Module{Path: "example.org/win", Version: "v0.1.0"})
		}
		infos[x] = &debug.BuildInfo{GoVersion: "go1.26.8", Deps: deps}
	}
	var first []byte
	for range 5 {
		bom := billOfMaterials("tidemark", "0.1.17", infos)
		data, err := json.Marshal(bom)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if !bytes.Equal(data, first) {
			t.Fatal("two lists of the same differ")
		}
		var got []string
		for _, c := range *bom.Components {
			line := c.PackageURL
			if c.Properties != nil {
				for _, p := range *c.Properties {
					line += " " + p.Value
				}
			}
			got = append(got, line)
		}
		want := []string{
			"pkg:golang/example.org/b@v1.0.0 h1:b", "pkg:golang/example.org/c@v2.0.0",
			"pkg:golang/example.org/win@v0.1.0 windows/amd64 windows/arm64", "pkg:golang/stdlib@1.26.8",
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got\n%s", strings.Join(got, "\n"))
		}
	}
}

// Promise: a signing command gets the file's path as its last argument, and a release
// does not go on without a signature that was asked for.
func TestSign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SIGN_TEST", "echo signed >>")
	if err := sign("SIGN_TEST", file); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "xsigned\n" {
		t.Errorf("%q, %v", data, err)
	}
	t.Setenv("SIGN_TEST", "false")
	if err := sign("SIGN_TEST", file); err == nil {
		t.Error("a failed signature is no error")
	}
	if err := sign("SIGN_NOT_SET", file); err != nil {
		t.Error(err)
	}
}
