package record_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/record"
)

// structs are the types of this package that stand in a record's JSON, by the name that
// the schema and docs/format.md give them; "" is the record itself.
func structs() map[string]reflect.Type {
	return map[string]reflect.Type{
		"": reflect.TypeFor[record.Record](), "client": reflect.TypeFor[record.Client](), "conversation": reflect.TypeFor[record.Conversation](),
		"sender": reflect.TypeFor[record.Sender](), "native": reflect.TypeFor[record.Native](), "source": reflect.TypeFor[record.Source](),
		"party": reflect.TypeFor[record.Party](), "image": reflect.TypeFor[record.Image](), "voice": reflect.TypeFor[record.Voice](),
		"video": reflect.TypeFor[record.Video](), "sticker": reflect.TypeFor[record.Sticker](), "location": reflect.TypeFor[record.Location](),
		"card": reflect.TypeFor[record.Card](), "link": reflect.TypeFor[record.Link](), "file": reflect.TypeFor[record.File](),
		"miniprogram": reflect.TypeFor[record.MiniProgram](), "quote": reflect.TypeFor[record.Quote](), "forward": reflect.TypeFor[record.Forward](),
		"forward_item": reflect.TypeFor[record.ForwardItem](), "channel": reflect.TypeFor[record.Channel](),
		"groupchain": reflect.TypeFor[record.GroupChain](), "pat": reflect.TypeFor[record.Pat](), "transfer": reflect.TypeFor[record.Transfer](),
		"redpacket": reflect.TypeFor[record.RedPacket](), "call": reflect.TypeFor[record.Call](), "announcement": reflect.TypeFor[record.Announcement](),
		"friendrequest": reflect.TypeFor[record.FriendRequest](), "membership": reflect.TypeFor[record.Membership](),
		"notice": reflect.TypeFor[record.Notice](), "app": reflect.TypeFor[record.App](), "media": reflect.TypeFor[record.Media](),
		"piece": reflect.TypeFor[record.Piece](), "contact": reflect.TypeFor[record.Contact](), "room": reflect.TypeFor[record.Room](),
		"member": reflect.TypeFor[record.Member](),
	}
}

// members are the JSON members of a struct type, and which of them always stand there.
func members(t reflect.Type) (all, required []string) {
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("json")
		if !ok {
			continue // unexported, or the embedded body itself
		}
		name, options, _ := strings.Cut(tag, ",")
		all = append(all, name)
		if !strings.HasPrefix(options, "omit") {
			required = append(required, name)
		}
	}
	slices.Sort(all)
	slices.Sort(required)
	return all, required
}

// Everything within a record that is a struct is in the list above, so that the tests
// below hold for all of it.
func TestStructs(t *testing.T) {
	listed := map[reflect.Type]bool{}
	for _, s := range structs() {
		listed[s] = true
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, f := range reflect.VisibleFields(s) {
			in := f.Type
			for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
				in = in.Elem()
			}
			if in.Kind() != reflect.Struct || in == reflect.TypeFor[time.Time]() || in == reflect.TypeFor[record.Body]() || in == reflect.TypeFor[record.Column]() {
				continue
			}
			if !listed[in] {
				t.Errorf("%s is not held against the schema", in)
			}
			walk(in)
		}
	}
	walk(reflect.TypeFor[record.Record]())
}

type schemaObject struct {
	Properties map[string]json.RawMessage
	Required   []string
	Enum       []string
	Defs       map[string]schemaObject `json:"$defs"`
}

