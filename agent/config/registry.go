package config

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where the registry has settings, below HKEY_LOCAL_MACHINE in its 64-bit view.
// Software\Policies belongs to group policy and MDM; what an installation was given
// stands outside of it.
const (
	registryPolicy       = `Software\Policies\Tidemark`
	registryInstallation = `Software\Tidemark`
)

// registryKey is a key of the registry with what settings are made of.
type registryKey struct {
	values []registryValue
	keys   map[string][]registryValue // the keys below, by name
}

// registryValue is one value: text of a REG_SZ or REG_EXPAND_SZ, lines of a
// REG_MULTI_SZ, a number of a REG_DWORD or REG_QWORD.
type registryValue struct {
	name   string
	text   string
	lines  []string // not nil for REG_MULTI_SZ
	number bool     // text is a number in decimal
	stray  bool     // it is of another type, which no setting has
}

// registryNode makes a tree of settings. A setting is a value with the setting's whole
// name, in any case; a list is such a value, or a key of that name whose values are the
// items in the order of their names as numbers, as administrative templates write them.
// Names that are no setting's stay, so that they are told. In what an installation was given
// they are the package's own, and a value that is empty was not given.
func registryNode(top *registryKey, installation bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(name string, value *yaml.Node) { n.Content = append(n.Content, textNode(name), value) }
	for _, v := range top.values {
		k, known := registryName(v.name)
		switch {
		case installation && (!known || v.text == "" && v.lines == nil):
		case !known:
			add(v.name, textNode(v.text))
		default:
			add(k.Name, v.node(k))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(top.keys)) {
		k, known := registryName(name)
		switch {
		case known:
			add(k.Name, registryList(k, top.keys[name]))
		case !installation:
			add(name, textNode(""))
		}
	}
	return n
}

// registryName finds a setting by its name in any case.
func registryName(name string) (Key, bool) {
	for _, k := range Keys() {
		if strings.EqualFold(k.Name, name) {
			return k, true
		}
	}
	return Key{}, false
}

func (v registryValue) node(k Key) *yaml.Node {
	switch {
	case v.stray:
		return nullNode()
	case v.lines != nil && k.Type == Prose:
		return textNode(strings.Join(v.lines, "\n"))
	case v.lines != nil:
		items := make([]registryValue, 0, len(v.lines))
		for _, line := range v.lines {
			items = append(items, registryValue{text: line})
		}
		return registryList(k, items)
	case v.number && k.Type == Bool && (v.text == "0" || v.text == "1"):
		return textNode(strconv.FormatBool(v.text == "1"))
	}
	if n, err := valueNode(k, v.text); err == nil {
		return n
	}
	return textNode(v.text) // its rule refuses it
}

// registryList makes a list out of values.
func registryList(k Key, items []registryValue) *yaml.Node {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b registryValue) int {
		x, errX := strconv.Atoi(a.name)
		y, errY := strconv.Atoi(b.name)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
		return strings.Compare(a.name, b.name)
	})
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, item := range items {
		value := textNode(item.text)
		switch {
		case item.stray:
			value = nullNode()
		case item.text == "": // a line of the editor's that was left empty
			continue
		case k.Type == KeySources: // each item is one, as {source: file, path: C:\keys.json}
			if parsed, err := valueNode(k, item.text); err == nil {
				value = parsed
			}
		}
		n.Content = append(n.Content, value)
	}
	return n
}
