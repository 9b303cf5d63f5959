package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"tidemark/agent/config"
)

// tree is the settings by the parts of their names, in the order of the manual.
type tree struct {
	name string
	key  *config.Key // of a leaf
	sub  []*tree
}

func settingsTree() *tree {
	root := new(tree)
	for _, k := range config.Keys() {
		at := root
		for name := range strings.SplitSeq(k.Name, ".") {
			at = at.child(name)
		}
		at.key = &k
	}
	return root
}

func (t *tree) child(name string) *tree {
	for _, s := range t.sub {
		if s.name == name {
			return s
		}
	}
	s := &tree{name: name}
	t.sub = append(t.sub, s)
	return s
}

// example has every setting in a comment, with its default.
func example() []byte {
	var b bytes.Buffer
	b.WriteString(`# Settings of Tidemark: as the configuration file tidemark.yaml, or on Linux as a policy
# in /etc/tidemark/policy.d/NAME.yaml. Every setting stands here with its default; take
# the comment mark away from what you set. tidemark config shows what is in force.
`)
	for _, t := range settingsTree().sub {
		b.WriteByte('\n')
		t.example(&b, "")
	}
	return b.Bytes()
}

func (t *tree) example(b *bytes.Buffer, indent string) {
	if t.key == nil {
		fmt.Fprintf(b, "%s%s:\n", indent, t.name)
		for _, s := range t.sub {
			s.example(b, indent+"  ")
		}
		return
	}
	k := t.key
	for _, line := range wrap(sentence(k.Doc)+" ("+k.Form()+").", 92-len(indent)) {
		fmt.Fprintf(b, "%s# %s\n", indent, line)
	}
	fmt.Fprintf(b, "%s# %s。\n", indent, k.DocZH)
	fmt.Fprintf(b, "%s#%s: %s\n", indent, t.name, yamlValue(*k))
}

// yamlValue is the default as it stands in a file.
func yamlValue(k config.Key) string {
	switch k.Type {
	case config.Text, config.Prose:
		return "'" + strings.ReplaceAll(k.DefaultOn("linux"), "'", "''") + "'"
	}
	return k.Default
}

// wrap breaks a text into lines of about width bytes.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

type object = map[string]any

// schema describes a file of settings. The patterns only catch slips; the rules are the
// agent's.
func schema() []byte {
	top := settingsTree().schema()
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "Tidemark settings"
	top["description"] = "Preference Domain: " + config.PreferenceDomain
	b, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}

func (t *tree) schema() object {
	if t.key == nil {
		properties := object{}
		for i, s := range t.sub {
			p := s.schema()
			p["propertyOrder"] = i + 1 // of Jamf's form
			properties[s.name] = p
		}
		return object{"type": "object", "title": t.name, "additionalProperties": false, "properties": properties}
	}
	k := t.key
	o := object{"title": k.Name, "description": sentence(k.Doc) + " (" + k.Form() + "; since " + k.Since + ")."}
	switch k.Type {
	case config.Bool:
		o["type"], o["default"] = "boolean", k.Default == "true"
	case config.Choice:
		o["type"], o["enum"], o["default"] = "string", k.Choices(), k.Default
	case config.Size:
		o["type"], o["pattern"], o["default"] = []string{"string", "integer"}, "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$", k.Default
	case config.Duration:
		o["type"], o["pattern"], o["default"] = "string", "^([0-9.]+(ns|us|µs|ms|s|m|h))+$", k.Default
	case config.List:
		items := []string{}
		if err := json.Unmarshal([]byte(k.Default), &items); err != nil {
			panic("the default of " + k.Name + " is not a list")
		}
		o["type"], o["items"], o["default"] = "array", object{"type": "string"}, items
	case config.KeySources:
		o["type"], o["default"] = "array", []string{}
		o["items"] = object{"type": "object", "additionalProperties": false, "required": []string{"source"}, "properties": object{
			"source": object{"enum": []string{"file", "exec", "archive"}}, "path": object{"type": "string"},
			"command": object{"type": "array", "items": object{"type": "string"}},
		}}
	case config.Days:
		o["type"], o["default"] = []string{"string", "object"}, k.Default
	default:
		o["type"] = "string"
	}
	return o
}
