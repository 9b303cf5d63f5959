package collector_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tidemark/collector"
	"tidemark/collector/simtest"
	"tidemark/record"
)

// unfamiliar gives what the events of these records say is unfamiliar, by file.
func unfamiliar(all []*record.Record) map[string]string {
	out := map[string]string{}
	for _, r := range all {
		if r.Event == record.EventUnfamiliar {
			out[r.Detail["file"]] = r.Detail["what"]
		}
	}
	return out
}

// Whatever the client does that this version does not know is named within one pass,
// once, by what it is; each further thing is named too; and what can be captured is.
func TestDrift(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "60", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	var target *record.Record
	for _, r := range ofKind(d.since(), record.KindMessage) {
		if r.Type == record.TypeText {
			target = r
		}
	}
	if got := unfamiliar(d.all()); len(got) != 0 {
		t.Fatalf("before anything is unfamiliar: %v", got)
	}
	table := target.Source.Table
	insert := func(localType int64) string {
		return fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (%d, %d, %d, 1, %d, 'a body')",
			table, 7000+localType, localType, target.SentAt.UnixMilli(), target.SentAt.Unix())
	}
	step := func(name, file, want string, records int) []*record.Record {
		t.Helper()
		got := d.since()
		if what := unfamiliar(got)[file]; !strings.Contains(what, want) {
			t.Errorf("%s: %q in %v", name, want, unfamiliar(got))
		}
		if n := len(ofKind(got, record.KindMessage)); n != records {
			t.Errorf("%s: %d messages", name, n)
		}
		if again := d.since(); len(again) != 0 {
			t.Errorf("%s: named again by %d records", name, len(again))
		}
		return got
	}
	const message0 = "message/message_0.db"
	rewrite(w, "ALTER TABLE "+table+" ADD COLUMN mood TEXT", insert(1), "UPDATE "+table+" SET mood = 'calm' WHERE server_id = 7001")
	got := step("a column", message0, "+mood", 1)
	if v, ok := ofKind(got, record.KindMessage)[0].Source.Row.Get("mood"); !ok || string(v.Bytes) != "calm" {
		t.Error("the unknown column is not in the row")
	}
	rewrite(w, "CREATE TABLE Letters(id INTEGER, body TEXT)", "INSERT INTO Letters VALUES(1, 'x'), (2, 'y')")
	got = step("a table", message0, "+table Letters(id, body), Letters has 2 rows", 0)
	if strings.Contains(unfamiliar(got)[message0], "'x'") || !strings.Contains(unfamiliar(got)[message0], "fingerprint ") {
		t.Errorf("the event says %q", unfamiliar(got)[message0])
	}
	rewrite(w, insert(424242))
	got = step("a type", "message types", "type 424242", 1)
	if r := ofKind(got, record.KindMessage)[0]; r.Type != record.TypeUnknown || r.Native.Type != 424242 {
		t.Errorf("captured as %+v", r)
	}
	rewrite(w, insert(424243))
	step("another type", "message types", "type 424243", 1)
	contacts(w, "ALTER TABLE contact RENAME COLUMN nick_name TO nickname2")
	step("a column of contacts", "contact/contact.db", "-contact.nick_name", 0)

	c := d.collector()
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := c.Status()
	for _, file := range []string{message0, "message types", "contact/contact.db"} {
		if got := database(t, s, file); got.State != collector.StateUnfamiliar {
			t.Errorf("after a restart %s is %s", file, got.State)
		}
	}
	rewrite(w, insert(424243))
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Status().Accounts[0].Unknown; len(got) != 1 || got[0] != (collector.TypeCount{Type: 424243, Messages: 1}) {
		t.Errorf("status counts %+v", got)
	}
}

// A diagnosis says what support needs and nothing of what was said, by whom, to whom,
// or under which key, whatever stands in the account.
func TestDiagnose(t *testing.T) {
	for _, generation := range simtest.Generations {
		t.Run(string(generation), func(t *testing.T) {
			t.Parallel()
			w := simtest.NewOf(t, generation)
			w.Make(600, 12)
			d := newDevice(t, w)
			d.keys.set(w.Key())
			found, _ := d.options.Find()
			got, err := collector.Diagnose(t.Context(), found, d.keys, d.id.Secret("diagnosis"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			text := string(b)
			for _, want := range []string{`"params":"`, `"rows":`, `"types":[{"type":1,`, `"fingerprint":"`, `"page_size":`} {
				if !strings.Contains(text, want) {
					t.Errorf("there is no %s", want)
				}
			}
			rows := int64(0)
			for _, db := range got[0].Databases {
				if db.State != collector.StateCurrent {
					t.Errorf("%s is %s", db.File, db.State)
				}
				for _, n := range db.Types {
					rows += n.Messages
				}
			}
			if rows != 600 {
				t.Errorf("%d of 600 messages counted", rows)
			}
			secret := map[string]string{"the key": w.Key(), "the owner": w.Owner, "a path": w.Root}
			for _, r := range d.since() {
				if r.Conversation != nil && r.Source != nil {
					secret["a conversation"+r.Conversation.ID] = r.Conversation.ID
					secret["a conversation's name"+r.Conversation.ID] = r.Conversation.Name
					_, secret["a table"+r.Conversation.ID], _ = strings.Cut(r.Source.Table, "_")
				}
				if r.Sender != nil {
					secret["a sender"+r.Sender.ID] = r.Sender.ID
				}
				if r.Text != nil {
					secret["a text"+r.ID] = *r.Text
				}
				if r.Contact != nil {
					secret["a nick"+r.ID], secret["an alias"+r.ID] = r.Contact.Nick, r.Contact.Alias
				}
			}
			for what, s := range secret {
				if len(s) > 3 && strings.Contains(text, s) {
					t.Errorf("%.14s is in the diagnosis: %q", what, s)
				}
			}
			if len(secret) < 100 {
				t.Errorf("only %d things looked for", len(secret))
			}
		})
	}
}
