package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// managed takes what an administrator has set from afar. Nothing there is an error of
// the loader's: it becomes one of the problems, and the key's default is in force.
func (l *loader) managed(origin string, places []place) {
	for _, p := range places {
		problem := func(e *Error) { l.config.Problems = append(l.config.Problems, e) }
		var bad *Error
		switch {
		case errors.As(p.err, &bad):
			bad.Holds = true // it may have narrowed the scope
			problem(bad)
			continue
		case p.err != nil:
			problem(&Error{Where: p.name, Rule: "cannot be read: " + p.err.Error(), Holds: true})
			continue
		}
		w := &walker{loader: l, place: p, origin: origin, seen: map[string]bool{}}
		w.refuse = func(e *Error) error {
			problem(e)
			i := slices.IndexFunc(l.keys, func(k Key) bool { return k.Name == e.Key })
			if i < 0 {
				e.Holds = e.Key == "" || e.Key == "capture" || strings.HasPrefix(e.Key, "capture.")
				return nil
			}
			k := l.keys[i]
			e.Holds = k.Scope
			if err := l.reset(k); err != nil { // the defaults have been taken before
				return err
			}
			l.origin[k.Name] = Setting{Origin: FromDefault, Problem: e.Error()}
			return nil
		}
		if err := w.top(); err != nil {
			problem(&Error{Where: p.name, Rule: err.Error(), Holds: true})
		}
	}
	// A key that a stronger place has in order holds nothing.
	for _, e := range l.config.Problems {
		if s, known := l.origin[e.Key]; known && s.Problem == "" {
			e.Holds = false
		}
	}
}

// policyFiles reads a folder of policy files.
func policyFiles(dir string) []place {
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []place{{name: dir, err: err}}
	}
	var out []place
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == ".yaml" && !strings.HasPrefix(name, ".") {
			out = append(out, yamlFile(filepath.Join(dir, name)))
		}
	}
	return out
}
