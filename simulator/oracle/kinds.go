package oracle

import (
	"slices"
	"strings"

	"tidemark/simulator/kinds"
)

// promisesText reports whether the record's text must be the change's.
func (ch *Change) promisesText() bool {
	return ch.Kind == "text" || ch.Text != "" || ch.Content == ""
}

// body judges what a message says beyond its text.
func (c *comparison) body(k key, t *truth, r *record) {
	want := t.Kind
	if want == "" && t.Type == 1 {
		want = "text"
	}
	if want != "" && r.Type != want {
		c.differs(k, r, "type", want, r.Type)
	}
	expect := t.Expect
	if t.capturedLate(r) {
		expect = t.amended.Expect
	}
	c.expected(k, expect, r)
	if !sameSet(t.Mentions, r.Mentions) {
		c.fault(k.fault(Different, "mentions"), r)
	}
	if t.QuoteOf == "" {
		return
	}
	quote, _ := r.whole["quote"].(map[string]any)
	if got, _ := quote["server_id"].(string); got != t.QuoteOf {
		c.differs(k, r, "quote.server_id", t.QuoteOf, got)
	}
}

// expected judges members that a record must have.
func (c *comparison) expected(k key, expect map[string]any, r *record) {
	for _, member := range kinds.Differences(expect, r.whole) {
		field, _, _ := strings.Cut(member, " ")
		c.fault(k.fault(Different, field), r)
	}
}

// capturedLate reports whether the message's record already has its later meaning.
func (t *truth) capturedLate(r *record) bool {
	return t.amended != nil && len(kinds.Differences(t.amended.Expect, r.whole)) == 0
}

// amended judges that a later meaning is told, unless the record has it.
func (c *comparison) amended(k key, t *truth) {
	if t.amended == nil || t.capturedLate(t.found) || !t.recalled.IsZero() || !t.gone.IsZero() {
		return
	}
	if !slices.ContainsFunc(t.revisions, func(r *record) bool { return r.Change == t.amended.Change }) {
		c.fault(k.fault(Missing, "revision."+t.amended.Change), t.found)
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// files judges what became of a message's files: the last that is said of each.
func (c *comparison) files(k key, t *truth) {
	type part struct{ role, item string }
	last := map[part]Media{}
	known := map[string]bool{}
	for _, m := range t.Media {
		known[m.SHA256] = true
	}
	said := []*record{t.found}
	for _, r := range append(said, t.media...) {
		for _, m := range r.Media {
			last[part{m.Role, m.Item}] = m
			if m.State == "captured" && !known[m.SHA256] {
				c.fault(k.fault(Invented, "media."+m.Role), r)
			}
		}
	}
	if !t.recalled.IsZero() || !t.gone.IsZero() {
		return // its files may have gone before they could be read
	}
	for _, want := range t.Media {
		if want.Role == "" {
			continue
		}
		got, ok := last[part{want.Role, want.Item}]
		field := "media." + want.Role
		switch {
		case want.State == "captured":
			c.rep.Media++
			switch {
			case !ok:
				c.fault(k.fault(Missing, field), t.found)
			case got.State != want.State:
				c.differs(k, t.found, field+".state", want.State, got.State)
			case got.SHA256 != want.SHA256:
				c.differs(k, t.found, field+".sha256", want.SHA256, got.SHA256)
			case got.Size != want.Size:
				c.differs(k, t.found, field+".size", "", "")
			case want.Name != "" && got.Name != want.Name:
				c.differs(k, t.found, field+".name", want.Name, got.Name)
			}
		case !ok:
			c.fault(k.fault(Missing, field), t.found)
		case got.State != want.State && got.State != "pending": // time may still bring it
			c.differs(k, t.found, field+".state", want.State, got.State)
		}
	}
}
