package content

import (
	"regexp"
	"strings"

	"tidemark/record"
)

// owner stands in slots for the account's owner, whom a template calls "you".
const owner = ""

// slots are the places of a template that tell what happened, in whom they name: who
// joined or left the room, and by whom. The template itself is a sentence in the user's
// language. That sysmsgtemplate is of this form is [B]; the names stand in public
// examples of other programs [C].
var slots = []struct{ tells, members, by, change string }{
	{"kickoutname", "kickoutname", "username", record.TypeLeave},
	{"names", "names", "username", record.TypeJoin},
	{"adder", "adder", "from", record.TypeJoin},
	{"identity", owner, "identity", record.TypeLeave}, // who removed the owner
	{"others", owner, "username", record.TypeJoin},    // who else is in the room that the owner was invited to
}

// leaving is the wording of one who left of themselves, which no slot tells [I].
var leaving = regexp.MustCompile(`退出了?群聊|left the group`)

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
	sentence := sys.find("template").value()
	shown := slot.ReplaceAllStringFunc(sentence, func(s string) string {
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
		if len(d.people(links[s.tells])) == 0 {
			continue
		}
		members := d.people(links[s.members])
		if s.members == owner && d.in.Owner != "" {
			members = []record.Party{*d.party(d.in.Owner, "")}
		}
		d.change(s.change, members, d.people(links[s.by]))
		return
	}
	if who := d.people(links["username"]); len(who) > 0 && leaving.MatchString(sentence) {
		d.change(record.TypeLeave, who, nil)
	}
}

// change makes the message one of people who joined or left.
func (d *decoder) change(what string, members, by []record.Party) {
	m := &record.Membership{Members: members}
	if len(by) > 0 {
		m.By = &by[0]
	}
	d.out.Type = what
	d.out.Body = &record.Body{Membership: m}
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
	d.change(record.TypeJoin, members, nil)
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
