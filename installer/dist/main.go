// Command dist builds what is published, each step from what the one before left:
//
//	dist binaries   both programs for all six targets, into bin/dist/OS_ARCH/
//	dist packages   deb, rpm, the macOS .pkg, MSI and the archives, into dist/
//	dist sums       the lists of components (SBOM) and SHA256SUMS, into dist/
//
// "make dist" runs them. VERSION names the release and SOURCE_DATE_EPOCH is the time
// that everything is dated, so that the same source gives the same bytes. The
// commands in SIGN_WINDOWS, SIGN_DEB, SIGN_RPM, SIGN_PKG and SIGN_SUMS, where set, are
// run with a file's path as their last argument and sign it in place; docs/release.md
// has examples. -target limits a step to one target, -bin and -out name other folders.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// programs are what is built; the first is the agent.
var programs = []string{"tidemark", "tidemark-archive"}

// release is what all steps share.
type release struct {
	version string
	date    time.Time
	targets []target
	bin     string // folder of the programs, by target
	out     string // folder of what is published
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "dist: error: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	r, err := newRelease(os.Getenv("VERSION"), os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("dist", flag.ContinueOnError)
	flags.StringVar(&r.bin, "bin", "bin/dist", "`folder` of the programs")
	flags.StringVar(&r.out, "out", "dist", "`folder` of what is published")
	flags.Func("target", "this one only, as linux/amd64", func(name string) error {
		r.targets = slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.String() != name })
		if len(r.targets) == 0 {
			return errors.New("no such target")
		}
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	steps := map[string]func() error{"binaries": r.binaries, "packages": r.packages, "sums": r.sums}
	if flags.NArg() != 1 || steps[flags.Arg(0)] == nil {
		return errors.New("one of binaries, packages, sums is needed")
	}
	return steps[flags.Arg(0)]()
}

// Three numbers, because Windows Installer compares no more; what follows a plus says
// that the source was changed.
var versionForm = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,5}(\+[a-z0-9.]+)?$`)

func newRelease(version, epoch string) (*release, error) {
	if !versionForm.MatchString(version) {
		return nil, fmt.Errorf("VERSION is %q and must be three numbers, such as 0.1.17", version)
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds <= 0 {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH is %q and must be seconds since 1970", epoch)
	}
	return &release{version: version, date: time.Unix(seconds, 0).UTC(), targets: targets}, nil
}

// sign runs the command in the environment variable, if there is one.
func sign(variable, path string) error {
	command := os.Getenv(variable)
	if command == "" {
		return nil
	}
	return execute(nil, "sh", "-c", command+` "$1"`, "sh", path)
}

// execute runs a program whose output is for the person who waits.
func execute(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
