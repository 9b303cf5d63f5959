package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Type is what the values of a key are; the templates for the systems' policies make
// their input fields from it.
type Type string

// The types. Where a system's policy has no such type, the value is written as text, in
// the form that the file has.
const (
	Text       Type = "text" // one line
	Prose      Type = "text of several lines"
	Bool       Type = "true or false" // also a number 0 or 1 in the registry
	Choice     Type = "choice"        // one of Key.Choices
	Size       Type = "size"          // bytes, as 500MiB or 2GiB
	Duration   Type = "duration"      // as 500ms, 10s or 24h
	Days       Type = "history"       // all, none or {since: date}
	List       Type = "list"          // of text
	KeySources Type = "list of key sources"
)

// Effect is what a change of a key makes an agent do that runs.
type Effect string

// The effects. None of them loses a record: a part that begins anew goes on from its
// cursors.
const (
	AtOnce  Effect = "at once" // it is used from then on
	Capture Effect = "capture" // capture and delivery end in good order and begin anew; the agent stays
	Restart Effect = "agent"   // the whole agent does so, within its process
)

// Key is a setting, defined once: the loader, the manual, the policy templates, the
// reference page and the shell's completion are all made from it. A test fails when a
// field is missing.
type Key struct {
	Name    string // in the file, groups separated by dots
	Type    Type
	Rule    string // what a value must be, where Type does not say it all; "" is no more than Type
	RuleZH  string // the same in Chinese
	Default string // as one would write it in the file
	Doc     string // purpose, in English, one sentence without a full stop
	DocZH   string // the same in Chinese
	Since   string // the first version that knows it, as 0.1
	Effect  Effect
	Secret  bool // never shown, as a token or a password
	Scope   bool // decides what is captured: a managed value that is wrong holds capture, see Config.Held

	defaults map[string]string // in words, by system, where the systems differ
	codec
}

// codec reads and shows a key's value. The error of set says the rule, and never quotes
// the value.
type codec struct {
	set     func(c *Config, n *yaml.Node) error
	get     func(c *Config) any
	show    func(c *Config) any // of a secret: what may be seen of it
	choices []string
}

// Choices are the values of a Choice, in the order of the manual.
func (k Key) Choices() []string {
	if k.Type == Bool {
		return []string{"true", "false"}
	}
	return k.choices
}

// Form is type and rule in words.
func (k Key) Form() string {
	switch {
	case k.Type == Choice:
		last := len(k.choices) - 1
		return strings.Join(k.choices[:last], ", ") + " or " + k.choices[last]
	case k.Type == Days:
		return k.Rule
	case k.Rule == "":
		return string(k.Type)
	}
	return string(k.Type) + ", " + k.Rule
}

// formsZH are the types in Chinese.
var formsZH = map[Type]string{
	Text: "文本", Prose: "多行文本", Bool: "true 或 false", Size: "大小", Duration: "时长", List: "列表", KeySources: "密钥来源列表",
}

// FormZH is Form in Chinese.
func (k Key) FormZH() string {
	switch {
	case k.Type == Choice:
		last := len(k.choices) - 1
		return strings.Join(k.choices[:last], "、") + " 或 " + k.choices[last]
	case k.Type == Days:
		return k.RuleZH
	case k.RuleZH == "":
		return formsZH[k.Type]
	}
	return formsZH[k.Type] + "，" + k.RuleZH
}

// Env is the environment variable that sets the key: TIDEMARK_STATE_DIR for
// state_dir. Its value is written as in the file; a list of words may be separated
// by commas.
func (k Key) Env() string {
	return "TIDEMARK_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// DefaultOn is the default on a system, by Go's name for it, as a page may show it.
func (k Key) DefaultOn(goos string) string {
	if d, ok := k.defaults[goos]; ok {
		return d
	}
	return k.Default
}

// shown is the value as it may be shown.
func (k Key) shown(c *Config) any {
	if !k.Secret {
		return k.get(c)
	}
	if k.show != nil {
		return k.show(c)
	}
	if k.get(c) == "" {
		return ""
	}
	return "(given)"
}
