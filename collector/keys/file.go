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
	"time"

	"tidemark/collector/sqlcipher"
)

// File is a key file that something else delivers. It is read again when its
// identity, size or time changes, and as long as it was written a moment ago or could
// not be read; for a file written by this program or a device management, not by a
// racing database, these hints are enough. Safe for concurrent use.
type File struct {
	path     string
	optional bool                         // absent means no keys
	unseal   func([]byte) ([]byte, error) // nil for a file that is plain
	open     func(string) (*os.File, error)
	now      func() time.Time

	mu   sync.Mutex
	info fs.FileInfo // of what was read, nil when it must be read again
	set  *set
	err  error
}

// NewFile names a key file, which need not be there yet.
func NewFile(path string) *File { f := newFile(path, false); return &f }

func newFile(path string, optional bool) File {
	return File{path: path, optional: optional, open: os.Open, now: time.Now}
}

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

// ImageKeys gives the keys for the account's images. The error is as that of Keys.
func (f *File) ImageKeys(_ context.Context, account string) ([]ImageKey, error) {
	s, err := f.load()
	if err != nil {
		return nil, err
	}
	return s.imagesForAccount(account), nil
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
	f.set, f.err = f.read()
	if f.err != nil && !errors.Is(f.err, ErrFormat) || f.now().Sub(info.ModTime()) < settled {
		f.info = nil // its permissions may change without a trace, or its content within the clock's resolution
	}
	return f.set, f.err
}

// settled is the age from which a file's time tells it from a later one of the same
// size; some file systems count in steps of two seconds.
const settled = 3 * time.Second

func (f *File) read() (*set, error) {
	path := f.path
	file, err := f.open(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if f.unseal != nil {
		data, err = f.unseal(data)
	}
	var s *set
	if err == nil {
		s, err = parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %s: %w", path, err)
	}
	return s, nil
}
