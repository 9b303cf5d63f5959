// Package macpkg writes flat macOS installer packages (.pkg) on any system, with the
// standard library alone, the same bytes for the same input.
//
// A flat package is a xar archive of Distribution (what the Installer shows and
// chooses) and one folder per component with PackageInfo, Bom (the list of installed
// files), Payload and, if there are any, Scripts; the last two are cpio archives under
// gzip. Apple documents only the two XML files; the others are written as mkbom,
// pkgbuild and xar are known to. What is written here is checked by its structure and
// has not been installed on a real Mac. It is not signed: see docs/release.md.
package macpkg

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// File is one installed file.
type File struct {
	Path string // from the root of the volume, without a leading slash
	Mode uint32 // permissions
	Data []byte
}

// Package is what a .pkg is made of. Everything is owned by root:wheel.
type Package struct {
	Identifier string // such as org.example.program
	Version    string
	Title      string
	Time       time.Time // what everything is dated
	Files      []File
	Scripts    map[string][]byte // preinstall, postinstall
}

// entry is a file, or a folder that leads to one.
type entry struct {
	path   string // "." is the root
	folder bool
	mode   uint32
	data   []byte
}

// Build gives the package's bytes.
func Build(p Package) ([]byte, error) {
	if p.Identifier == "" || p.Version == "" || len(p.Files) == 0 {
		return nil, errors.New("macOS package: identifier, version and files are needed")
	}
	entries, err := tree(p.Files)
	if err != nil {
		return nil, err
	}
	payload, err := gzipped(cpio(entries, p.Time))
	if err != nil {
		return nil, err
	}
	component := []member{
		{"Bom", bom(entries, p.Time)},
		{"PackageInfo", packageInfo(p, entries)},
		{"Payload", payload},
	}
	if len(p.Scripts) > 0 {
		files := []File{}
		for _, name := range slices.Sorted(maps.Keys(p.Scripts)) {
			files = append(files, File{name, 0o755, p.Scripts[name]})
		}
		scripts, err := tree(files)
		if err != nil {
			return nil, err
		}
		packed, err := gzipped(cpio(scripts, p.Time))
		if err != nil {
			return nil, err
		}
		component = append(component, member{"Scripts", packed})
	}
	return xar(p.Time, []member{{"Distribution", distribution(p, entries)}}, componentName, component)
}

const componentName = "tidemark.pkg"

// tree adds the folders that lead to the files, in an order in which a folder comes
// before what is in it.
func tree(files []File) ([]entry, error) {
	all := map[string]entry{".": {path: ".", folder: true, mode: 0o755}}
	for _, f := range files {
		clean := path.Clean(f.Path)
		if clean != f.Path || path.IsAbs(clean) || clean == "." || strings.HasPrefix(clean, "../") {
			return nil, fmt.Errorf("macOS package: %q is no path below the root", f.Path)
		}
		if _, twice := all[clean]; twice {
			return nil, fmt.Errorf("macOS package: %s comes twice", clean)
		}
		all[clean] = entry{path: clean, mode: f.Mode & 0o7777, data: f.Data}
		for dir := path.Dir(clean); dir != "."; dir = path.Dir(dir) {
			if known, ok := all[dir]; ok && !known.folder {
				return nil, fmt.Errorf("macOS package: %s is a file and a folder", dir)
			}
			all[dir] = entry{path: dir, folder: true, mode: 0o755}
		}
	}
	// By elements, so that "a-b" does not come between "a" and "a/b"; the root first.
	return slices.SortedFunc(maps.Values(all), func(a, b entry) int { return slices.Compare(elements(a.path), elements(b.path)) }), nil
}

func elements(name string) []string {
	if name == "." {
		return nil
	}
	return strings.Split(name, "/")
}

