package collector_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/collector"
	"tidemark/collector/simtest"
	"tidemark/record"
)

// contacts changes contact.db through real SQLCipher.
func contacts(w *simtest.World, statements ...string) {
	args := []string{"exec", "--db", w.DB("contact/contact.db"), "--key", w.Key(), "--journal", "wal", "--no-close-checkpoint"}
	for _, s := range statements {
		args = append(args, "--sql", s)
	}
	w.Run(args...)
}

// ofKind picks the records of some kinds.
func ofKind(all []*record.Record, kinds ...record.Kind) (out []*record.Record) {
	for _, r := range all {
		if slices.Contains(kinds, r.Kind) {
			out = append(out, r)
		}
	}
	return out
}

// since makes a pass by a collector that knows only the spool's cursors, and returns
// what it captured.
func (d *device) since() []*record.Record {
	d.t.Helper()
	before := len(d.all())
	d.once()
	return d.all()[before:]
}

// People and rooms become records when they have to do with a captured message, once,
// and again when they change; senders bear the name that the room has for them.
func TestPeople(t *testing.T) {
	w := simtest.New(t)
	w.Make(300, 12)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	first := d.since()
	people := map[string]*record.Contact{}
	rooms := map[string]*record.Room{}
	for _, r := range ofKind(first, record.KindContact, record.KindRoom) {
		switch {
		case r.Contact != nil && people[r.Contact.ID] != nil, r.Room != nil && rooms[r.Room.ID] != nil:
			t.Errorf("recorded twice: %+v %+v", r.Contact, r.Room)
		case r.Contact != nil:
			people[r.Contact.ID] = r.Contact
		default:
			rooms[r.Room.ID] = r.Room
		}
	}
	var room *record.Room
	for _, r := range ofKind(first, record.KindMessage) {
		if r.Conversation.Kind == "room" {
			if room = rooms[r.Conversation.ID]; room == nil || room.Name != r.Conversation.Name {
				t.Fatalf("room %s is recorded as %+v", r.Conversation.ID, room)
			}
			name := people[r.Sender.ID]
			in := slices.IndexFunc(room.Members, func(m record.Member) bool { return m.ID == r.Sender.ID })
			if name == nil || in < 0 || room.Members[in].Name != "" && r.Sender.Name != room.Members[in].Name {
				t.Fatalf("%+v sent in %+v", r.Sender, room)
			}
		} else if c := people[r.Conversation.ID]; c == nil && r.Conversation.Name != "" {
			t.Fatalf("%+v is not recorded", r.Conversation)
		}
	}
	if len(people) < 5 || room == nil {
		t.Fatalf("%d people, room %v", len(people), room)
	}
	if again := d.since(); len(again) != 0 {
		t.Errorf("nothing changed and %d records came", len(again))
	}
	member := room.Members[len(room.Members)-1].ID
	contacts(w, "UPDATE contact SET remark = 'The new remark' WHERE username = '"+member+"'", "UPDATE stranger SET remark = 'The new remark' WHERE username = '"+member+"'",
		"UPDATE contact SET nick_name = 'A room renamed' WHERE username = '"+room.ID+"'",
		"INSERT INTO contact(id, username, nick_name) VALUES(99999, 'wxid_unmet', 'Unmet')")
	got := d.since()
	if len(got) != 2 || ofKind(got, record.KindContact)[0].Contact.Remark != "The new remark" || ofKind(got, record.KindRoom)[0].Room.Name != "A room renamed" {
		t.Errorf("two changes gave %d records", len(got))
	}
}

// Nobody of an excluded conversation becomes a record: not the contact, not the room,
// not its members.
func TestPeopleOutOfScope(t *testing.T) {
	w := simtest.New(t)
	w.Make(300, 12)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.options.Scope = collector.Scope{Conversations: collector.Rule{Exclude: []string{"kind:room", "kind:wecom"}}}
	all := d.since()
	met := map[string]bool{w.Owner: true}
	for _, r := range ofKind(all, record.KindMessage) {
		met[r.Conversation.ID] = true
	}
	for _, r := range ofKind(all, record.KindContact, record.KindRoom) {
		if r.Room != nil || !met[r.Contact.ID] {
			t.Errorf("recorded although out of scope: %+v %+v", r.Contact, r.Room)
		}
	}
	d.drain()
	if strings.Contains(d.records.String(), "@openim") || strings.Contains(d.records.String(), "@chatroom") {
		t.Error("a username that is out of scope has left the device")
	}
}

