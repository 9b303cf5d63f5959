package template

import (
	"bytes"
	"fmt"
	"strings"

	"tidemark/agent/config"
)

// The table of settings stands between these lines of docs/configuration.md.
const (
	tableBegin = "<!-- made by make policy from agent/config: do not edit below -->\n"
	tableEnd   = "<!-- end of what make policy makes -->\n"
)

// effects are what a change does, in words.
var effects = map[config.Effect]string{
	config.AtOnce:  "used from then on",
	config.Capture: "capture begins anew",
	config.Restart: "the agent begins anew",
}

// Page puts the table of settings into the reference page.
func Page(page []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(tableBegin))
	_, after, closed := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !closed {
		return nil, fmt.Errorf("the page lacks the line %q or %q", strings.TrimSpace(tableBegin), strings.TrimSpace(tableEnd))
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tableBegin)
	for _, g := range groups {
		for _, k := range config.Keys() {
			if groupOf(k) == g {
				entry(&b, k)
			}
		}
	}
	b.WriteString("\n" + tableEnd)
	b.Write(after)
	return b.Bytes(), nil
}

func entry(b *bytes.Buffer, k config.Key) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s.\n%s。\n\n", k.Name, sentence(k.Doc), k.DocZH)
	fmt.Fprintf(b, "- value: %s\n- default: %s\n", k.Form(), defaults(k))
	fmt.Fprintf(b, "- environment: `%s`\n- when it changes: %s\n- since: %s\n", k.Env(), effects[k.Effect], k.Since)
	switch {
	case k.Scope:
		b.WriteString("- decides what is captured: while a managed value of it cannot be taken, capture is held\n")
	case k.Secret:
		b.WriteString("- secret: shown nowhere but as given\n")
	}
}

// defaults are those of the systems, or the one of all.
func defaults(k config.Key) string {
	linux, darwin, windows := k.DefaultOn("linux"), k.DefaultOn("darwin"), k.DefaultOn("windows")
	switch {
	case linux != darwin || linux != windows:
		return fmt.Sprintf("`%s` on Linux, `%s` on macOS, `%s` on Windows", linux, darwin, windows)
	case linux == "":
		return "none"
	}
	return "`" + linux + "`"
}
