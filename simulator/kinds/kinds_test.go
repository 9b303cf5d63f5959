package kinds

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/simulator/media"
)

var generations = []media.Generation{media.W3, media.M3, media.V4}

func env(g media.Generation, seed uint64) Env {
	return Example(g, rand.New(rand.NewPCG(seed, 3)), time.Date(2026, 11, 3, 9, 0, 0, 0, time.Local))
}

// node is XML read without any knowledge of what it says.
type node struct {
	name     string
	text     string
	attrs    map[string]string
	children []*node
}

func parse(s string) (*node, error) {
	root := &node{}
	stack := []*node{root}
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &node{name: tok.Name.Local, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			top.children = append(top.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(tok)
		}
	}
}

// child follows names downward.
func (n *node) child(names ...string) *node {
	for _, name := range names {
		i := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name })
		if i < 0 {
			return &node{}
		}
		n = n.children[i]
	}
	return n
}

// values is every text and attribute in n, and in documents that are texts in it.
func (n *node) values() []string {
	out := []string{strings.TrimSpace(n.text)}
	for _, v := range n.attrs {
		out = append(out, v)
	}
	for _, c := range n.children {
		out = append(out, c.values()...)
	}
	if inner := strings.TrimSpace(n.text); strings.HasPrefix(inner, "<") {
		if doc, err := parse(inner); err == nil {
			out = append(out, doc.values()...)
		}
	}
	return out
}

func (it *Item) isXML() bool { return strings.HasPrefix(it.Content, "<") && it.Type != "text" }

// Promise: whatever is XML is well formed, and so are the documents inside it.
func TestWellFormed(t *testing.T) {
	for _, g := range generations {
		for seed := range uint64(4) { // forms vary
			for _, it := range All(env(g, seed)) {
				for _, doc := range []string{it.Content, it.Source} {
					if doc == it.Content && !it.isXML() || doc == "" {
						continue
					}
					if _, err := parse(doc); err != nil {
						t.Fatalf("%s %s: %v\n%s", g, it.Name, err, doc)
					}
				}
				if n, _ := parse(it.Content); it.Type == "forward" {
					if inner, err := parse(n.child("msg", "appmsg", "recorditem").text); err != nil || inner.child("recordinfo", "datalist").attrs["count"] != "14" {
						t.Fatalf("%s %s: %v", g, it.Name, err)
					}
				}
			}
		}
	}
}

// The rows of the reference, tables 6.1 and 6.2. 49 is by its sub types.
var (
	bases = []int64{1, 3, 34, 37, 42, 43, 47, 48, 50, 51, 62, 65, 66, 67, 10000, 10002, 11000, 9999}
	apps  = []int64{1, 3, 76, 92, 4, 5, 68, 6, 74, 7, 8, 15, 16, 17, 19, 24, 33, 36, 40, 44, 50, 51, 53, 57, 62, 63, 88, 87, 2000, 2001, 2003, 4711}
	types = strings.Fields(`text image voice video sticker location card link file miniprogram quote forward note channel groupchain pat transfer redpacket
		call announcement system recall join leave friendrequest music game sync unknown`)
	datatypes = []int64{1, 2, 3, 4, 5, 6, 8, 17, 19, 22, 23, 32, 37, 999}
)

// Promise: every row of the reference's tables occurs in every generation, and every
// type that Tidemark has; the number in an app message is its own and agrees with the row.
func TestCoverage(t *testing.T) {
	for _, g := range generations {
		base, sub, typ, names := map[int64]bool{}, map[int64]bool{}, map[string]bool{"": true}, map[string]bool{}
		for _, it := range All(env(g, 1)) {
			if names[it.Name] {
				t.Errorf("%s: %s occurs twice", g, it.Name)
			}
			if it.Type != "" && !slices.Contains(types, it.Type) {
				t.Errorf("%s: no type %q", g, it.Type)
			}
			names[it.Name], base[it.Base], typ[it.Type] = true, true, true
			if it.Base != 49 {
				continue
			}
			n, err := parse(it.Content)
			if err != nil {
				t.Fatal(err)
			}
			own, _ := strconv.ParseInt(n.child("msg", "appmsg", "type").text, 10, 64)
			sub[own] = true
			if g == media.M3 && it.Sub != 0 || g != media.M3 && it.Sub != own && it.Name != "link/base only" {
				t.Errorf("%s %s: the row says %d, the XML %d", g, it.Name, it.Sub, own)
			}
		}
		for _, n := range bases {
			if !base[n] {
				t.Errorf("%s: no message of type %d", g, n)
			}
		}
		for _, n := range apps {
			if !sub[n] {
				t.Errorf("%s: no app message %d", g, n)
			}
		}
		for _, s := range types {
			if !typ[s] {
				t.Errorf("%s: no %s", g, s)
			}
		}
		var got []int64
		for _, item := range find(t, g, "forward").Expect["forward"].(map[string]any)["items"].([]any) {
			got = append(got, item.(map[string]any)["data_type"].(int64))
		}
		if slices.Sort(got); !slices.Equal(got, datatypes) {
			t.Errorf("%s: forwarded %v", g, got)
		}
		for _, name := range []string{"text/mention", "image/group 3", "image/late", "image/never", "image/thumbnail only", "system/multivoip", "quote/image"} {
			find(t, g, name)
		}
	}
}

