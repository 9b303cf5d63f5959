package state

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var update = flag.Bool("update", false, "make docs/states.md anew")

// docs/states.md is what the list says.
func TestDocument(t *testing.T) {
	const name = "../../docs/states.md"
	if *update {
		if err := os.WriteFile(name, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Error("docs/states.md is stale: go test ./internal/state -update")
	}
}

// Every state has a name and a number of its own, a severity, and text in both
// languages; what is not healthy says what to do.
func TestEntries(t *testing.T) {
	ids, events := map[ID]bool{}, map[uint16]ID{}
	named := regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)
	check := func(id ID, event uint16, from, to uint16) {
		t.Helper()
		if !named.MatchString(string(id)) || ids[id] {
			t.Errorf("%q is no name, or is there twice", id)
		}
		ids[id] = true
		if event < from || event > to || events[event] != "" {
			t.Errorf("%s: event %d is out of its range, or %s's", id, event, events[event])
		}
		events[event] = id
	}
	text := func(id ID, what string, x Text) {
		t.Helper()
		if x.EN == "" || x.ZH == "" || !strings.ContainsFunc(x.ZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }) ||
			strings.ContainsFunc(x.EN, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s has no %s in both languages", id, what)
		}
	}
	for _, e := range All() {
		check(e.ID, e.Event, 100, 499)
		text(e.ID, "meaning", e.Meaning)
		switch e.Severity {
		case Healthy:
		case Degraded, Blind:
			text(e.ID, "remedy", e.Remedy)
		default:
			t.Errorf("%s has severity %q", e.ID, e.Severity)
		}
		if words := regexp.MustCompile(`\{[a-z_]+\}`); strings.Join(words.FindAllString(e.Remedy.EN, -1), "") != strings.Join(words.FindAllString(e.Remedy.ZH, -1), "") {
			t.Errorf("%s: the remedies are about different things", e.ID)
		}
	}
	for _, o := range Occurrences() {
		check(o.ID, o.Event, 1, 99)
		text(o.ID, "meaning", o.Meaning)
	}
}

// The list has exactly the states that the program can be in: those of the parts' own
// words, and those that the agent names; nobody makes an id up elsewhere.
func TestListIsWhatIsUsed(t *testing.T) {
	root := "../.."
	want := map[ID]string{}
	for dir, of := range map[string]func(string) ID{"collector": Account, "uploader": Delivery, "spool": Spool} {
		n := len(want)
		for value := range constants(t, filepath.Join(root, dir), "State") {
			want[of(value)] = dir
		}
		if len(want) < n+5 {
			t.Fatalf("%s has hardly any states: has their form changed?", dir)
		}
	}
	own := map[string]ID{} // by the constant's name
	for value, name := range constants(t, ".", "ID") {
		own[name] = ID(value)
	}
	used := map[string]bool{}
	walk(t, root, func(path string, file *ast.File) {
		if strings.HasPrefix(path, filepath.Join(root, "internal", "state")) || !imports(file, "tidemark/internal/state") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if x, ok := n.Type.(*ast.Ident); ok && x.Name == "Reason" && len(n.Elts) > 0 && !strings.HasPrefix(source(n.Elts[0]), "ID:") {
					t.Errorf("%s has a reason without a state's id first", path)
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "state" {
					used[n.Sel.Name] = true
				}
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || len(n.Args) != 1 {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "state" {
					_, literal := n.Args[0].(*ast.BasicLit)
					switch name := s.Sel.Name; {
					case name == "ID" && literal, literal && (name == "Account" || name == "Delivery" || name == "Spool"):
						t.Errorf("%s makes a state's id up", path)
					}
				}
			}
			return true
		})
	})
	for name, id := range own {
		if !used[name] {
			t.Errorf("%s (%s) is listed and never used", name, id)
		}
		if _, is := Get(id); is {
			want[id] = "state." + name
		} else if _, is := Occurs(id); !is {
			t.Errorf("%s (%s) has no text", name, id)
		}
	}
	for _, e := range All() {
		if want[e.ID] == "" {
			t.Errorf("%s is listed, and nothing can be in it", e.ID)
		}
		delete(want, e.ID)
	}
	for id, where := range want {
		t.Errorf("%s of %s is not listed", id, where)
	}
}

// source names the field of a literal's element, as "ID:".
func source(e ast.Expr) string {
	if kv, ok := e.(*ast.KeyValueExpr); ok {
		if x, ok := kv.Key.(*ast.Ident); ok {
			return x.Name + ":"
		}
	}
	return ""
}

// constants are the string constants of a type in a folder, with their names.
func constants(t *testing.T, dir, typ string) map[string]string {
	t.Helper()
	out := map[string]string{}
	walk(t, dir, func(path string, file *ast.File) {
		if filepath.Dir(path) != filepath.Clean(dir) {
			return
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ || len(v.Values) != 1 {
					continue
				}
				if lit, ok := v.Values[0].(*ast.BasicLit); ok {
					value, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out[value] = v.Names[0].Name
				}
			}
		}
	})
	return out
}

func walk(t *testing.T, root string, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != "." && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "simulator" || d.Name() == "dist") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func imports(file *ast.File, path string) bool {
	for _, i := range file.Imports {
		if i.Path.Value == strconv.Quote(path) {
			return true
		}
	}
	return false
}
