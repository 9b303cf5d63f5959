package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tidemark/installer"
	"tidemark/installer/macpkg"
)

// packages makes everything from the programs; it needs nfpm, wixl and msibuild.
func (r *release) packages() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, t := range r.targets {
		for _, p := range programs {
			if err := r.archive(t, p); err != nil {
				return err
			}
		}
		if t.os == "linux" {
			if err := r.linux(t.arch); err != nil {
				return err
			}
		}
		if t.os == "windows" {
			if err := r.windows(t); err != nil {
				return err
			}
		}
	}
	if len(r.targets) < len(targets) {
		return nil // the .pkg is for two of them
	}
	return r.mac()
}

// linux makes the deb and the rpm of the agent.
func (r *release) linux(arch string) error {
	unit := filepath.Join(r.bin, "tidemark.service")
	if err := os.WriteFile(unit, []byte(installer.Unit(installer.Options{Executable: "/usr/bin/tidemark"})), 0o644); err != nil {
		return err
	}
	env := []string{
		"VERSION=" + r.version, "ARCH=" + arch, "UNIT=" + unit, "PROGRAM=" + r.file(target{"linux", arch}, programs[0]),
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.date.Unix()),
	}
	for _, f := range []struct{ packager, sign, name string }{
		{"deb", "SIGN_DEB", fmt.Sprintf("tidemark_%s_%s.deb", r.version, arch)},
		{"rpm", "SIGN_RPM", fmt.Sprintf("tidemark-%s-1.%s.rpm", r.version, map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch])},
	} {
		path := filepath.Join(r.out, f.name)
		err := execute(env, "bin/tools/nfpm", "package", "--config", "installer/packaging/nfpm.yaml", "--packager", f.packager, "--target", path)
		if err != nil {
			return err
		}
		if err := sign(f.sign, path); err != nil {
			return err
		}
	}
	return nil
}

// mac makes the flat package of the agent, for both processors.
func (r *release) mac() error {
	var slices [][]byte
	for _, arch := range []string{"amd64", "arm64"} {
		data, err := os.ReadFile(r.file(target{"darwin", arch}, programs[0]))
		if err != nil {
			return err
		}
		slices = append(slices, data)
	}
	program, err := macpkg.Universal(slices...)
	if err != nil {
		return err
	}
	scripts := map[string][]byte{}
	for _, name := range []string{"preinstall", "postinstall"} {
		if scripts[name], err = os.ReadFile(filepath.Join("installer/packaging/macos", name)); err != nil {
			return err
		}
	}
	uninstall, err := os.ReadFile("installer/packaging/macos/uninstall.sh")
	if err != nil {
		return err
	}
	notice, err := os.ReadFile("installer/packaging/tidemark.notice.plist")
	if err != nil {
		return err
	}
	data, err := macpkg.Build(macpkg.Package{
		Identifier: installer.MacPackage, Version: r.version, Title: "Tidemark", Time: r.date, Scripts: scripts,
		Files: []macpkg.File{
			{Path: strings.TrimPrefix(installer.MacProgram, "/"), Mode: 0o755, Data: program},
			{Path: "Library/Tidemark/uninstall.sh", Mode: 0o755, Data: uninstall},
			{Path: "Library/LaunchAgents/tidemark.notice.plist", Mode: 0o644, Data: notice},
			{Path: "Library/LaunchDaemons/" + installer.Name + ".plist", Mode: 0o644,
				Data: []byte(installer.LaunchDaemon(installer.Options{Executable: installer.MacProgram}))},
		},
	})
	if err != nil {
		return err
	}
	path := filepath.Join(r.out, fmt.Sprintf("Tidemark-%s.pkg", r.version))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return sign("SIGN_PKG", path)
}
