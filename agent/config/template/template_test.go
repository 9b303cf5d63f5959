package template

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"howett.net/plist"

	"tidemark/agent/config"
	"tidemark/installer"
)

var update = flag.Bool("update", false, "write the files instead of comparing them")

const root = "../../.."

// Promise: what is committed for administrators is what the table of settings says now.
func TestGeneratedFiles(t *testing.T) {
	stale, err := Stale(root, *update)
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 && !*update {
		t.Errorf("%s: not what the table of settings says; run make policy", strings.Join(stale, ", "))
	}
	// What is no template any more must not stay.
	filepath.WalkDir(filepath.Join(root, "installer", "policy"), func(path string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel(filepath.Join(root, "installer", "policy"), path)
		if err == nil && !d.IsDir() && !slices.ContainsFunc(Files(), func(f File) bool { return f.Name == filepath.ToSlash(name) }) {
			t.Errorf("%s is no template", path)
		}
		return err
	})
}

// Promise: every key says all that the templates, the manual and the agent need to know.
func TestKeysAreWhole(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)*$`)
	seen := map[string]bool{}
	for _, k := range config.Keys() {
		if !name.MatchString(k.Name) || seen[id(k.Name)] {
			t.Errorf("%s: the name is not one, or there is another that is %s without dots", k.Name, id(k.Name))
		}
		seen[id(k.Name)] = true
		if k.Doc == "" || k.DocZH == "" || k.Since == "" || strings.HasSuffix(k.Doc, ".") || strings.Contains(k.Doc+k.DocZH+k.Form(), "--") {
			t.Errorf("%s lacks its purpose, in English or Chinese, or its first version, or the purpose has a full stop or a --", k.Name)
		}
		if !regexp.MustCompile(`\p{Han}`).MatchString(k.DocZH) || k.FormZH() == "" {
			t.Errorf("%s has no Chinese", k.Name)
		}
		if (k.Rule == "") != (k.RuleZH == "") {
			t.Errorf("%s has its rule in one language", k.Name)
		}
		if effects[k.Effect] == "" {
			t.Errorf("%s: effect %q", k.Name, k.Effect)
		}
		if k.Type == config.Choice && (len(k.Choices()) < 2 || !slices.Contains(k.Choices(), k.Default)) {
			t.Errorf("%s: choices %v, default %q", k.Name, k.Choices(), k.Default)
		}
		if strings.HasPrefix(k.Name, "capture.") && !k.Scope && k.Type != config.Duration && k.Type != config.Size {
			t.Errorf("%s decides what is captured: say Scope, or a wrong value may widen it", k.Name)
		}
		if strings.Contains(k.Name, ".") && !slices.Contains(groups, groupOf(k)) {
			t.Errorf("%s: its group needs a title in both languages", k.Name)
		}
	}
}

// Promise: every key is in every file, under its whole name or its path.
func TestEveryKeyIsEverywhere(t *testing.T) {
	for _, f := range Files() {
		if strings.Contains(f.Name, "permissions") {
			continue
		}
		for _, k := range config.Keys() {
			last := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
			if text := string(f.Content); !strings.Contains(text, k.Name) && !strings.Contains(text, last+":") {
				t.Errorf("%s lacks %s", f.Name, k.Name)
			}
		}
	}
}

// element is any XML element.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []*element `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *element) walk(f func(*element)) {
	f(e)
	for _, c := range e.Children {
		c.walk(f)
	}
}

