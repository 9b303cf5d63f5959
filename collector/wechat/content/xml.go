package content

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what is parsed. A merged forward of hundreds of items has some thousand
// parts.
const (
	maxXML   = 8 << 20 // bytes
	maxNodes = 50_000  // elements and attributes of one message, with what is nested in it
	maxDepth = 100
)

type budget struct{ nodes int }

// node is an element. A nil node is one that is not there: it has nothing.
type node struct {
	name     string
	attrs    []xml.Attr
	children []*node
	text     []byte // all its own text, without that of its children
}

// parse reads XML as far as it goes, from its first element on, and says what is wrong
// with the rest. The root is a node of no name above all elements. It is tolerant:
// elements that are not closed end with the one around them, attributes need no quotes,
// and characters that XML forbids do no harm.
func parse(b []byte, left *budget) (*node, string) {
	root := &node{}
	fault := ""
	if len(b) > maxXML {
		b, fault = b[:maxXML], faultLarge
	}
	start := bytes.IndexByte(b, '<')
	if start < 0 {
		return root, faultXML
	}
	b = b[start:]
	if bytes.HasPrefix(b, []byte("<?xml")) { // whatever it declares, the client stores UTF-8
		if _, rest, ok := bytes.Cut(b, []byte("?>")); ok {
			b = rest
		}
	}
	b, valid := clean(b)
	dec := xml.NewDecoder(bytes.NewReader(b))
	dec.Strict = false
	open := []*node{root}
	for {
		token, err := dec.RawToken()
		if err != nil {
			switch {
			case fault != "":
			case err == io.EOF && len(open) == 1 && valid:
			case !valid:
				fault = faultUTF8
			case err == io.EOF || dec.InputOffset() >= int64(len(b)):
				fault = faultCut
			default:
				fault = faultXML
			}
			return root, fault
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			left.nodes -= 1 + len(t.Attr)
			if left.nodes < 0 || len(open) > maxDepth {
				return root, faultLarge
			}
			n := &node{name: t.Name.Local, attrs: t.Attr}
			top.children = append(top.children, n)
			open = append(open, n)
		case xml.EndElement:
			for i := len(open) - 1; i > 0; i-- {
				if open[i].name == t.Name.Local {
					open = open[:i]
					break
				}
			}
		case xml.CharData:
			top.text = append(top.text, t...)
		}
	}
}

// clean is b without what encoding/xml refuses: bytes that are no UTF-8, characters
// outside XML's, and references to such characters. It copies only where there is some,
// and says whether b was UTF-8.
func clean(b []byte) (out []byte, valid bool) {
	valid = true
	from := 0 // what was not copied yet
	replace := func(i, n int, by string) {
		out = append(append(out, b[from:i]...), by...)
		from = i + n
	}
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				valid = false
				replace(i, 1, "\ufffd")
			} else if !allowed(r) {
				replace(i, n, "\ufffd")
			}
			i += n
			continue
		case !allowed(rune(c)):
			replace(i, 1, "\ufffd")
		case c == '&' && i+1 < len(b) && b[i+1] == '#':
			if r, ok := reference(b[i+2:]); ok && !allowed(r) {
				replace(i, 1, "&amp;")
			}
		}
		i++
	}
	if from == 0 {
		return b, valid
	}
	return append(out, b[from:]...), valid
}

// allowed says whether XML allows the character.
func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != 0xfffe && r != 0xffff
}

// reference reads the number of a character reference behind its "&#".
func reference(b []byte) (rune, bool) {
	digits, _, ok := bytes.Cut(b[:min(len(b), 12)], []byte(";"))
	if !ok {
		return 0, false
	}
	s, base := string(digits), 10
	if strings.HasPrefix(s, "x") {
		s, base = s[1:], 16
	}
	n, err := strconv.ParseUint(s, base, 32)
	return rune(n), err == nil && n <= utf8.MaxRune
}

// child is the first direct child of that name. Letters' case makes no difference here
// and below.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// find is the element of that name that is nearest to n, below it.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	for level := n.children; len(level) > 0; {
		var next []*node
		for _, c := range level {
			if strings.EqualFold(c.name, name) {
				return c
			}
			next = append(next, c.children...)
		}
		level = next
	}
	return nil
}

// attr is an attribute's value.
func (n *node) attr(name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.attrs {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// value is the text, "" when it is blank.
func (n *node) value() string {
	if n == nil || len(bytes.TrimSpace(n.text)) == 0 {
		return ""
	}
	return string(n.text)
}

// get is the first of the named attributes or, where there is none, direct children that
// says something, without space around it.
func (n *node) get(names ...string) string {
	for _, name := range names {
		if s := strings.TrimSpace(n.attr(name)); s != "" {
			return s
		}
		if s := strings.TrimSpace(n.child(name).value()); s != "" {
			return s
		}
	}
	return ""
}

// number is get for a count: 0 when there is none that makes sense.
func (n *node) number(names ...string) int64 {
	for _, name := range names {
		if v, err := strconv.ParseInt(n.get(name), 10, 64); err == nil && v > 0 {
			return v
		}
	}
	return 0
}

// serverID is get for the id of a message: unsigned in XML, signed in the tables [A].
// It is "" for none and for 0.
func serverID(s string) string {
	if u, err := strconv.ParseUint(s, 10, 64); err == nil && u != 0 {
		return strconv.FormatInt(int64(u), 10)
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && i != 0 {
		return strconv.FormatInt(i, 10)
	}
	return ""
}
