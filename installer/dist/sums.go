package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// sums writes the lists of components and the digests of all that is in the folder.
func (r *release) sums() error {
	for _, p := range programs {
		if err := r.components(p); err != nil {
			return err
		}
	}
	list := filepath.Join(r.out, "SHA256SUMS")
	if err := os.Remove(list); err != nil && !os.IsNotExist(err) {
		return err
	}
	entries, err := os.ReadDir(r.out) // sorted by name
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	if err := os.WriteFile(list, b.Bytes(), 0o644); err != nil {
		return err
	}
	return sign("SIGN_SUMS", list)
}

// components lists what a program is made of, on whichever target, as a CycloneDX
// document. The programs themselves tell: the Go command writes it into them.
func (r *release) components(program string) error {
	infos := map[target]*debug.BuildInfo{}
	for _, t := range r.targets {
		info, err := buildinfo.ReadFile(r.file(t, program))
		if err != nil {
			return err
		}
		infos[t] = info
	}
	bom := billOfMaterials(program, r.version, infos)
	bom.Metadata.Timestamp = r.date.Format("2006-01-02T15:04:05Z")
	f, err := os.Create(filepath.Join(r.out, fmt.Sprintf("%s_%s.cdx.json", program, r.version)))
	if err != nil {
		return err
	}
	defer f.Close()
	return cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

// billOfMaterials is the union over the targets. What is not in all of them says where.
func billOfMaterials(program, version string, infos map[target]*debug.BuildInfo) *cyclonedx.BOM {
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = "" // random ones would make two builds differ
	bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		BOMRef: program, Type: cyclonedx.ComponentTypeApplication, Name: program, Version: version,
		Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
	}}
	where := map[debug.Module][]string{}
	for t, info := range infos {
		modules := []debug.Module{{Path: "stdlib", Version: info.GoVersion}}
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			modules = append(modules, debug.Module{Path: d.Path, Version: d.Version, Sum: d.Sum})
		}
		for _, m := range modules {
			where[m] = append(where[m], t.String())
		}
	}
	list, refs := []cyclonedx.Component{}, []string{}
	for m, on := range where {
		c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version}
		c.PackageURL = "pkg:golang/" + m.Path + "@" + strings.TrimPrefix(m.Version, "go")
		c.BOMRef = c.PackageURL
		properties := []cyclonedx.Property{}
		if m.Sum != "" {
			properties = append(properties, cyclonedx.Property{Name: "go:sum", Value: m.Sum})
		}
		if len(on) < len(infos) {
			slices.Sort(on)
			properties = append(properties, cyclonedx.Property{Name: "tidemark:targets", Value: strings.Join(on, " ")})
		}
		if len(properties) > 0 {
			c.Properties = &properties
		}
		list, refs = append(list, c), append(refs, c.BOMRef)
	}
	slices.SortFunc(list, func(a, b cyclonedx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	slices.Sort(refs)
	bom.Components = &list
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: program, Dependencies: &refs}}
	return bom
}
