package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"tidemark/collector/sqlcipher"
)

// File is a key file that something else delivers. It is read again when its
// identity, size or time changes; for a file written by this program or a device
// management, not by a racing database, that hint is enough. Safe for concurrent
// use.
type File struct {
	path     string
	optional bool // absent means no keys

	mu   sync.Mutex
	info fs.FileInfo // of what was read, nil when nothing was
	set  *set
	err  error
}

// NewFile names a key file, which need not be there yet.
func NewFile(path string) *File { return &File{path: path} }

// Name says where the keys come from, for listings.
func (f *File) Name() string { return "file " + f.path }

// Keys gives the keys for the account. The error is fs.ErrNotExist,
// fs.ErrPermission or ErrFormat, or whatever else the system said.
func (f *File) Keys(_ context.Context, account string) ([]sqlcipher.Key, error) {
	s, err := f.load()
	if err != nil {
		return nil, err
	}
	return s.forAccount(account), nil
}

// List names what the file has keys for.
func (f *File) List() ([]Listed, error) {
	s, err := f.load()
	if err != nil {
		return nil, err
	}
	return s.list(f.Name()), nil
}

// Problem says what is wrong with the file although it can be read, or nil.
func (f *File) Problem() error {
	info, err := os.Stat(f.path)
	if err != nil || runtime.GOOS == "windows" { // permissions are ACLs there
		return nil
	}
	if perm := info.Mode().Perm(); perm&0o004 != 0 {
		return fmt.Errorf("%s may be read by every user of this device (%v); restrict it to 0600", f.path, perm)
	}
	return nil
}

func (f *File) load() (*set, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.info, f.set, f.err = nil, nil, nil
		if f.optional && errors.Is(err, fs.ErrNotExist) {
			return new(set), nil
		}
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if f.info != nil && os.SameFile(f.info, info) && f.info.Size() == info.Size() && f.info.ModTime().Equal(info.ModTime()) {
		return f.set, f.err
	}
	f.info = info
	f.set, f.err = readSet(f.path)
	return f.set, f.err
}

func readSet(path string) (*set, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	s, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read keys: %s: %w", path, err)
	}
	return s, nil
}
