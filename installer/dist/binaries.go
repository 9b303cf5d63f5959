package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// target is one system and processor.
type target struct{ os, arch string }

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

func (t target) String() string { return t.os + "/" + t.arch }

// dir is where the programs for the target are.
func (r *release) dir(t target) string { return filepath.Join(r.bin, t.os+"_"+t.arch) }

// file is a program's path for the target.
func (r *release) file(t target, program string) string {
	if t.os == "windows" {
		program += ".exe"
	}
	return filepath.Join(r.dir(t), program)
}

// binaries builds every program for every target.
func (r *release) binaries() (err error) {
	remove, err := r.resources()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	flags := fmt.Sprintf("-s -w -buildid= -X main.version=%s", r.version)
	for _, t := range r.targets {
		dir := r.dir(t)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		args := []string{"build", "-trimpath", "-ldflags", flags, "-o", dir + string(filepath.Separator)}
		for _, p := range programs {
			args = append(args, "./cmd/"+p)
		}
		if err := execute([]string{"GOOS=" + t.os, "GOARCH=" + t.arch, "CGO_ENABLED=0"}, "go", args...); err != nil {
			return err
		}
		if t.os != "windows" {
			continue
		}
		for _, p := range programs {
			if err := sign("SIGN_WINDOWS", r.file(t, p)); err != nil {
				return err
			}
		}
	}
	return nil
}
