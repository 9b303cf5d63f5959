// Package config is the agent's settings: which there are, what each may be, and
// where the value in force comes from.
//
// A setting is taken from the first of these that has it:
//
//  1. managed policy: /etc/tidemark/policy.d/*.yaml on Linux, in the order of their
//     names, a later file over an earlier one;
//  2. the environment: TIDEMARK_STATE_DIR for state_dir, and so on;
//  3. the configuration file;
//  4. the default.
//
// Files are YAML, one document of at most 1 MiB, without aliases. An unknown
// setting, a setting given twice or a value that breaks its rule is an [Error]: a
// mistyped scope must never silently capture more or less than was meant.
//
// [Keys] has every setting with its rule, default and purpose. Paths are absolute,
// because a service's working folder is nobody's intention. A missing file at the
// default place means that there is none; one named by hand must be there.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20

// Error is a setting that cannot be taken.
type Error struct {
	Where string // file or environment variable
	Line  int    // 0 when not known
	Key   string
	Value string // as written, shortened
	Rule  string
}

func (e *Error) Error() string {
	s := e.Where
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	if e.Value != "" {
		s += fmt.Sprintf(": %q", e.Value)
	}
	return s + ": " + e.Rule
}

// The kinds of places that a value comes from.
const (
	FromDefault     = "default"
	FromFile        = "file"
	FromEnvironment = "environment"
	FromPolicy      = "policy"
)

// Setting is a key's value in force.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`          // one of the From constants
	Where  string `json:"where,omitempty"` // file and line, or variable
}

// Options say where to look. The zero value is this machine's.
type Options struct {
	File      string                      // "" means DefaultFile(), which may be missing
	PolicyDir string                      // "" means the system's, if it has one
	LookupEnv func(string) (string, bool) // nil means os.LookupEnv
}

// Load reads the settings. It returns them with their origins in the order of Keys.
func Load(o Options) (*Config, []Setting, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.PolicyDir == "" {
		o.PolicyDir = defaultPolicyDir()
	}
	l := &loader{config: new(Config), keys: Keys(), origin: map[string]Setting{}}
	if err := l.defaults(); err != nil {
		return nil, nil, err
	}
	file, optional := o.File, false
	if file == "" {
		file, optional = DefaultFile(), true
	}
	if err := l.file(file, FromFile, optional); err != nil {
		return nil, nil, err
	}
	if err := l.environment(o.LookupEnv); err != nil {
		return nil, nil, err
	}
	if err := l.policies(o.PolicyDir); err != nil {
		return nil, nil, err
	}
	settings := make([]Setting, 0, len(l.keys))
	for _, k := range l.keys {
		s := l.origin[k.Name]
		s.Key, s.Value = k.Name, k.get(l.config)
		settings = append(settings, s)
	}
	return l.config, settings, nil
}

type loader struct {
	config *Config
	keys   []Key
	origin map[string]Setting
}

func (l *loader) defaults() error {
	for _, k := range l.keys {
		n, err := valueNode(k, k.Default)
		if err == nil {
			err = k.set(l.config, n)
		}
		if err != nil {
			return fmt.Errorf("default of %s: %w", k.Name, err)
		}
		l.origin[k.Name] = Setting{Origin: FromDefault}
	}
	return nil
}

func (l *loader) environment(lookup func(string) (string, bool)) error {
	for _, k := range l.keys {
		text, ok := lookup(k.Env())
		if !ok {
			continue
		}
		n, err := valueNode(k, text)
		if err == nil {
			err = k.set(l.config, n)
		}
		if err != nil {
			return &Error{Where: k.Env(), Key: k.Name, Value: shorten(text), Rule: err.Error()}
		}
		l.origin[k.Name] = Setting{Origin: FromEnvironment, Where: k.Env()}
	}
	return nil
}

// valueNode reads a value that stands outside a file.
func valueNode(k Key, text string) (*yaml.Node, error) {
	flow := strings.HasPrefix(strings.TrimSpace(text), "[") || strings.HasPrefix(strings.TrimSpace(text), "{")
	switch {
	case flow:
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
			return nil, errors.New("is not YAML")
		}
		if err := plain(doc.Content[0]); err != nil {
			return nil, err
		}
		return doc.Content[0], nil
	case k.Type == "list":
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for s := range strings.SplitSeq(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s})
			}
		}
		return n, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}, nil
}

func (l *loader) policies(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read policy: %w", err)
	}
	for _, e := range entries { // ReadDir sorts by name
		if name := e.Name(); filepath.Ext(name) == ".yaml" && !strings.HasPrefix(name, ".") {
			if err := l.file(filepath.Join(dir, name), FromPolicy, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) file(path, origin string, optional bool) error {
	data, err := readFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // nothing but comments
	} else if err != nil {
		return &Error{Where: path, Rule: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &Error{Where: path, Rule: "must be one YAML document"}
	}
	f := &fileLoader{loader: l, path: path, origin: origin, seen: map[string]bool{}}
	if root := doc.Content[0]; root.Tag != "!!null" {
		return f.mapping(root, "")
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return data, err
}

type fileLoader struct {
	*loader
	path, origin string
	seen         map[string]bool
}

func (f *fileLoader) bad(n *yaml.Node, key, rule string) error {
	value := ""
	if n.Kind == yaml.ScalarNode {
		value = n.Value
	}
	return &Error{Where: f.path, Line: n.Line, Key: key, Value: shorten(value), Rule: rule}
}

// mapping walks the file's tree; a path that is a setting's name takes the node
// there, whatever is below it.
func (f *fileLoader) mapping(n *yaml.Node, prefix string) error {
	if n.Kind != yaml.MappingNode {
		return f.bad(n, strings.TrimSuffix(prefix, "."), "must be settings, each as name: value")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
			return f.bad(name, prefix, "must be the name of a setting")
		}
		if err := plain(value); err != nil {
			return f.bad(value, key, err.Error())
		}
		if f.seen[key] {
			return f.bad(name, key, "is set twice")
		}
		f.seen[key] = true
		j := slices.IndexFunc(f.keys, func(k Key) bool { return k.Name == key })
		group := slices.ContainsFunc(f.keys, func(k Key) bool { return strings.HasPrefix(k.Name, key+".") })
		switch {
		case j >= 0:
			if err := f.keys[j].set(f.config, value); err != nil {
				return f.bad(value, key, err.Error())
			}
			f.loader.origin[key] = Setting{Origin: f.origin, Where: fmt.Sprintf("%s:%d", f.path, value.Line)}
		case group && value.Tag == "!!null": // a heading with everything under it commented out
		case group:
			if err := f.mapping(value, key+"."); err != nil {
				return err
			}
		default:
			return &Error{Where: f.path, Line: name.Line, Key: key, Rule: "no such setting" + f.didYouMean(key)}
		}
	}
	return nil
}

// didYouMean names the settings beside a wrong one.
func (f *fileLoader) didYouMean(key string) string {
	prefix := key[:strings.LastIndexByte(key, '.')+1]
	var names []string
	for _, k := range f.keys {
		rest, ok := strings.CutPrefix(k.Name, prefix)
		if name, _, _ := strings.Cut(rest, "."); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "; there are " + strings.Join(names, ", ")
}

// plain refuses aliases, with which a small file can mean a huge one.
func plain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		return errors.New("must not be a YAML alias")
	}
	for _, c := range n.Content {
		if err := plain(c); err != nil {
			return err
		}
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
