package collector

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"tidemark/collector/discover"
	"tidemark/collector/wechat"
)

// Databases lists the account's databases that capture reads, those of people first,
// relative to the folder of databases with forward slashes. An error is of folders that
// could not be read; what the others have is listed all the same.
func Databases(d discover.Account) ([]string, error) {
	schema := wechat.For(d.Layout)
	if schema == nil {
		return nil, nil
	}
	var out []string
	var faults []error
	list := func(folder string, ours func(name string) bool) {
		entries, err := os.ReadDir(filepath.Join(d.DBDir, filepath.FromSlash(folder)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
		for _, e := range entries {
			if ours(e.Name()) {
				out = append(out, path.Join(folder, e.Name()))
			}
		}
	}
	for _, files := range [][]string{schema.Contacts, schema.Sessions} {
		for _, file := range files {
			list(path.Dir(file), func(name string) bool { return name == path.Base(file) })
		}
	}
	for _, f := range schema.Messages {
		list(f.Path, func(name string) bool { _, ok := f.File(name); return ok })
	}
	for _, f := range indexFiles[string(d.Layout)] {
		list(f.folder, f.name.MatchString)
	}
	return out, errors.Join(faults...)
}
