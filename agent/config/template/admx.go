package template

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"tidemark/agent/config"
)

// registryKey is where Windows has policies, and config looks for them.
const registryKey = `Software\Policies\Tidemark`

// writer collects lines of XML.
type writer struct{ bytes.Buffer }

// line writes a line; its arguments are escaped.
func (w *writer) line(format string, args ...string) {
	escaped := make([]any, len(args))
	for i, a := range args {
		escaped[i] = escape(a)
	}
	fmt.Fprintf(w, format+"\n", escaped...)
}

func escape(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	// The editors show line breaks and apostrophes as they are.
	return strings.NewReplacer("&#xA;", "\n", "&#39;", "'", "&#34;", "&quot;").Replace(b.String())
}

// since lists the versions that brought keys.
func since() []string {
	var out []string
	for _, k := range config.Keys() {
		out = append(out, k.Since)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func supported(version string) string { return "SUPPORTED_" + id(version) }

// admx is the template's structure. The form is that of Microsoft's schema
// PolicyDefinitionFiles.xsd, revision 2006/07.
func admx() []byte {
	w := new(writer)
	w.line(`<?xml version="1.0" encoding="utf-8"?>`)
	w.line(`<policyDefinitions xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions" revision="1.0" schemaVersion="1.0">`)
	w.line(`  <policyNamespaces>`)
	w.line(`    <target prefix="tidemark" namespace="Tidemark.Policies.Tidemark"/>`)
	w.line(`  </policyNamespaces>`)
	w.line(`  <resources minRequiredRevision="1.0"/>`)
	w.line(`  <supportedOn>`)
	w.line(`    <definitions>`)
	for _, v := range since() {
		w.line(`      <definition name="%s" displayName="$(string.%s)"/>`, supported(v), supported(v))
	}
	w.line(`    </definitions>`)
	w.line(`  </supportedOn>`)
	w.line(`  <categories>`)
	for _, g := range groups {
		if g.name == "" {
			w.line(`    <category name="Tidemark" displayName="$(string.Tidemark)"/>`)
			continue
		}
		w.line(`    <category name="Tidemark_%s" displayName="$(string.Tidemark_%s)">`, g.name, g.name)
		w.line(`      <parentCategory ref="Tidemark"/>`)
		w.line(`    </category>`)
	}
	w.line(`  </categories>`)
	w.line(`  <policies>`)
	for _, k := range config.Keys() {
		admxPolicy(w, k)
	}
	w.line(`  </policies>`)
	w.line(`</policyDefinitions>`)
	return w.Bytes()
}

func admxPolicy(w *writer, k config.Key) {
	name, presentation, value := id(k.Name), ` presentation="$(presentation.`+id(k.Name)+`)"`, ""
	if k.Type == config.Bool { // enabled and disabled are the values
		presentation, value = "", ` valueName="`+k.Name+`"`
	}
	w.line(`    <policy name="%s" class="Machine" displayName="$(string.%s)" explainText="$(string.%s_help)"`+presentation+` key="%s"`+value+`>`, name, name, name, registryKey)
	category := "Tidemark"
	if g := groupOf(k); g.name != "" {
		category = "Tidemark_" + g.name
	}
	w.line(`      <parentCategory ref="%s"/>`, category)
	w.line(`      <supportedOn ref="%s"/>`, supported(k.Since))
	switch k.Type {
	case config.Bool:
		w.line(`      <enabledValue><decimal value="1"/></enabledValue>`)
		w.line(`      <disabledValue><decimal value="0"/></disabledValue>`)
		w.line(`    </policy>`)
		return
	}
	w.line(`      <elements>`)
	switch k.Type {
	case config.List, config.KeySources:
		w.line(`        <list id="%s" key="%s\%s" valuePrefix=""/>`, name, registryKey, k.Name)
	case config.Choice:
		w.line(`        <enum id="%s" valueName="%s" required="true">`, name, k.Name)
		for _, c := range k.Choices() {
			w.line(`          <item displayName="$(string.%s_%s)"><value><string>%s</string></value></item>`, name, c, c)
		}
		w.line(`        </enum>`)
	case config.Prose:
		w.line(`        <multiText id="%s" valueName="%s" required="true"/>`, name, k.Name)
	default:
		w.line(`        <text id="%s" valueName="%s" required="true"/>`, name, k.Name)
	}
	w.line(`      </elements>`)
	w.line(`    </policy>`)
}

// adml is the template's texts in a language.
func adml(l language) []byte {
	w := new(writer)
	w.line(`<?xml version="1.0" encoding="utf-8"?>`)
	w.line(`<policyDefinitionResources xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions" revision="1.0" schemaVersion="1.0">`)
	w.line(`  <displayName>Tidemark</displayName>`)
	w.line(`  <description>Tidemark</description>`)
	w.line(`  <resources>`)
	w.line(`    <stringTable>`)
	for _, v := range since() {
		w.line(`      <string id="%s">Tidemark %s+</string>`, supported(v), v)
	}
	for _, g := range groups {
		name, title := "Tidemark", g.en
		if g.name != "" {
			name += "_" + g.name
		}
		if l.name == chinese.name {
			title = g.zh
		}
		w.line(`      <string id="%s">%s</string>`, name, title)
	}
	for _, k := range config.Keys() {
		w.line(`      <string id="%s">%s</string>`, id(k.Name), k.Name)
		w.line(`      <string id="%s_help">%s</string>`, id(k.Name), l.explain(k))
		if k.Type == config.Choice {
			for _, c := range k.Choices() {
				w.line(`      <string id="%s_%s">%s</string>`, id(k.Name), c, c)
			}
		}
	}
	w.line(`    </stringTable>`)
	w.line(`    <presentationTable>`)
	for _, k := range config.Keys() {
		if k.Type != config.Bool {
			admlPresentation(w, k, l)
		}
	}
	w.line(`    </presentationTable>`)
	w.line(`  </resources>`)
	w.line(`</policyDefinitionResources>`)
	return w.Bytes()
}

func admlPresentation(w *writer, k config.Key, l language) {
	name := id(k.Name)
	w.line(`      <presentation id="%s">`, name)
	switch k.Type {
	case config.List, config.KeySources:
		w.line(`        <listBox refId="%s">%s</listBox>`, name, l.form(k))
	case config.Choice:
		first := fmt.Sprint(max(0, slices.Index(k.Choices(), k.Default)))
		w.line(`        <dropdownList refId="%s" noSort="true" defaultItem="%s">%s</dropdownList>`, name, first, k.Name)
	case config.Prose:
		w.line(`        <multiTextBox refId="%s"/>`, name)
	default:
		w.line(`        <textBox refId="%s">`, name)
		w.line(`          <label>%s</label>`, l.form(k))
		w.line(`        </textBox>`)
	}
	w.line(`      </presentation>`)
}
