package oracle

import "slices"

// people is what is said of contacts and rooms that changed: the last of each.
type people struct {
	contacts map[string]*ContactState
	rooms    map[string]*RoomState
	told     map[string]*record
}

func newPeople() people {
	return people{map[string]*ContactState{}, map[string]*RoomState{}, map[string]*record{}}
}

func (p *people) change(ch Change) {
	if ch.Contact != nil {
		p.contacts[ch.Conversation] = ch.Contact
	}
	if ch.Room != nil {
		p.rooms[ch.Conversation] = ch.Room
	}
}

func (p *people) record(r *record) {
	id := ""
	switch {
	case r.Contact != nil:
		id = r.Contact.ID
	case r.Room != nil:
		id = r.Room.ID
	}
	id = r.Kind + id // a room is in the address book as well
	if old := p.told[id]; old == nil || !r.CapturedAt.Before(old.CapturedAt) {
		p.told[id] = r
	}
}

// judgePeople judges that the last state of whatever changed is in a record.
func (c *comparison) judgePeople() {
	differs := func(id, field string, r *record) {
		c.fault(Fault{Kind: Different, Conversation: id, Field: field}, r)
	}
	for id, want := range c.people.contacts {
		c.rep.People++
		r := c.people.told["contact"+id]
		if r == nil {
			c.fault(Fault{Kind: Missing, Conversation: id, Field: "contact"}, nil)
			continue
		}
		if r.Contact.Remark != want.Remark {
			differs(id, "contact.remark", r)
		}
		if r.Contact.Nick != want.Nick {
			differs(id, "contact.nick", r)
		}
		if !slices.Equal(r.Contact.Labels, want.Labels) {
			differs(id, "contact.labels", r)
		}
	}
	for id, want := range c.people.rooms {
		c.rep.People++
		r := c.people.told["room"+id]
		if r == nil {
			c.fault(Fault{Kind: Missing, Conversation: id, Field: "room"}, nil)
			continue
		}
		var members []string
		for _, m := range r.Room.Members {
			members = append(members, m.ID)
		}
		if !sameSet(members, want.Members) {
			differs(id, "room.members", r)
		}
		if r.Room.Owner != want.Owner {
			differs(id, "room.owner", r)
		}
		if r.Room.Name != want.Name {
			differs(id, "room.name", r)
		}
	}
}
