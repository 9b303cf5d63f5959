package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/installer/msi"
)

// resources writes the version resources that go build links into the programs for
// Windows, which shows them and whose installer compares them. They are removed when
// the programs are built: a later build by hand would carry a wrong version.
func (r *release) resources() (remove func() error, err error) {
	if !slices.ContainsFunc(r.targets, func(t target) bool { return t.os == "windows" }) {
		return func() error { return nil }, nil
	}
	version, _, _ := strings.Cut(r.version, "+")
	var written []string
	remove = func() error {
		var errs []error
		for _, f := range written {
			errs = append(errs, os.Remove(f))
		}
		return errors.Join(errs...)
	}
	for _, p := range programs {
		prefix := filepath.Join("cmd", p, "rsrc")
		err := execute(nil, "bin/tools/go-winres", "simply", "--arch", "amd64,arm64", "--out", prefix, "--manifest", "cli",
			"--product-version", version+".0", "--file-version", version+".0", "--product-name", "Tidemark", "--file-description", "Tidemark", "--original-filename", p+".exe")
		if err != nil {
			return nil, errors.Join(err, remove())
		}
		for _, arch := range []string{"amd64", "arm64"} {
			written = append(written, prefix+"_windows_"+arch+".syso")
		}
	}
	return remove, nil
}

// windows makes the agent's package for Windows Installer.
func (r *release) windows(t target) error {
	file := filepath.Join(r.out, fmt.Sprintf("tidemark-%s-%s.msi", r.version, map[string]string{"amd64": "x64", "arm64": "arm64"}[t.arch]))
	if err := msi.Build(msi.Options{Version: r.version, Arch: t.arch, Program: r.file(t, programs[0]), Date: r.date}, file); err != nil {
		return err
	}
	return sign("SIGN_WINDOWS", file)
}
