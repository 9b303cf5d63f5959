// Package msi makes the agent's package for Windows Installer, on Linux, with wixl and
// msibuild of Debian's wixl and msitools.
//
// wixl writes the tables of tidemark.wxs; what it cannot say is set afterwards: secure
// properties, conditions of components, the file's version, the custom actions and their
// places in the sequence, and what must not differ between two builds.
//
// The package has one product code for each version and processor, made from both, and
// one upgrade code for all, so that every version replaces every older one.
package msi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

//go:embed tidemark.wxs
var source []byte

// UpgradeCode is the same for every version; detection rules and removal use it.
const UpgradeCode = "5F1F6A0C-8D4B-4B53-9F3B-2F6A6A0A7E10"

// Options say what is packed.
type Options struct {
	Version string    // three numbers; what follows a plus is left out
	Arch    string    // amd64 or arm64
	Program string    // tidemark.exe for it
	Date    time.Time // of everything in the package
}

// ErrNoTools reports that the programs that make a package are not installed.
var ErrNoTools = errors.New("wixl and msibuild are needed: apt-get install wixl msitools")

var platforms = map[string]string{"amd64": "x64", "arm64": "Arm64"}

// actions are the custom actions. Their programs are the installed one, run as the system
// with its exit code ignored: what they say is in the agent's own state, and an
// installation that fails half-way helps nobody.
var actions = []struct {
	name, kind, source, target string
	condition                  string
	sequence                   int
}{
	{"KeepUrl", "51", "ARCHIVE_URL", "[KEPT_ARCHIVE_URL]", "NOT ARCHIVE_URL AND KEPT_ARCHIVE_URL", 60},
	{"KeepKey", "51", "ARCHIVE_KEY", "[KEPT_ARCHIVE_KEY]", "NOT ARCHIVE_KEY AND KEPT_ARCHIVE_KEY", 61},
	{"KeepToken", "51", "ENROLL_TOKEN_FILE", "[KEPT_ENROLL_TOKEN_FILE]", "NOT ENROLL_TOKEN_FILE AND KEPT_ENROLL_TOKEN_FILE", 62},
	{"Settle", installedProgram, "Program", "service settle", removal + ` AND NOT (PURGE="1")`, 1910},
	{"Purge", installedProgram, "Program", "service settle --purge", removal + ` AND PURGE="1"`, 1911},
	{"PurgeFolder", systemProgram, "TARGETDIR", `"[System64Folder]cmd.exe" /c rd /s /q "[CommonAppDataFolder]Tidemark"`, removal + ` AND PURGE="1"`, 1912},
	{"Configure", installedProgram, "Program", "service configure", `NOT REMOVE~="ALL"`, 5810},
}

const (
	// A program of the package (18), whatever it ends with (64), in the script (1024), as the system (2048).
	installedProgram = "3154"
	// The same of a program that is named whole (34).
	systemProgram = "3170"
	removal       = `REMOVE~="ALL" AND NOT UPGRADINGPRODUCTCODE`
)

// Build writes the package to a file.
func Build(o Options, out string) error {
	for _, tool := range []string{"wixl", "msibuild"} {
		if _, err := exec.LookPath(tool); err != nil {
			return ErrNoTools
		}
	}
	version, _, _ := strings.Cut(o.Version, "+")
	platform := platforms[o.Arch]
	if platform == "" || !regexp.MustCompile(`^\d{1,3}\.\d{1,3}\.\d{1,5}$`).MatchString(version) {
		return fmt.Errorf("package for Windows Installer: version %q for %q", o.Version, o.Arch)
	}
	program, err := os.ReadFile(o.Program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidemark-msi-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "tidemark.exe")
	if err := errors.Join(os.WriteFile(exe, program, 0o644), os.WriteFile(filepath.Join(dir, "tidemark.wxs"), source, 0o644)); err != nil {
		return err
	}
	if err := os.Chtimes(exe, o.Date, o.Date); err != nil { // the cabinet has it
		return err
	}
	// wixl finds files below its own folder only.
	err = tool(dir, "wixl", "--arch", "x64", "-D", "Version="+version, "-D", "Program=tidemark.exe", "-D", "UpgradeCode="+UpgradeCode,
		"-D", "ProductCode="+ProductCode(version, o.Arch), "-o", "a.msi", "tidemark.wxs")
	if err != nil {
		return err
	}
	for _, q := range fixes(version) {
		if err := tool(dir, "msibuild", "a.msi", "-q", q); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(program)
	code := uuid("package", version, platform, hex.EncodeToString(sum[:]))
	if err := tool(dir, "msibuild", "a.msi", "-s", "Tidemark "+version, "Tidemark", platform+";1033", "{"+code+"}"); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "a.msi"))
	if err != nil {
		return err
	}
	if err := setTimes(data, o.Date); err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}

// ProductCode is a version's, for amd64 or arm64; detection, repair and removal name it
// in braces.
func ProductCode(version, arch string) string {
	version, _, _ = strings.Cut(version, "+")
	return uuid("product", version, platforms[arch])
}

// fixes are what wixl leaves out or does in another way.
func fixes(version string) []string {
	q := []string{
		"UPDATE `Property` SET `Value`='WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;ARCHIVE_URL;ARCHIVE_KEY;ENROLL_TOKEN_FILE;PURGE' WHERE `Property`='SecureCustomProperties'",
		"UPDATE `Component` SET `Condition`='ARCHIVE_URL' WHERE `Component`='Url'",
		"UPDATE `Component` SET `Condition`='ARCHIVE_KEY' WHERE `Component`='Key'",
		"UPDATE `Component` SET `Condition`='ENROLL_TOKEN_FILE' WHERE `Component`='Token'",
		// The old version goes within the transaction: if the new one fails, the old one is put back.
		"UPDATE `InstallExecuteSequence` SET `Sequence`=1501 WHERE `Action`='RemoveExistingProducts'",
		"UPDATE `File` SET `Version`='" + version + ".0', `Language`='1033' WHERE `File`='Program'",
	}
	for _, a := range actions {
		q = append(q,
			fmt.Sprintf("INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('%s', %s, '%s', '%s')", a.name, a.kind, a.source, a.target),
			fmt.Sprintf("INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('%s', '%s', %d)", a.name, a.condition, a.sequence))
	}
	return q
}

// tool runs a program in the folder; its output is told only if it fails.
func tool(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// uuid is one that follows from the words.
func uuid(words ...string) string {
	h := sha256.New()
	io.WriteString(h, "tidemark msi\n"+strings.Join(words, "\n"))
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80 // version 8, RFC 9562
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
}