func parse(t *testing.T, data []byte) *element {
	t.Helper()
	var e element
	if err := xml.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

// Promise: the administrative template obeys its own rules: names are unique, every
// text, presentation, category and version that it refers to is there in both languages,
// every element of a presentation belongs to one of its policy, and no text is unused.
func TestAdministrativeTemplate(t *testing.T) {
	top := parse(t, admx())
	for _, l := range []language{english, chinese} {
		t.Run(l.name, func(t *testing.T) {
			texts := parse(t, adml(l))
			have, used := map[string]bool{}, map[string]bool{}
			elements := map[string]string{} // id of an element: its presentation
			texts.walk(func(e *element) {
				switch e.XMLName.Local {
				case "string", "presentation":
					key := e.XMLName.Local + "." + e.attr("id")
					if have[key] || e.XMLName.Local == "string" && strings.TrimSpace(e.Text) == "" {
						t.Errorf("%s is empty or there twice", key)
					}
					have[key] = true
					for _, c := range e.Children {
						elements[c.attr("refId")] = e.attr("id")
					}
				}
			})
			named := map[string]bool{}
			top.walk(func(e *element) {
				for _, a := range e.Attrs {
					if ref, ok := strings.CutPrefix(a.Value, "$("); ok {
						ref = strings.TrimSuffix(ref, ")")
						used[ref] = true
						if !have[ref] {
							t.Errorf("%s of %s refers to %s, which is not there", a.Name.Local, e.attr("name"), ref)
						}
					}
				}
				switch e.XMLName.Local {
				case "definition", "category", "policy":
					key := e.XMLName.Local + e.attr("name")
					if named[key] || !regexp.MustCompile(`^[A-Za-z0-9_]+$`).MatchString(e.attr("name")) {
						t.Errorf("%s is no name, or there twice", key)
					}
					named[key] = true
				}
			})
			top.walk(func(e *element) {
				switch e.XMLName.Local {
				case "parentCategory":
					if !named["category"+e.attr("ref")] {
						t.Errorf("category %s is not there", e.attr("ref"))
					}
				case "supportedOn":
					if e.attr("ref") != "" && !named["definition"+e.attr("ref")] {
						t.Errorf("version %s is not there", e.attr("ref"))
					}
				case "policy":
					if e.attr("key") != registryKey || e.attr("class") != "Machine" {
						t.Errorf("%s: key %s, class %s", e.attr("name"), e.attr("key"), e.attr("class"))
					}
				case "text", "multiText", "enum", "list":
					if elements[e.attr("id")] != e.attr("id") {
						t.Errorf("element %s has no presentation of its own", e.attr("id"))
					}
					delete(elements, e.attr("id"))
				}
			})
			for id := range elements {
				t.Errorf("presentation of %s, which is no element", id)
			}
			for name := range have {
				if !used[name] {
					t.Errorf("%s is unused", name)
				}
			}
		})
	}
}

// Promise: what the template makes the registry hold is what the agent takes: each
// value stands under its setting's name, and what a template can give it obeys the rule.
func TestTemplateValues(t *testing.T) {
	keys := map[string]config.Key{}
	for _, k := range config.Keys() {
		keys[k.Name] = k
	}
	found := map[string]bool{}
	parse(t, admx()).walk(func(e *element) {
		name := e.attr("valueName")
		if list, ok := strings.CutPrefix(e.attr("key"), registryKey+`\`); ok && e.XMLName.Local == "list" {
			name = list
		}
		if name == "" {
			return
		}
		k, known := keys[name]
		if !known {
			t.Errorf("%s is no setting", name)
		}
		found[name] = true
		for _, c := range k.Choices() {
			if err := config.Check(name, c); err != nil {
				t.Error(err)
			}
		}
	})
	if len(found) != len(keys) {
		t.Errorf("%d settings in the template, of %d", len(found), len(keys))
	}
}

// plainKeys are what a payload must have.
var plainKeys = []string{"PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadVersion"}

// Promise: the profiles are property lists with what every payload must have; their
// UUIDs are valid, differ, and stay the same from one version to the next.
func TestProfiles(t *testing.T) {
	seen := map[string]bool{}
	kinds := []string{}
	var check func(d map[string]any)
	check = func(d map[string]any) {
		for _, name := range plainKeys {
			if d[name] == nil {
				t.Errorf("%v lacks %s", d["PayloadIdentifier"], name)
			}
		}
		u, _ := d["PayloadUUID"].(string)
		if !regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-5[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`).MatchString(u) || seen[u] {
			t.Errorf("UUID %s", u)
		}
		seen[u] = true
		kinds = append(kinds, d["PayloadType"].(string))
		content, _ := d["PayloadContent"].([]any)
		for _, c := range content {
			check(c.(map[string]any))
		}
	}
	for _, data := range [][]byte{settingsProfile(), permissionsProfile()} {
		var d map[string]any
		if _, err := plist.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		check(d)
		// It is read the same by a parser of XML that knows nothing of property lists.
		if err := xml.Unmarshal(data, new(element)); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"Configuration", config.PreferenceDomain, "Configuration", "com.apple.TCC.configuration-profile-policy", "com.apple.servicemanagement"}; !slices.Equal(kinds, want) {
		t.Errorf("payloads %v", kinds)
	}
	// The same as Python's uuid.uuid5(uuid.NAMESPACE_OID, "tidemark.agent").
	if got := uuid("tidemark.agent"); got != "ECF909DF-4773-5052-A892-6EF7D143AA65" {
		t.Errorf("uuid %s", got)
	}
	if config.PreferenceDomain != installer.MacPackage {
		t.Errorf("preferences of %s, package %s", config.PreferenceDomain, installer.MacPackage)
	}
}

// Promise: with every comment mark taken away, the profile of settings is still one, and
// the agent takes all of it.
func TestSettingsProfileUncommented(t *testing.T) {
	comment := regexp.MustCompile(`(?s)<!-- .*?(<key>.*?) -->`)
	data := comment.ReplaceAll(settingsProfile(), []byte("$1"))
	var d struct {
		PayloadContent []map[string]any
	}
	if _, err := plist.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Keys() {
		v, ok := d.PayloadContent[0][k.Name]
		if !ok {
			t.Errorf("%s is not there", k.Name)
			continue
		}
		if s, ok := v.(string); ok && s != "" {
			if err := config.Check(k.Name, s); err != nil && os.PathSeparator == '/' {
				t.Error(err)
			}
		}
	}
}

// Promise: the example is a file that changes nothing, and with its comment marks taken
// away one that says every default.
func TestExample(t *testing.T) {
	dir := t.TempDir()
	load := func(content []byte) []config.Setting {
		path := filepath.Join(dir, "x.yaml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c, settings, err := config.Load(config.Options{File: path, PolicyDir: dir + "/none", LookupEnv: func(string) (string, bool) { return "", false }})
		if err != nil || len(c.Problems) > 0 {
			t.Fatal(err, c)
		}
		return settings
	}
	asIs := load(example())
	all := load(regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAll(example(), []byte("$1$2")))
	for i, s := range asIs {
		if s.Origin != config.FromDefault {
			t.Errorf("%s is set by comments", s.Key)
		}
		same, _ := json.Marshal(s.Value)
		got, _ := json.Marshal(all[i].Value)
		if all[i].Origin != config.FromFile || !bytes.Equal(same, got) && config.Keys()[i].DefaultOn("linux") == config.Keys()[i].Default {
			t.Errorf("%s: %s from %s, the default is %s", s.Key, got, all[i].Origin, same)
		}
	}
}

// Promise: the schema is one, takes the example and refuses a name that is no setting's.
func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("settings.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("settings.json")
	if err != nil {
		t.Fatal(err)
	}
	var all any
	content := regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAll(example(), []byte("$1$2"))
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := s.Validate(all); err != nil {
		t.Error(err)
	}
	if s.Validate(map[string]any{"capture": map[string]any{"conversation": "x"}}) == nil {
		t.Error("a name that is no setting's is taken")
	}
}
