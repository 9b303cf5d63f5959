package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"
)

// member is one file of an archive.
type member struct {
	name string
	from string // where it is read
	mode int64
}

// archive packs one program for one target, a zip for Windows and a tar.gz elsewhere.
func (r *release) archive(t target, program string) error {
	name := fmt.Sprintf("%s_%s_%s_%s", program, r.version, t.os, t.arch)
	file := r.file(t, program)
	members := []member{
		{path.Join(name, filepath.Base(file)), file, 0o755},
		{path.Join(name, "LICENSE"), "LICENSE", 0o644},
		{path.Join(name, "README.md"), "README.md", 0o644},
		{path.Join(name, "CHANGELOG.md"), "CHANGELOG.md", 0o644},
	}
	pack, extension := tarGz, ".tar.gz"
	if t.os == "windows" {
		pack, extension = zipped, ".zip"
	}
	f, err := os.Create(filepath.Join(r.out, name+extension))
	if err != nil {
		return err
	}
	return errors.Join(pack(f, members, r.date), f.Close())
}

func tarGz(w io.Writer, members []member, date time.Time) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, m := range members {
		data, err := os.ReadFile(m.from)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: m.name, Mode: m.mode, Size: int64(len(data)), ModTime: date, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func zipped(w io.Writer, members []member, date time.Time) error {
	z := zip.NewWriter(w)
	for _, m := range members {
		data, err := os.ReadFile(m.from)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: date}
		h.SetMode(os.FileMode(m.mode))
		f, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	return z.Close()
}
