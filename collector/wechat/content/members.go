package content

import (
	"regexp"
	"strings"

	"tidemark/record"
)

// slots are the names of a template's parts that say who joined or left a room, and by
// whom. The template itself is a sentence in the user's language. That sysmsgtemplate
// is of this form is [B]; the names stand in public examples of other programs [C].
var slots = []struct {
	members, by string
	change      string
}{
	{"kickoutname", "username", record.TypeLeave},
	{"names", "username", record.TypeJoin},
	{"adder", "from", record.TypeJoin},
}

var slot = regexp.MustCompile(`\$[A-Za-z0-9_]+\$`)

// template reads sysmsgtemplate: a sentence with $name$ where links stand, each of which
// has a list of people or a text.
func (d *decoder) template(sys *node) {
	d.notice("sysmsgtemplate")
	links := map[string]*node{}
	if list := sys.find("link_list"); list != nil {
		for _, link := range list.children {
			if name := link.get("name"); links[name] == nil {
				links[name] = link
			}
		}
	}
	shown := slot.ReplaceAllStringFunc(sys.find("template").value(), func(s string) string {
		link := links[strings.Trim(s, "$")]
		if link == nil {
			return s
		}
		var names []string
		for _, p := range d.people(link) {
			names = append(names, first(p.Name, p.ID))
		}
		if len(names) == 0 {
			return first(link.get("plain"), link.get("title"))
		}
		return strings.Join(names, first(link.child("separator").value(), "、"))
	})
	d.out.show(first(shown, sys.find("plain").value()))
	for _, s := range slots {
		if members := d.people(links[s.members]); len(members) > 0 {
			d.out.Type = s.change
			m := &record.Membership{Members: members}
			if by := d.people(links[s.by]); len(by) > 0 {
				m.By = &by[0]
			}
			d.out.Body = &record.Body{Membership: m}
			return
		}
	}
}

// removable reads delchatroommember, the line "you invited …, undo" with the people whom
// undoing would remove again. Its scene tells how they came in; without one it cannot be
// told what happened, and the line stays a notice [C].
func (d *decoder) removable(n *node) {
	d.notice("delchatroommember")
	d.out.show(first(n.child("plain").value(), n.child("text").value()))
	link := n.child("link")
	members := d.people(link)
	if len(members) == 0 || link.get("scene") == "" {
		return
	}
	d.out.Type = record.TypeJoin
	d.out.Body = &record.Body{Membership: &record.Membership{Members: members}}
}

// people are those in a link's memberlist: members with username and nickname, or bare
// usernames.
func (d *decoder) people(link *node) []record.Party {
	list := link.child("memberlist")
	if list == nil {
		return nil
	}
	var people []record.Party
	add := func(username, name string) {
		if p := d.party(strings.TrimSpace(username), name); p != nil {
			people = append(people, *p)
		}
	}
	for _, n := range list.children {
		switch strings.ToLower(n.name) {
		case "member":
			add(n.get("username"), n.get("nickname"))
		case "username":
			add(n.value(), "")
		}
	}
	return people
}
