package content_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tidemark/collector/wechat/content"
)

var numbers = regexp.MustCompile(`[0-9]+`)

// documented reads the table of docs/coverage.md that has the given heading: the types
// that it names for each number.
func documented(t *testing.T, heading string) map[int64]string {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "coverage.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(data), "\n| "+heading+" |")
	if !ok {
		t.Fatalf("no table %s", heading)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	out := map[int64]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, number := range numbers.FindAllString(cells[1], -1) {
			n, _ := strconv.ParseInt(number, 10, 64) // digits
			out[n] = cells[2]
		}
	}
	return out
}

// docs/coverage.md lists exactly the numbers that are decoded, with their types.
func TestCoverageDocument(t *testing.T) {
	base, apps := documented(t, "number"), documented(t, "`appmsg` type")
	if len(base) < 15 || len(apps) < 30 {
		t.Fatalf("the tables have %d and %d numbers", len(base), len(apps))
	}
	hold := func(what string, number int64, typ, types string) {
		if types == "" {
			types = "`unknown`"
		}
		if !strings.Contains(types, "`"+typ+"`") {
			t.Errorf("%s %d is %s, in the document%s", what, number, typ, types)
		}
	}
	for n := int64(-1); n < 12_000; n++ {
		if n != 49 {
			in := content.Input{Base: n, Body: []byte(`<msg username="a" nickname="b"/>`)}
			hold("base type", n, decode(in).Type, base[n])
		}
		in := content.Input{Base: 49, Sub: n}
		hold("appmsg type", n, decode(in).Type, apps[n])
	}
}