func find(t *testing.T, g media.Generation, name string) Item {
	t.Helper()
	for _, it := range All(env(g, 1)) {
		if it.Name == name {
			return it
		}
	}
	t.Fatalf("%s: no %s", g, name)
	return Item{}
}

// stated are members of Expect that are conclusions, not words of the client.
var stated = []string{"type", "kind", "state", "sent_at", "wecom", "transferring", "transcript"}

// leaves calls f with every word and number that e promises.
func leaves(name string, e any, f func(name, value string)) {
	switch e := e.(type) {
	case map[string]any:
		for k, v := range e {
			if !slices.Contains(stated, k) || k == "sent_at" && name != "quote" {
				leaves(k, v, f)
			}
		}
	case []any:
		for _, v := range e {
			leaves(name, v, f)
		}
	default:
		f(name, fmt.Sprint(e))
	}
}

// Promise: what is expected of a decoder stands in the content word by word, so that
// nothing is expected that cannot be known.
func TestExpectations(t *testing.T) {
	for _, g := range generations {
		for seed := range uint64(3) {
			for _, it := range All(env(g, seed)) {
				if it.Type == "unknown" && it.Expect == nil || !it.isXML() {
					continue
				}
				n, err := parse(it.Content)
				if err != nil {
					t.Fatal(err)
				}
				values := n.values()
				leaves("", it.Expect, func(name, value string) {
					if !slices.Contains(values, value) {
						t.Errorf("%s %s: %s %q is not in the content", g, it.Name, name, value)
					}
				})
				if it.Type == "quote" && (n.child("msg", "appmsg", "title").text != it.Text || n.child("msg", "appmsg", "refermsg", "svrid").text != it.QuoteOf) {
					t.Errorf("%s %s: the quote says otherwise", g, it.Name)
				}
				if it.Mentions != nil && !strings.Contains(it.Source, strings.Join(it.Mentions, ",")) {
					t.Errorf("%s %s: no mentions", g, it.Name)
				}
			}
		}
	}
}

// Promise: the same seed composes the same messages, files and rows.
func TestSeed(t *testing.T) {
	for _, g := range generations {
		one, two, three := All(env(g, 1)), All(env(g, 1)), All(env(g, 2))
		if !reflect.DeepEqual(one, two) || reflect.DeepEqual(one, three) {
			t.Errorf("%s: messages do not follow the seed", g)
		}
	}
}

// Promise: a message that is withdrawn keeps its place and ids, loses its content, and
// the notice names it wherever the form can.
func TestRecalled(t *testing.T) {
	of := find(t, media.V4, "image")
	of.ServerID = -5 // the column is signed, the XML is not
	for _, form := range RecallForms {
		it := Recalled(of, form, `"王" <伟>`)
		if it.ServerID != of.ServerID || it.Time != of.Time || it.Conversation != of.Conversation || it.Sender != of.Sender {
			t.Errorf("%s: another row", form)
		}
		if it.Media != nil || it.Rows != nil || strings.Contains(it.Content, "aeskey") {
			t.Errorf("%s: something of the content is left", form)
		}
		if it.isXML() {
			n, err := parse(it.Content)
			if err != nil {
				t.Fatal(err)
			}
			if named := slices.Contains(n.values(), "18446744073709551611"); named != (it.Recalls == "-5") {
				t.Errorf("%s: names the message: %v", form, named)
			}
		}
	}
}

// Promise: Differences finds what is absent, other, or of another length, and nothing
// else, in a record as it comes from JSON.
func TestDifferences(t *testing.T) {
	want := body("forward", "title", "t", "bytes", int64(7), "open", false, "items", []any{fields("type", "text"), fields("type", "image")})
	for _, c := range []struct{ record, found string }{
		{`{"type":"forward","forward":{"title":"t","bytes":7,"more":1,"items":[{"type":"text"},{"type":"image"}]}}`, ""},
		{`{"type":"forward","forward":{"title":"u","bytes":8,"items":[{"type":"text"},{"type":"video"}]}}`, "forward.bytes differs; forward.items[1].type differs; forward.title differs"},
		{`{"forward":{"title":"t","items":[{"type":"text"}]}}`, "forward.bytes is absent; forward.items has 1 members, not 2"},
		{`{"forward":{"title":"t","bytes":7,"open":true,"items":[{"type":"text"},{"type":"image"}]}}`, "forward.open differs"},
		{`{}`, "forward is absent"},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(c.record), &got); err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(Differences(want, got), "; "); found != c.found {
			t.Errorf("%s: %s", c.record, found)
		}
	}
}
