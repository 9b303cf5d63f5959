package sqlcipher

import (
	"io"
	"io/fs"
)

// file is what is needed of an open file; tests put their own in its place.
type file interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// filesystem opens and looks at files, reading only.
type filesystem interface {
	// open opens a file without ever waiting or keeping its owner from anything.
	open(path string) (file, error)
	// stat describes the file now behind a name, for os.SameFile.
	stat(path string) (fs.FileInfo, error)
}

type osFS struct{}

func (osFS) open(path string) (file, error) {
	f, err := openShared(path)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (osFS) stat(path string) (fs.FileInfo, error) { return statShared(path) }
