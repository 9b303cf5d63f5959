package media

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Files is an account's folder, for finding and opening files in it. It belongs to one
// goroutine.
type Files struct {
	account string // path of the account folder
	dirs    map[string]*listing
	pass    int
	look    func(string) // tests count the folders that are read; nil does not
}

// listing is what a folder held. A folder is read again when its time changed, and
// looked at once for each pass at most, so that ten thousand pictures in one folder
// cost one reading of it and not as many.
type listing struct {
	names    map[string]string // lower case -> as it is spelled
	modified time.Time
	read     time.Time
	pass     int
}

// Limits of what is kept of folders.
const (
	maxDirs    = 256
	trusted    = 5 * time.Minute // a folder's time may lie: it is read again after this, whatever it says
	fileTicks  = 2 * time.Second // file systems that count time in whole seconds, or in two
	maxEntries = 1 << 20         // of one folder; the rest is not seen
)

// NewFiles returns the files of an account folder.
func NewFiles(account string) *Files { return &Files{account: account, dirs: map[string]*listing{}} }

// Next begins a pass: what changed on disk since the last one is seen from now on.
func (f *Files) Next() {
	f.pass++
	if len(f.dirs) > maxDirs {
		clear(f.dirs)
	}
}

// File is an open file of the account. Close it soon.
type File struct {
	*os.File
	Info fs.FileInfo
}

// Open opens a file below the account folder for reading; p has slashes. What is not a
// regular file, or lies outside by way of dots or links, is refused.
//
// It asks the system for nothing but to read. On Windows, os.Root shares a file for
// reading, writing and deleting, which os.Open does not.
func (f *Files) Open(p string) (*File, error) {
	root, err := os.OpenRoot(f.account)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(filepath.FromSlash(p), os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: p, Err: errors.New("not a regular file")}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &File{file, info}, nil
}

// list returns the names in a folder, nil when there is none.
func (f *Files) list(dir string) map[string]string {
	l := f.dirs[dir]
	if l != nil && l.pass == f.pass {
		return l.names
	}
	names, modified, err := f.read(dir, l)
	if err != nil {
		delete(f.dirs, dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		l = &listing{pass: f.pass}
		f.dirs[dir] = l
		return nil
	}
	if names == nil {
		l.pass = f.pass
		return l.names
	}
	f.dirs[dir] = &listing{names: names, modified: modified, read: time.Now(), pass: f.pass}
	return names
}

// read reads a folder, or returns nil when it is as l has it.
func (f *Files) read(dir string, l *listing) (map[string]string, time.Time, error) {
	root, err := os.OpenRoot(f.account)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer root.Close()
	d, err := root.OpenFile(filepath.FromSlash(dir), os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.IsDir() {
		return nil, time.Time{}, fmt.Errorf("%s: not a folder", dir)
	}
	// A folder that was read within a tick of its last change may have changed again
	// within the same tick.
	if l != nil && l.names != nil && info.ModTime().Equal(l.modified) && time.Since(l.read) < trusted && l.read.Sub(l.modified) > fileTicks {
		return nil, time.Time{}, nil
	}
	if f.look != nil {
		f.look(dir)
	}
	names := map[string]string{}
	for len(names) < maxEntries {
		batch, err := d.Readdirnames(4096)
		for _, n := range batch {
			names[strings.ToLower(n)] = n
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, time.Time{}, err
		}
	}
	return names, info.ModTime(), nil
}

// has returns the path of a file of that name in the folder, in any case, "" when there
// is none.
func (f *Files) has(dir, name string) string {
	if name == "" {
		return ""
	}
	if spelled, ok := f.list(dir)[strings.ToLower(name)]; ok {
		return path.Join(dir, spelled)
	}
	return ""
}