// A label that moves a conversation is a record, and so is a scope configured anew.
func TestScopeChanges(t *testing.T) {
	w := simtest.New(t)
	w.Make(200, 8)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	var peer string
	for _, r := range ofKind(d.since(), record.KindMessage) {
		if r.Conversation.Kind == "direct" {
			peer = r.Conversation.ID
		}
	}
	changes := func(all []*record.Record) (out []string) {
		for _, r := range all {
			if r.Event == record.EventScopeChanged {
				s := fmt.Sprint(r.Detail["old_rules"], " -> ", r.Detail["rules"])
				if r.Conversation != nil {
					s = r.Conversation.ID + " " + r.Detail["conversation"]
				}
				out = append(out, s)
			}
		}
		return out
	}
	d.options.Scope.Conversations.Exclude = []string{"label:family"}
	want := []string{"accounts: everything; conversations: everything -> accounts: everything; conversations: everything without label:family"}
	if got := changes(d.since()); !slices.Equal(got, want) {
		t.Errorf("a new rule gave %q", got)
	}
	if got := changes(d.since()); len(got) != 0 {
		t.Errorf("no new rule gave %q", got)
	}
	contacts(w, "INSERT INTO contact_label(label_id_, label_name_) VALUES(7, 'family')",
		"UPDATE contact SET extra_buffer = x'f2010137' WHERE username = '"+peer+"'")
	if got := changes(d.since()); !slices.Equal(got, []string{peer + " out"}) {
		t.Errorf("a label gave %q", got)
	}
	contacts(w, "UPDATE contact SET extra_buffer = NULL WHERE username = '"+peer+"'")
	if got := changes(d.since()); !slices.Equal(got, []string{peer + " in"}) {
		t.Errorf("a label taken away gave %q", got)
	}
}

// A state of somebody that comes back after another one is a record of its own, which
// names the one before: the archive has the history, whether the agent was restarted or
// not. A device that begins anew gives the state that it finds its first record's id.
func TestStateThatComesBack(t *testing.T) {
	w := simtest.New(t)
	w.Make(60, 4)
	d := newDevice(t, w)
	d.keys.set(w.Key())
	var first *record.Record
	for _, r := range ofKind(d.since(), record.KindContact) {
		if r.Contact.ID != w.Owner && r.Contact.Kind == "direct" {
			first = r
		}
	}
	set := func(remark string) *record.Record {
		t.Helper()
		contacts(w, fmt.Sprintf("UPDATE contact SET remark = '%s' WHERE username = '%s'", remark, first.Contact.ID))
		got := ofKind(d.since(), record.KindContact)
		if len(got) != 1 || got[0].Contact.ID != first.Contact.ID || got[0].Contact.Remark != remark {
			t.Fatalf("remark %q became %d records: %+v", remark, len(got), got)
		}
		if again := ofKind(d.since(), record.KindContact); len(again) != 0 {
			t.Fatalf("a state that stays was recorded again: %+v", again[0])
		}
		return got[0]
	}
	last, ids := first, map[string]bool{first.ID: true}
	for _, remark := range []string{"another", first.Contact.Remark, "another", first.Contact.Remark} {
		r := set(remark)
		if r.Of != last.ID || ids[r.ID] {
			t.Errorf("state %q is %s of %s, after %s", remark, r.ID, r.Of, last.ID)
		}
		ids[r.ID], last = true, r
	}
	fresh := newDevice(t, w)
	fresh.keys.set(w.Key())
	for _, r := range ofKind(fresh.since(), record.KindContact) {
		if r.Contact.ID == first.Contact.ID && (r.ID != first.ID || r.Of != "") {
			t.Errorf("found anew it is %s of %q, not %s", r.ID, r.Of, first.ID)
		}
	}
}
