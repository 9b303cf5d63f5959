package tidemark_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"tidemark/agent/config/template"
)

// Templates and reference page are what the table of settings says.
func TestPolicyFilesAreFresh(t *testing.T) {
	if stale, err := template.Stale(".", false); err != nil || len(stale) > 0 {
		t.Errorf("%s: not what agent/config says (%v); run make policy", strings.Join(stale, ", "), err)
	}
}

// Every test that the documentation names exists.
func TestDocumentedTestsExist(t *testing.T) {
	out, err := exec.Command("git", "grep", "-hoE", `^func (Test|Fuzz|Benchmark)[A-Za-z0-9]+`, "--", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, line := range strings.Fields(string(out)) {
		exists[line] = true
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	for _, page := range []string{"README.md", "docs/reliability.md", "docs/coverage.md", "docs/design.md", "docs/benchmarks.md", "docs/format.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			if !exists[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}
