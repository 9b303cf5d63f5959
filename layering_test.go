// Package tidemark_test holds the promises about the tree as a whole.
package tidemark_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// leaf is the part that every other may know and that knows none: what the system's
// calls lack (durable files) and what both programs say of themselves.
const leaf = "internal"

// allowed says which of our own packages each part may know, with what is below
// them, besides leaf. Imports follow the way of a message: see docs/design.md.
var allowed = map[string]struct {
	parts []string
	why   string
}{
	"record":    {nil, "it is what is captured and knows nobody"},
	"seal":      {nil, "agent and archive share it"},
	"spool":     {[]string{"seal"}, "entries are opaque to it"},
	"collector": {[]string{"record", "seal", "spool"}, "it fills the spool and never talks to the archive"},
	"uploader":  {[]string{"seal", "spool"}, "it empties the spool and never looks at WeChat's files"},
	"installer": {nil, "it knows the machine, not the messages"},
	"agent":     {[]string{"record", "seal", "spool", "collector", "uploader", "installer"}, "it alone knows every part of the agent"},
	"archive":   {[]string{"record", "seal"}, "what it shares with agents are formats"},
	"cmd/tidemark": {
		[]string{"agent", "collector", "installer", "record", "seal", "spool", "uploader"}, "a command line over the agent",
	},
	"cmd/tidemark-archive": {[]string{"archive", "record", "seal"}, "a command line over the archive"},
	leaf:                   {nil, "every part may stand on it, so it stands on none"},

	// Helpers of tests, in no program: nothing above may import them.
	"archive/archivetest":  {[]string{"record", "seal"}, "it seals records as a device does"},
	"collector/simtest":    {nil, "it drives the simulator by its command line"},
	"seal/sealtest":        {[]string{"seal"}, "it holds keys for tests of seal's users"},
	"uploader/archivetest": {[]string{"record", "seal"}, "it opens what it was sent, as an archive does and an uploader must not"},
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// Imports follow the arrows of the data path.
func TestLayering(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t) {
		from := part(p.ImportPath)
		if from == "" {
			continue
		}
		rule, ok := allowed[from]
		if !ok {
			t.Errorf("%s: a new part of the tree needs a rule here, and a reason", p.ImportPath)
			continue
		}
		seen[from] = true
		for _, i := range p.Imports {
			to := part(i)
			if to == "" || to == from || to == leaf || slices.Contains(rule.parts, to) {
				continue
			}
			t.Errorf("%s imports %s: %s", p.ImportPath, i, rule.why)
		}
	}
	for from := range allowed {
		if !seen[from] {
			t.Errorf("%s has a rule and no package", from)
		}
	}
}

// The agent's binary carries no server and writes no core of the archive.
func TestAgentCarriesNoServer(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath != "tidemark/cmd/tidemark" {
			continue
		}
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "tidemark/archive") || strings.Contains(d, "transparency-dev/tessera") ||
				strings.Contains(d, "go-sqlcipher") || strings.HasPrefix(d, "tidemark/simulator") {
				t.Errorf("the agent's program depends on %s", d)
			}
		}
		return
	}
	t.Fatal("the agent's program is not in the tree")
}

// The collector and what it stands on start no process and open no network; only
// key helpers are programs, and they are the organisation's.
func TestCollectorIsAGuest(t *testing.T) {
	forbidden := map[string]string{
		"os/exec": "it starts no program", "net": "it talks to nobody", "net/http": "it talks to nobody", "plugin": "it loads no code",
	}
	for _, p := range list(t) {
		if part(p.ImportPath) != "collector" || strings.HasSuffix(p.ImportPath, "/keys") {
			continue
		}
		for _, i := range p.Imports {
			if why, ok := forbidden[i]; ok {
				t.Errorf("%s imports %s: %s", p.ImportPath, i, why)
			}
		}
	}
}

// A new folder at the top needs a reason. That of internal: a durable write is
// wanted by agent, collector, spool and archive, which know no part in common that
// it belongs to, and two copies of it had begun to differ.
func TestTopLevel(t *testing.T) {
	known := []string{".ci", ".git", "agent", "archive", "bin", "cmd", "collector", "dist", "docs", "installer", "internal", "record", "seal", "simulator", "spool", "uploader"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(known, e.Name()) {
			t.Errorf("folder %s: a new top-level folder needs a reason, and a line here", e.Name())
		}
	}
}

// part is the top of the tree that a package of ours belongs to, "" for others.
// Programs and helpers of tests, whose names end in "test", are parts of their own.
func part(path string) string {
	rest, ok := strings.CutPrefix(path, "tidemark/")
	if !ok {
		return ""
	}
	first, below, _ := strings.Cut(rest, "/")
	if strings.HasSuffix(rest, "test") {
		return rest
	}
	if first == "cmd" {
		second, _, _ := strings.Cut(below, "/")
		return first + "/" + second
	}
	return first
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var all []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
