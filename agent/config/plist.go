package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"howett.net/plist"
)

// managedPreferences is what a profile for all of the device sets. A user's own folder
// beside it is not looked at: the agent is the device's.
const managedPreferences = "/Library/Managed Preferences/" + PreferenceDomain + ".plist"

// preferences reads a property list of managed preferences, in XML or binary form. A
// setting stands there under its whole name, or in dictionaries as in the file.
func preferences(path string) []place {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := place{name: path, err: err}
	if err == nil {
		p.root, err = parsePlist(data)
		if err != nil {
			p.err = &Error{Where: path, Rule: err.Error()}
		}
	}
	return []place{p}
}

// parsePlist makes a tree of settings out of a property list.
func parsePlist(data []byte) (*yaml.Node, error) {
	var top map[string]any
	if _, err := plist.Unmarshal(data, &top); err != nil {
		return nil, errors.New("not a property list with a dictionary: " + shorten(err.Error()))
	}
	// A profile's own bookkeeping may stand among the settings.
	maps.DeleteFunc(top, func(name string, _ any) bool { return strings.HasPrefix(name, "Payload") })
	return plistNode(top), nil
}

func plistNode(v any) *yaml.Node {
	switch v := v.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, textNode(name), plistNode(v[name]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, plistNode(item))
		}
		return n
	case string:
		return textNode(v)
	case bool:
		return textNode(strconv.FormatBool(v))
	case time.Time:
		return textNode(v.UTC().Format(time.DateOnly))
	case uint64, int64:
		return textNode(fmt.Sprint(v))
	}
	return nullNode() // data, a real number: no setting is one
}
