package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20

// loader collects the settings, the weakest place first.
type loader struct {
	config *Config
	keys   []Key
	origin map[string]Setting
}

func newLoader() *loader {
	return &loader{config: new(Config), keys: Keys(), origin: map[string]Setting{}}
}

func (l *loader) settings() []Setting {
	out := make([]Setting, 0, len(l.keys))
	for _, k := range l.keys {
		s := l.origin[k.Name]
		s.Key, s.Value = k.Name, k.shown(l.config)
		out = append(out, s)
	}
	return out
}

func (l *loader) defaults() error {
	for _, k := range l.keys {
		if err := l.reset(k); err != nil {
			return fmt.Errorf("default of %s: %w", k.Name, err)
		}
	}
	return nil
}

// reset gives a key its default.
func (l *loader) reset(k Key) error {
	n, err := valueNode(k, k.Default)
	if err == nil {
		err = k.set(l.config, n)
	}
	l.origin[k.Name] = Setting{Origin: FromDefault}
	return err
}

func (l *loader) environment(lookup func(string) (string, bool)) error {
	for _, k := range l.keys {
		value, ok := lookup(k.Env())
		if !ok {
			continue
		}
		n, err := valueNode(k, value)
		if err == nil {
			err = k.set(l.config, n)
		}
		if err != nil {
			return &Error{Where: k.Env(), Key: k.Name, Value: k.quote(value), Rule: err.Error()}
		}
		l.origin[k.Name] = Setting{Origin: FromEnvironment, Where: k.Env()}
	}
	return nil
}

// valueNode reads a value that stands outside a file.
func valueNode(k Key, value string) (*yaml.Node, error) {
	flow := strings.HasPrefix(strings.TrimSpace(value), "[") || strings.HasPrefix(strings.TrimSpace(value), "{")
	switch {
	case flow && (k.Type == List || k.Type == KeySources || k.Type == Days):
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil || len(doc.Content) != 1 {
			return nil, errors.New("is not YAML")
		}
		if err := plain(doc.Content[0]); err != nil {
			return nil, err
		}
		return doc.Content[0], nil
	case k.Type == List:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for s := range strings.SplitSeq(value, ",") {
			if s = strings.TrimSpace(s); s != "" {
				n.Content = append(n.Content, textNode(s))
			}
		}
		return n, nil
	}
	return textNode(value), nil
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// nullNode is a value that no rule takes.
func nullNode() *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"} }

// file reads the configuration file.
func (l *loader) file(path string, optional bool) error {
	p := yamlFile(path)
	if optional && errors.Is(p.err, fs.ErrNotExist) {
		return nil
	}
	var bad *Error
	switch {
	case errors.As(p.err, &bad):
		return bad
	case p.err != nil:
		return fmt.Errorf("read configuration: %w", p.err)
	}
	w := &walker{loader: l, place: p, origin: FromFile, seen: map[string]bool{}, refuse: func(e *Error) error { return e }}
	return w.top()
}

// place is one document of settings and where it stands.
type place struct {
	name  string     // as a person is told it
	lines bool       // its nodes have line numbers
	root  *yaml.Node // nil when it says nothing
	err   error      // it could not be read: an *Error when it is not what it should be
}

// yamlFile reads a file of settings.
func yamlFile(path string) place {
	p := place{name: path, lines: true}
	data, err := readFile(path)
	if err != nil {
		p.err = err
		return p
	}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return p // nothing but comments
	} else if err != nil {
		p.err = &Error{Where: path, Rule: "not YAML: " + shorten(strings.TrimPrefix(err.Error(), "yaml: "))}
		return p
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		p.err = &Error{Where: path, Rule: "must be one YAML document"}
		return p
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		p.root = root
	}
	return p
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

// walker takes the settings of one place.
type walker struct {
	*loader
	place  place
	origin string
	seen   map[string]bool
	refuse func(*Error) error // nil goes on without the setting
}

func (w *walker) top() error {
	if w.place.root == nil {
		return nil
	}
	return w.mapping(w.place.root, "")
}

// bad is an error at a node.
func (w *walker) bad(n *yaml.Node, key, value, rule string) *Error {
	e := &Error{Where: w.place.name, Key: key, Value: value, Rule: rule}
	if w.place.lines {
		e.Line = n.Line
	}
	return e
}

// mapping walks the place's tree; a path that is a setting's name takes the node
// there, whatever is below it.
func (w *walker) mapping(n *yaml.Node, prefix string) error {
	if n.Kind != yaml.MappingNode {
		value := ""
		if n.Kind == yaml.ScalarNode && !w.secretBelow(prefix) {
			value = shorten(n.Value)
		}
		return w.refuse(w.bad(n, strings.TrimSuffix(prefix, "."), value, "must be settings, each as name: value"))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := w.entry(n.Content[i], n.Content[i+1], prefix); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(name, value *yaml.Node, prefix string) error {
	key := prefix + name.Value
	if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
		return w.refuse(w.bad(name, strings.TrimSuffix(prefix, "."), "", "must be the name of a setting"))
	}
	if err := plain(value); err != nil {
		return w.refuse(w.bad(value, key, "", err.Error()))
	}
	if w.seen[key] {
		return w.refuse(w.bad(name, key, "", "is set twice"))
	}
	w.seen[key] = true
	i := slices.IndexFunc(w.keys, func(k Key) bool { return k.Name == key })
	group := slices.ContainsFunc(w.keys, func(k Key) bool { return strings.HasPrefix(k.Name, key+".") })
	switch {
	case i >= 0:
		return w.take(w.keys[i], value)
	case group && value.Tag == "!!null": // a heading with everything under it commented out
		return nil
	case group:
		return w.mapping(value, key+".")
	}
	return w.refuse(w.bad(name, key, "", "no such setting"+w.didYouMean(key)))
}

func (w *walker) take(k Key, value *yaml.Node) error {
	if err := k.set(w.config, value); err != nil {
		written := ""
		if value.Kind == yaml.ScalarNode {
			written = k.quote(value.Value)
		}
		return w.refuse(w.bad(value, k.Name, written, err.Error()))
	}
	where := w.place.name
	if w.place.lines {
		where = fmt.Sprintf("%s:%d", where, value.Line)
	}
	w.loader.origin[k.Name] = Setting{Origin: w.origin, Where: where}
	return nil
}

// didYouMean names the settings beside a wrong one.
func (w *walker) didYouMean(key string) string {
	prefix := key[:strings.LastIndexByte(key, '.')+1]
	var names []string
	for _, k := range w.keys {
		rest, ok := strings.CutPrefix(k.Name, prefix)
		if name, _, _ := strings.Cut(rest, "."); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "; there are " + strings.Join(names, ", ")
}

// secretBelow says whether a group holds a secret, which a value in its place may be.
func (w *walker) secretBelow(prefix string) bool {
	return slices.ContainsFunc(w.keys, func(k Key) bool { return k.Secret && strings.HasPrefix(k.Name, prefix) })
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

// quote is a value that an error may show.
func (k Key) quote(s string) string {
	if k.Secret {
		return ""
	}
	return shorten(s)
}

func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
