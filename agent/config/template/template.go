// Package template makes what administrators give to their systems out of config.Keys:
// administrative templates for Windows, profiles for macOS, an example of a
// configuration or policy file, a JSON Schema, and the table of docs/configuration.md.
//
// Everything is derived, so a key is in all of them or in none; the files in
// installer/policy are these, and a test fails when they are others. "make policy"
// writes them anew.
package template

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/agent/config"
)

//go:generate go test -run TestGeneratedFiles -update .

// File is a template by its name below installer/policy, with slashes.
type File struct {
	Name    string
	Purpose string // in one line
	Content []byte
}

// Files are all templates.
func Files() []File {
	return []File{
		{"windows/tidemark.admx", "administrative template for group policy and Intune", admx()},
		{"windows/en-US/tidemark.adml", "its texts in English", adml(english)},
		{"windows/zh-CN/tidemark.adml", "its texts in Chinese", adml(chinese)},
		{"macos/tidemark-settings.mobileconfig", "profile of settings for macOS", settingsProfile()},
		{"macos/tidemark-permissions.mobileconfig", "profile of the permissions that the agent needs on macOS", permissionsProfile()},
		{"tidemark.example.yaml", "configuration file or Linux policy with every setting", example()},
		{"tidemark.schema.json", "JSON Schema of settings, for editors and for Jamf's custom settings", schema()},
	}
}

// Stale lists the files below root, the folder of the module, that are not what the
// table of settings says: templates in installer/policy, and docs/configuration.md. With
// write it puts them right.
func Stale(root string, write bool) ([]string, error) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "configuration.md"))
	if err != nil {
		return nil, err
	}
	if page, err = Page(page); err != nil {
		return nil, err
	}
	var stale []string
	for _, f := range append(Files(), File{Name: "../../docs/configuration.md", Content: page}) {
		path := filepath.Join(root, "installer", "policy", filepath.FromSlash(f.Name))
		if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, f.Content) {
			continue
		}
		stale = append(stale, path)
		if !write {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, f.Content, 0o644); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// language is one of the languages of the texts.
type language struct {
	name    string
	form    func(config.Key) string
	doc     func(config.Key) string
	explain func(k config.Key) string
}

var english = language{
	name: "en-US",
	form: config.Key.Form, doc: func(k config.Key) string { return k.Doc },
	explain: func(k config.Key) string {
		s := fmt.Sprintf("%s.\n\nValue: %s.\nDefault: %s\n\n", sentence(k.Doc), k.Form(), or(k.DefaultOn("windows"), "none"))
		if k.Scope {
			s += "It decides what is captured: while a value cannot be taken, nothing is captured, and \"tidemark status\" names it."
		} else {
			s += "A value that cannot be taken is named by \"tidemark status\", and the default is used."
		}
		return s + secret(k, "\n\nEvery user of the device can read what a policy says.")
	},
}

var chinese = language{
	name: "zh-CN",
	form: config.Key.FormZH, doc: func(k config.Key) string { return k.DocZH },
	explain: func(k config.Key) string {
		s := fmt.Sprintf("%s。\n\n取值：%s。\n默认值：%s\n\n", k.DocZH, k.FormZH(), or(k.DefaultOn("windows"), "无"))
		if k.Scope {
			s += "此设置决定采集范围：取值无效期间不采集任何内容，并由 tidemark status 指出。"
		} else {
			s += "无效的取值由 tidemark status 指出，并改用默认值。"
		}
		return s + secret(k, "\n\n设备上的每位用户都能读取策略的内容。")
	},
}

func secret(k config.Key, warning string) string {
	if k.Secret {
		return warning
	}
	return ""
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// sentence begins with a capital.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// group is a heading of settings: the first part of their names.
type group struct {
	name, en, zh string
}

// groups are the headings that have settings, in the order of the manual.
var groups = slices.DeleteFunc(slices.Clone(titles), func(g group) bool {
	return !slices.ContainsFunc(config.Keys(), func(k config.Key) bool { return groupOf(k) == g })
})

// titles of groups in both languages; "" is of the settings without a group.
var titles = []group{
	{"", "Tidemark", "Tidemark"},
	{"archive", "Archive and enrolment", "归档服务器与注册"},
	{"delivery", "Delivery", "上传"},
	{"capture", "What is captured", "采集范围"},
	{"notice", "What users are told", "对用户的告知"},
	{"spool", "Spool", "本地暂存"},
	{"health", "Health", "健康状况"},
	{"metrics", "Metrics", "指标"},
	{"events", "Event log of the system", "系统事件日志"},
	{"limits", "Limits", "资源限制"},
	{"removal", "Removal", "卸载"},
	{"log", "Log", "日志"},
}

// groupOf is the group of a key; a test demands that there is one.
func groupOf(k config.Key) group {
	first, _, found := strings.Cut(k.Name, ".")
	if !found {
		return titles[0]
	}
	i := slices.IndexFunc(titles, func(g group) bool { return g.name == first })
	if i < 0 {
		return group{name: first, en: first, zh: first}
	}
	return titles[i]
}

// id is a name that templates take: without dots.
func id(name string) string { return strings.ReplaceAll(name, ".", "_") }