func readSchema(t *testing.T) schemaObject {
	data, err := os.ReadFile(filepath.Join("..", "docs", "record.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schemaObject
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// object is the part of the schema that describes a struct.
func (s schemaObject) object(t *testing.T, name string) schemaObject {
	if name == "" {
		return s
	}
	if def, ok := s.Defs[name]; ok {
		return def
	}
	var o schemaObject
	if err := json.Unmarshal(s.Properties[name], &o); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return o
}

// The schema names exactly the members that this program writes, and demands those that
// it always writes.
func TestSchemaMembers(t *testing.T) {
	s := readSchema(t)
	for name, typ := range structs() {
		all, required := members(typ)
		o := s.object(t, name)
		if got := slices.Sorted(maps.Keys(o.Properties)); !slices.Equal(got, all) {
			t.Errorf("%q: the schema has %q, the type %q", name, got, all)
		}
		slices.Sort(o.Required)
		if !slices.Equal(o.Required, required) {
			t.Errorf("%q: the schema demands %q, the type always writes %q", name, o.Required, required)
		}
	}
}

// constants are the texts of the package's constants whose names begin so.
func constants(t *testing.T, prefix string) []string {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, prefix) && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					s, _ := strconv.Unquote(lit.Value)
					out = append(out, s)
				}
			}
			return true
		})
	}
	slices.Sort(out)
	return out
}

// Where the schema lists values, it lists those that this program knows; and there is an
// example of each kind and type.
func TestSchemaValues(t *testing.T) {
	s := readSchema(t)
	enum := func(object, member string) []string {
		var e schemaObject
		if member == "" {
			e = s.Defs[object]
		} else if err := json.Unmarshal(s.object(t, object).Properties[member], &e); err != nil {
			t.Fatal(err)
		}
		slices.Sort(e.Enum)
		return e.Enum
	}
	for prefix, got := range map[string][]string{
		"Kind": enum("", "kind"), "Type": enum("type", ""), "Change": enum("", "change"), "Severity": enum("", "severity"),
		"Media": enum("media", "state"), "Role": enum("media", "role"),
	} {
		if want := constants(t, prefix); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %q, the package %q", prefix, got, want)
		}
	}
	kinds, types := map[string]bool{}, map[string]bool{}
	for _, r := range examples() {
		kinds[string(r.Kind)] = true
		types[r.Type] = true
	}
	for _, k := range constants(t, "Kind") {
		if !kinds[k] {
			t.Errorf("no example of kind %s", k)
		}
	}
	for _, k := range constants(t, "Type") {
		if !types[k] {
			t.Errorf("no example of type %s", k)
		}
	}
}

var code = regexp.MustCompile("`([^`]+)`")

// docs/format.md explains every member, kind, type, change, state, role and event.
func TestFormatDocument(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, records, _ := strings.Cut(string(data), "\n## Records\n")
	records, _, _ = strings.Cut(records, "\n## ")
	words := map[string]bool{}
	inRow := map[string]map[string]bool{} // words of the rows that begin with a word
	first := map[string]bool{}            // words that rows begin with
	for line := range strings.Lines(records) {
		found := code.FindAllStringSubmatch(line, -1)
		for _, m := range found {
			words[m[1]] = true
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		head, _, _ := strings.Cut(line[1:], "|")
		for _, h := range code.FindAllStringSubmatch(head, -1) {
			first[h[1]] = true
			if inRow[h[1]] == nil {
				inRow[h[1]] = map[string]bool{}
			}
			for _, m := range found {
				inRow[h[1]][m[1]] = true
			}
		}
	}
	for name, typ := range structs() {
		all, _ := members(typ)
		for _, m := range all {
			switch {
			case name == "" && !first[m]:
				t.Errorf("no row for the member %s", m)
			case name != "" && !inRow[name][m]:
				t.Errorf("the row of %s does not name %s", name, m)
			}
		}
	}
	for _, prefix := range []string{"Kind", "Type", "Change", "Severity", "Media", "Role"} {
		for _, v := range constants(t, prefix) {
			if !words[v] {
				t.Errorf("%s is not named: %s", prefix, v)
			}
		}
	}
	for _, v := range constants(t, "Event") {
		if !first[v] {
			t.Errorf("no row for the event %s", v)
		}
	}
}
