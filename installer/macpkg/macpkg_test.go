package macpkg

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sample() Package {
	return Package{
		Identifier: "org.example.sample", Version: "1.2.3", Title: "Sample & Co.", Time: time.Unix(1_800_000_000, 0),
		Files: []File{
			{"Library/LaunchDaemons/sample.plist", 0o644, []byte("<plist/>\n")},
			{"Library/Sample/bin/sample", 0o755, bytes.Repeat([]byte("program "), 1000)},
			{"Library/Sample-more", 0o600, nil},
		},
		Scripts: map[string][]byte{"preinstall": []byte("#!/bin/sh\n"), "postinstall": []byte("#!/bin/sh\nexit 0\n")},
	}
}

// Promise: the same input gives the same bytes, and they are the ones that were looked
// at when the format was written. A change here is a change of format, to be tried on
// a Mac.
func TestGolden(t *testing.T) {
	a, err := Build(sample())
	if err != nil {
		t.Fatal(err)
	}
	b, err := Build(sample())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two builds differ")
	}
	entries, err := tree(sample().Files)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"bom":          {bom(entries, sample().Time), "86973b3979dc6558"},
		"cpio":         {cpio(entries, sample().Time), "79e8334e22bdca4c"},
		"PackageInfo":  {packageInfo(sample(), entries), "25fdfbcfa7766faa"},
		"Distribution": {distribution(sample(), entries), "6d6da67d25faac8c"},
	} {
		sum := sha256.Sum256(c.data)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("%s: %s, want %s\n%.2000q", name, got, c.want, c.data)
		}
	}
}

// Promise: a file that lies outside, comes twice, or is a folder too, is refused.
func TestRefused(t *testing.T) {
	for name, files := range map[string][]File{
		"absolute": {{"/etc/x", 0o644, nil}},
		"above":    {{"../x", 0o644, nil}},
		"unclean":  {{"a//b", 0o644, nil}},
		"root":     {{".", 0o644, nil}},
		"twice":    {{"a", 0o644, nil}, {"a", 0o644, nil}},
		"both":     {{"a/b", 0o644, nil}, {"a", 0o644, nil}},
		"both too": {{"a", 0o644, nil}, {"a/b", 0o644, nil}},
		"none":     nil,
	} {
		p := sample()
		p.Files = files
		if _, err := Build(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Promise: the checksum is that of cksum(1).
func TestCksum(t *testing.T) {
	for text, want := range map[string]uint32{"": 4294967295, "a": 1220704766, "hello\n": 3015617425} {
		if got := cksum([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// Promise: the bill of materials lists every file and folder once, below its parent,
// with its size and checksum, in the order in which the Installer looks for it.
func TestBom(t *testing.T) {
	entries, err := tree(sample().Files)
	if err != nil {
		t.Fatal(err)
	}
	got := readBom(t, bom(entries, sample().Time))
	want := []string{
		"1 0 . folder 40755 0 0",
		"2 1 Library folder 40755 0 0",
		"3 2 LaunchDaemons folder 40755 0 0",
		"4 2 Sample folder 40755 0 0",
		"5 2 Sample-more file 100600 0 4294967295",
		"6 3 sample.plist file 100644 9 " + cksumText("<plist/>\n"),
		"7 4 bin folder 40755 0 0",
		"8 7 sample file 100755 8000 " + cksumText(strings.Repeat("program ", 1000)),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Promise: other programs read the package: libarchive, which checks the digests, finds
// the same members and the same payload.
func TestReadByOthers(t *testing.T) {
	if _, err := exec.LookPath("bsdtar"); err != nil {
		t.Skip("bsdtar is not installed (Debian: libarchive-tools); CI has it")
	}
	dir := t.TempDir()
	data, err := Build(sample())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sample.pkg")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "bsdtar", "-xf", file, "-C", dir)
	if got, want := run(t, "bsdtar", "-tf", file), "Distribution\ntidemark.pkg\ntidemark.pkg/Bom\ntidemark.pkg/PackageInfo\ntidemark.pkg/Payload\ntidemark.pkg/Scripts\n"; got != want {
		t.Errorf("members\n%s", got)
	}
	for member, want := range map[string]string{
		"Payload": ".\n./Library\n./Library/LaunchDaemons\n./Library/LaunchDaemons/sample.plist\n./Library/Sample\n./Library/Sample/bin\n./Library/Sample/bin/sample\n./Library/Sample-more\n",
		"Scripts": ".\n./postinstall\n./preinstall\n",
	} {
		if got := run(t, "bsdtar", "-tf", filepath.Join(dir, "tidemark.pkg", member)); got != want {
			t.Errorf("%s\n%s", member, got)
		}
	}
	if got := run(t, "bsdtar", "-xOf", filepath.Join(dir, "tidemark.pkg", "Payload"), "./Library/LaunchDaemons/sample.plist"); got != "<plist/>\n" {
		t.Errorf("content %q", got)
	}
	listed := run(t, "bsdtar", "-tvf", filepath.Join(dir, "tidemark.pkg", "Payload"))
	if strings.Count(listed, " 0      0 ") != 8 {
		t.Errorf("not all root:wheel\n%s", listed)
	}
	// One flipped bit in the payload must be found, or the check above shows nothing.
	broken := bytes.Clone(data)
	broken[len(broken)-1] ^= 1
	if err := os.WriteFile(file, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("bsdtar", "-xOf", file).Run(); err == nil {
		t.Error("damage is not found")
	}
}

// Promise: both programs are in the universal one, each at a page of its own, unchanged.
func TestUniversal(t *testing.T) {
	dir := t.TempDir()
	var programs [][]byte
	for _, arch := range []string{"amd64", "arm64"} {
		out := filepath.Join(dir, arch)
		cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/nothing")
		cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH="+arch, "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, data)
	}
	fat, err := Universal(programs...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := macho.NewFatFile(bytes.NewReader(fat))
	if err != nil {
		t.Fatal(err)
	}
	for i, cpu := range []macho.Cpu{macho.CpuAmd64, macho.CpuArm64} {
		a := f.Arches[i]
		if a.Cpu != cpu || a.Offset%(1<<sliceAlign) != 0 || a.Align != sliceAlign {
			t.Errorf("%d: %+v", i, a.FatArchHeader)
		}
		data, err := io.ReadAll(io.NewSectionReader(bytes.NewReader(fat), int64(a.Offset), int64(a.Size)))
		if err != nil || !bytes.Equal(data, programs[i]) {
			t.Errorf("%d: another program: %v", i, err)
		}
	}
	if _, err := Universal([]byte("no program")); err == nil {
		t.Error("no program is taken")
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}