func gzipped(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Modes of folders and files as in stat(2).
const (
	folderMode = 0o040000
	fileMode   = 0o100000
)

func (e entry) fullMode() uint32 {
	if e.folder {
		return folderMode | e.mode
	}
	return fileMode | e.mode
}

// cpio writes the portable ASCII form ("odc"), which is what pkgbuild writes.
func cpio(entries []entry, date time.Time) []byte {
	var b bytes.Buffer
	put := func(inode int, name string, mode uint32, links int, data []byte) {
		fmt.Fprintf(&b, "070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o%s\x00", 0, inode, mode, 0, 0, links, 0, date.Unix(), len(name)+1, len(data), name)
		b.Write(data)
	}
	for i, e := range entries {
		name := "./" + e.path
		if e.path == "." {
			name = "."
		}
		put(i+1, name, e.fullMode(), 1, e.data)
	}
	put(0, "TRAILER!!!", 0, 1, nil)
	return b.Bytes()
}

// kilobytes is the size that the Installer shows and reserves.
func kilobytes(entries []entry) int {
	n := 0
	for _, e := range entries {
		n += (len(e.data) + 1023) / 1024
	}
	return n
}

func packageInfo(p Package, entries []entry) []byte {
	type script struct {
		File string `xml:"file,attr"`
	}
	type payload struct {
		Files     int `xml:"numberOfFiles,attr"`
		Kilobytes int `xml:"installKBytes,attr"`
	}
	type scripts struct {
		Pre  *script `xml:"preinstall"`
		Post *script `xml:"postinstall"`
	}
	info := struct {
		XMLName    xml.Name `xml:"pkg-info"`
		Format     int      `xml:"format-version,attr"`
		Identifier string   `xml:"identifier,attr"`
		Version    string   `xml:"version,attr"`
		Location   string   `xml:"install-location,attr"`
		Auth       string   `xml:"auth,attr"`
		Overwrite  bool     `xml:"overwrite-permissions,attr"`
		Payload    payload  `xml:"payload"`
		Scripts    *scripts `xml:"scripts"`
	}{Format: 2, Identifier: p.Identifier, Version: p.Version, Location: "/", Auth: "root", Payload: payload{len(entries), kilobytes(entries)}}
	if len(p.Scripts) > 0 {
		info.Scripts = new(scripts)
		if p.Scripts["preinstall"] != nil {
			info.Scripts.Pre = &script{"./preinstall"}
		}
		if p.Scripts["postinstall"] != nil {
			info.Scripts.Post = &script{"./postinstall"}
		}
	}
	return document(info)
}

func distribution(p Package, entries []entry) []byte {
	type ref struct {
		ID        string `xml:"id,attr"`
		Version   string `xml:"version,attr,omitempty"`
		Kilobytes int    `xml:"installKBytes,attr,omitempty"`
		Auth      string `xml:"auth,attr,omitempty"`
		File      string `xml:",chardata"`
	}
	type options struct {
		Customize string `xml:"customize,attr"`
		Scripts   bool   `xml:"require-scripts,attr"`
		Archs     string `xml:"hostArchitectures,attr"`
	}
	type domains struct {
		Anywhere bool `xml:"enable_anywhere,attr"`
		Home     bool `xml:"enable_currentUserHome,attr"`
		System   bool `xml:"enable_localSystem,attr"`
	}
	type line struct {
		Choice string `xml:"choice,attr"`
	}
	type choice struct {
		ID    string `xml:"id,attr"`
		Title string `xml:"title,attr"`
		Ref   ref    `xml:"pkg-ref"`
	}
	return document(struct {
		XMLName xml.Name `xml:"installer-gui-script"`
		Minimum int      `xml:"minSpecVersion,attr"`
		Title   string   `xml:"title"`
		Options options  `xml:"options"`
		Domains domains  `xml:"domains"`
		Outline []line   `xml:"choices-outline>line"`
		Choice  choice   `xml:"choice"`
		Ref     ref      `xml:"pkg-ref"`
	}{
		Minimum: 2, Title: p.Title, Options: options{"never", false, "x86_64,arm64"}, Domains: domains{System: true},
		Outline: []line{{"default"}}, Choice: choice{"default", p.Title, ref{ID: p.Identifier}},
		Ref: ref{p.Identifier, p.Version, kilobytes(entries), "root", "#" + componentName},
	})
}

func document(v any) []byte {
	b, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // the forms are fixed and hold strings and numbers only
	}
	return append([]byte(xml.Header), append(b, '\n')...)
}
