package sealtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Field is a field of a binary format, or a line of a text format, as docs/format.md
// names it.
type Field struct {
	Name       string
	Start, End int // bytes
}

// document reads a file of docs/ from whatever package the test is in.
func document(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "docs", name))
		if err == nil {
			return string(data)
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatalf("docs/%s is not found", name)
		}
		dir = up
	}
}

// section is the text under a heading of docs/<name>, up to the next of the same or a
// higher level.
func section(t testing.TB, name, heading string) string {
	t.Helper()
	level, text, ok := strings.Cut(heading, " ")
	if !ok {
		t.Fatalf("%q is not a heading", heading)
	}
	_, rest, ok := strings.Cut(document(t, name), "\n"+level+" "+text+"\n")
	if !ok {
		t.Fatalf("docs/%s has no section %q", name, heading)
	}
	end := regexp.MustCompile(`(?m)^#{1,` + strconv.Itoa(len(level)) + `} `).FindStringIndex(rest)
	if end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// Rows returns the rows of the n-th table (from 0) of a section whose first column has
// that title, without the line of titles, each cell trimmed.
func Rows(t testing.TB, name, heading, first string, n int) [][]string {
	t.Helper()
	var out [][]string
	seen := -1
	in := false
	for line := range strings.Lines(section(t, name, heading)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			in = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == first:
			seen++
			in = seen == n
		case in && strings.Trim(cells[0], "-") != "":
			out = append(out, cells)
		case in && cells[0] == "" && len(cells) > 1 && strings.Trim(cells[1], "-") != "":
			out = append(out, cells)
		}
	}
	if len(out) == 0 {
		t.Fatalf("docs/%s, %s: no table %d of %s", name, heading, n, first)
	}
	return out
}

// Fields reads an offset table of docs/format.md: the n-th of the section. Vars are the
// lengths that the table writes as letters; a field without a size reaches to size, the
// length of the whole. The fields must cover every byte, each once.
func Fields(t testing.TB, heading string, n, size int, vars map[string]int) []Field {
	t.Helper()
	var out []Field
	at := 0
	for _, row := range Rows(t, "format.md", heading, "offset", n) {
		f := Field{Name: row[2], End: size, Start: sum(t, row[0], vars)}
		if row[1] != "" {
			f.End = f.Start + sum(t, row[1], vars)
		}
		if f.Start != at || f.End < f.Start || f.End > size {
			t.Fatalf("docs/format.md, %s: %q stands at %d to %d, the field before it ends at %d of %d", heading, f.Name, f.Start, f.End, at, size)
		}
		at = f.End
		out = append(out, f)
	}
	if at != size {
		t.Fatalf("docs/format.md, %s: its fields end at %d of %d", heading, at, size)
	}
	return out
}

func sum(t testing.TB, s string, vars map[string]int) int {
	t.Helper()
	total := 0
	for term := range strings.SplitSeq(s, "+") {
		v, ok := vars[term]
		if !ok {
			var err error
			if v, err = strconv.Atoi(term); err != nil {
				t.Fatalf("docs/format.md: %q is no number", s)
			}
		}
		total += v
	}
	return total
}

// Lines finds the lines of a text format, which a section of docs/format.md shows as an
// indented block, in real text: the words before a line's value must be the same. The
// fields are the values; the first line is one as a whole.
func Lines(t testing.TB, heading, text string) []Field {
	t.Helper()
	var shown []string
	for line := range strings.Lines(section(t, "format.md", heading)) {
		if strings.HasPrefix(line, "    ") {
			shown = append(shown, strings.TrimSpace(line))
		}
	}
	if len(shown) == 0 {
		t.Fatalf("docs/format.md, %s: no block", heading)
	}
	var out []Field
	at := 0
	for i, s := range shown {
		line, _, ok := strings.Cut(text[at:], "\n")
		name, _, _ := strings.Cut(s, " ")
		value := at
		if i > 0 {
			value += len(name) + 1
			ok = ok && strings.HasPrefix(line, name+" ")
		} else {
			ok = ok && line == s
		}
		if !ok {
			t.Fatalf("docs/format.md, %s: line %q where the format has %q", heading, s, line)
		}
		out = append(out, Field{Name: name, Start: value, End: at + len(line)})
		at += len(line) + 1
	}
	if rest := text[at:]; rest != "" && !strings.HasPrefix(rest, "\n") {
		t.Fatalf("docs/format.md, %s: it does not show %q", heading, rest)
	}
	return out
}
