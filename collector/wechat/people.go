package wechat

import (
	"path"
	"slices"
	"strings"

	"tidemark/collector/sqlcipher"
	"tidemark/record"
)

// People is what an account's contact databases say of persons and rooms. It is built
// by the readers of this package, one database after the other, and not changed
// afterwards; it may then be read concurrently. The zero value knows nobody.
type People struct {
	contacts map[string]*record.Contact
	rooms    map[string]*record.Room
}

// NewPeople returns an empty People to read databases into.
func NewPeople() *People {
	return &People{contacts: map[string]*record.Contact{}, rooms: map[string]*record.Room{}}
}

// contact returns the entry of a username, a new one when there is none.
func (p *People) contact(username string) *record.Contact {
	c := p.contacts[username]
	if c == nil {
		c = &record.Contact{ID: username, Kind: ConversationKind(username)}
		p.contacts[username] = c
	}
	return c
}

// room returns the entry of a room, a new one when there is none.
func (p *People) room(username string) *record.Room {
	r := p.rooms[username]
	if r == nil {
		r = &record.Room{ID: username}
		p.rooms[username] = r
	}
	return r
}

// finish settles what rests on more than one table: rooms are named by their entry
// among the contacts.
func (p *People) finish() {
	for username, r := range p.rooms {
		if c := p.contacts[username]; c != nil {
			r.Name = shown(c)
		}
	}
}

// Read reads one of the layout's databases of people, by its file relative to the
// account's database folder; a file that is none of them has nobody in it. Of several,
// the one that later names somebody wins, but for rooms' members in macOS' generation 3.
func (p *People) Read(file string, v *sqlcipher.View) error {
	switch path.Base(file) {
	case "contact.db":
		return p.readContactDB(v)
	case "MicroMsg.db":
		return p.readMicroMsg(v)
	case "OpenIMContact.db":
		return p.readOpenIMContact(v)
	case "wccontact_new2.db":
		return p.readWCContact(v)
	case "group_new.db":
		return p.readGroups(v)
	}
	return nil
}

// Contact returns what is known of a person, service or room, or nil.
func (p *People) Contact(username string) *record.Contact { return p.contacts[username] }

// Room returns what is known of a room, or nil.
func (p *People) Room(username string) *record.Room { return p.rooms[username] }

// Usernames calls fn for every username that the databases name, some of them twice.
func (p *People) Usernames(fn func(string)) {
	for u := range p.contacts {
		fn(u)
	}
	for u := range p.rooms {
		fn(u)
	}
}

// Len is how many contacts and rooms there are.
func (p *People) Len() int { return len(p.contacts) + len(p.rooms) }

// Name is the name shown for a username: remark, else nickname, else alias, else "".
func (p *People) Name(username string) string {
	if c := p.contacts[username]; c != nil {
		return shown(c)
	}
	return ""
}

func shown(c *record.Contact) string {
	switch {
	case c.Remark != "":
		return c.Remark
	case c.Nick != "":
		return c.Nick
	}
	return c.Alias
}

// NameIn is the name shown for somebody in a conversation: the name in that room,
// where there is one, else as Name [B].
func (p *People) NameIn(conversation, username string) string {
	if r := p.rooms[conversation]; r != nil {
		i := slices.IndexFunc(r.Members, func(m record.Member) bool { return m.ID == username })
		if i >= 0 && r.Members[i].Name != "" {
			return r.Members[i].Name
		}
	}
	return p.Name(username)
}

// Labels are the owner's labels of a contact.
func (p *People) Labels(username string) []string {
	if c := p.contacts[username]; c != nil {
		return c.Labels
	}
	return nil
}

// parts is strings.Split without empty parts: lists of the client end in a separator
// now and then.
func parts(s, separator string) []string {
	return slices.DeleteFunc(strings.Split(s, separator), func(part string) bool { return strings.TrimSpace(part) == "" })
}

// labels turns a list of label ids into names; an id that has none stands for itself.
func labels(ids []string, names map[string]string) []string {
	var out []string
	for _, id := range ids {
		id = strings.TrimSpace(id)
		if name := names[id]; name != "" {
			id = name
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
