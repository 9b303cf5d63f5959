package oracle

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// changedWorld: 1 is deleted; 2 goes with its conversation's table, and another message
// has its number afterwards; 7 and 8 vanish; a contact and a room change; 3 is a
// picture that comes late, and is imported into another database later.
func changedWorld() *world {
	picture := change(Insert, "3", false, "")
	picture.Type, picture.Kind, picture.Content, picture.Conversation, picture.Table = 3, "image", "<msg/>", "wxid_y", "Msg_0y"
	picture.Expect = map[string]any{"image": map[string]any{"md5": "aa", "bytes": int64(5)}}
	picture.Media = []Media{{Role: "original", State: "captured", SHA256: "11", Size: 5}, {Role: "preview", State: "captured", SHA256: "22", Size: 1}, {State: "captured", SHA256: "33"},
		{Role: "cover", State: "never_downloaded"}}
	imported := picture
	imported.Op, imported.File, imported.LocalID = Migrate, "message/message_9.db", "40"
	deleted := change(Delete, "1", false, "one")
	second := change(Insert, "2", false, "two anew")
	second.ServerID, second.SortSeq, second.CreateTime = "992", "1795424099000", epoch.Unix()+60
	w := &world{changes: []Change{
		change(Insert, "1", false, "one"), change(Insert, "2", false, "two"), picture, change(Status, "2", false, "two"), deleted,
		{Op: Clear, File: file, Table: table, Conversation: room},
		{Op: Vanish, File: file, Table: table, Conversation: room, LocalID: "7", Through: "8"},
		{Op: Recreate, File: file}, second, imported,
		{Op: Contact, Conversation: "wxid_x", Contact: &ContactState{Nick: "X", Remark: "old"}},
		{Op: Contact, Conversation: "wxid_x", Contact: &ContactState{Nick: "X", Remark: "new", Labels: []string{"L"}}},
		{Op: Room, Conversation: room, Room: &RoomState{Name: "R", Owner: "wxid_x", Members: []string{"wxid_me", "wxid_x"}}},
	}}
	of := func(id string, kv ...any) map[string]any {
		return with(map[string]any{"v": 1, "id": "x", "of": id, "account": map[string]any{"id": "wxid_me"}}, kv...)
	}
	media := func(state, sum string) []any {
		return []any{map[string]any{"role": "original", "state": state, "sha256": sum, "size": 5}}
	}
	w.records = []map[string]any{
		capture(w.changes[0]), capture(w.changes[1]), with(capture(second), "id", "m_2b"),
		with(capture(picture), "type", "image", "text", nil, "image", map[string]any{"md5": "aa", "bytes": 5}, "media", append(media("pending", ""),
			map[string]any{"role": "preview", "state": "captured", "sha256": "22", "size": 1}, map[string]any{"role": "cover", "state": "pending"})),
		of("m_1", "kind", "deletion", "change", "deleted"), of("m_2", "kind", "deletion", "change", "cleared"),
		of("m_3", "kind", "media", "media", media("captured", "11")),
		{"v": 1, "kind": "event", "id": "e_1", "event": "gap", "detail": map[string]any{"file": file, "table": table, "from": "7", "to": "8"}},
		{"v": 1, "kind": "contact", "id": "c_1", "contact": map[string]any{"id": "wxid_x", "nick": "X", "remark": "old"}, "captured_at": "2026-11-23T08:00:01Z"},
		{"v": 1, "kind": "contact", "id": "c_2", "contact": map[string]any{"id": "wxid_x", "nick": "X", "remark": "new", "labels": []string{"L"}}, "captured_at": "2026-11-23T08:00:02Z"},
		{"v": 1, "kind": "room", "id": "g_1", "room": map[string]any{"id": room, "name": "R", "owner": "wxid_x", "members": []any{map[string]any{"id": "wxid_x"}, map[string]any{"id": "wxid_me"}}},
			"captured_at": "2026-11-23T08:00:02Z"},
		{"v": 1, "kind": "media", "id": "f_1", "piece": map[string]any{"sha256": "11"}},
	}
	return w
}

// Promise: compare finds what is wrong with deletions, gaps, people, bodies and files,
// and takes an imported message for the one it is.
func TestCompareChanges(t *testing.T) {
	set := func(i int, kv ...any) func(*world) {
		return func(w *world) { w.records[i] = with(w.records[i], kv...) }
	}
	drop := func(i int) func(*world) {
		return func(w *world) { w.records = append(w.records[:i:i], w.records[i+1:]...) }
	}
	count := func(days string) func(*world) {
		return func(w *world) {
			w.records = append(w.records, map[string]any{"v": 1, "kind": "event", "id": "e_2", "event": "counts", "conversation": map[string]any{"id": room},
				"detail": map[string]any{"file": file, "database": "x", "days": days}})
		}
	}
	picture := func(w *world) Change { return w.changes[2] }
	for _, tc := range []struct {
		name string
		edit func(*world)
		o    CompareOptions
		want string
	}{
		{"nothing wrong", func(*world) {}, CompareOptions{}, ""},
		{"deletion not told", drop(4), CompareOptions{}, "deletion_missing//1"},
		{"clearing not told", drop(5), CompareOptions{}, "deletion_missing//2"},
		{"deletion told twice", func(w *world) { w.records = append(w.records, w.records[4]) }, CompareOptions{}, "doubled/deletion/1"},
		{"clearing told as a deletion", set(5, "change", "deleted"), CompareOptions{}, "different/change/2"},
		{"deleted and never captured", func(w *world) { drop(4)(w); drop(0)(w) }, CompareOptions{}, "missing//1"},
		{"deleted before capture began", func(w *world) { drop(4)(w); drop(0)(w) }, CompareOptions{LateStart: epoch.Add(time.Second)}, ""},
		{"deleted within the grace", func(w *world) { drop(4)(w); drop(0)(w) }, CompareOptions{Grace: 5 * time.Millisecond}, ""},
		{"number of a dropped table taken for the same message", drop(2), CompareOptions{}, "missing//2"},
		{"gap not told", drop(7), CompareOptions{}, "gap_missing//7"},
		{"gap of one row of two", set(7, "detail", map[string]any{"file": file, "table": table, "from": "7", "to": "7"}), CompareOptions{}, "gap_missing//7 invented/gap/"},
		{"gap of rows that are there", func(w *world) {
			w.records = append(w.records, with(w.records[7], "detail", map[string]any{"file": file, "table": "Msg_0y", "from": "3", "to": "3"}))
		}, CompareOptions{}, "invented/gap/"},
		{"gap of a deleted row", func(w *world) {
			w.records = append(w.records, with(w.records[7], "detail", map[string]any{"file": file, "table": table, "from": "1", "to": "1"}))
		}, CompareOptions{}, ""},
		{"contact not told", func(w *world) { drop(8)(w); drop(8)(w) }, CompareOptions{}, "missing/contact/"},
		{"an older contact", drop(9), CompareOptions{}, "different/contact.labels/ different/contact.remark/"},
		{"a member less", set(10, "room", map[string]any{"id": room, "name": "R", "owner": "wxid_x", "members": []any{map[string]any{"id": "wxid_x"}}}), CompareOptions{}, "different/room.members/"},
		{"room not told", drop(10), CompareOptions{}, "missing/room/"},
		{"counters taken for a change", func(w *world) {
			w.records = append(w.records, with(w.records[1], "kind", "revision", "of", "m_2", "change", "status"))
		}, CompareOptions{}, "invented/revision/2"},
		{"imported message told again", func(w *world) {
			w.records = append(w.records, with(capture(w.changes[9]), "id", "m_40", "type", "image"))
		}, CompareOptions{}, "doubled//40"},
		{"imported message told again as the same", func(w *world) {
			w.records = append(w.records, with(capture(w.changes[9]), "id", "m_3", "type", "image"))
		}, CompareOptions{}, ""},
		{"right counts", count("2026-11-23 seen 2 sealed 2; 2026-11-24 seen unknown sealed 0"), CompareOptions{}, ""},
		{"more sealed than there was", count("2026-11-23 seen 2 sealed 9"), CompareOptions{}, "invented/counts.sealed/"},
		{"more seen than there was", count("2026-11-23 seen 9 sealed 2"), CompareOptions{}, "invented/counts.seen/"},
		{"seen and not sealed", count("2026-11-23 seen 3 sealed 1 skipped 1"), CompareOptions{}, "missing/counts.sealed/"},
		{"counts in another form", count("yesterday"), CompareOptions{}, "different/counts.days/"},
		{"imported message captured there only", func(w *world) {
			w.records[3] = with(w.records[3], "local_id", "40", "source", map[string]any{"file": "message/message_9.db", "table": "Msg_0y"})
		}, CompareOptions{}, ""},
		{"another type", set(3, "type", "video"), CompareOptions{}, "different/type/3"},
		{"another body", set(3, "image", map[string]any{"md5": "ab", "bytes": 5}), CompareOptions{}, "different/image.md5/3"},
		{"no body", set(3, "image", nil), CompareOptions{}, "different/image/3"},
		{"mentions nobody mentioned", set(3, "mentions", []string{"wxid_x"}), CompareOptions{}, "different/mentions/3"},
		{"file not captured", drop(6), CompareOptions{}, "different/media.original.state/3"},
		{"other content", func(w *world) {
			w.records[6] = with(w.records[6], "media", []any{map[string]any{"role": "original", "state": "captured", "sha256": "99", "size": 5}})
		}, CompareOptions{}, "different/media.original.sha256/3 invented/media.original/3"},
		{"preview not told", func(w *world) {
			w.records[3] = with(w.records[3], "media", []any{map[string]any{"role": "cover", "state": "never_downloaded"}})
		}, CompareOptions{}, "missing/media.preview/3"},
		{"captured what is not there", func(w *world) {
			w.changes[2] = picture(w)
			w.records[6] = with(w.records[6], "media", []any{map[string]any{"role": "original", "state": "captured", "sha256": "11", "size": 5},
				map[string]any{"role": "cover", "state": "captured", "sha256": "33", "size": 5}})
		}, CompareOptions{}, "different/media.cover.state/3"},
		{"medium of nothing", set(6, "of", "m_x"), CompareOptions{}, "different/media.original.state/3 unlinked/of/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := changedWorld()
			tc.edit(w)
			rep := w.compare(t, tc.o)
			var got []string
			for _, f := range rep.Faults {
				got = append(got, f.Kind+"/"+f.Field+"/"+f.LocalID)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("faults: got %q, want %q", s, tc.want)
			}
			if js, _ := json.Marshal(rep); strings.Contains(string(js), "anew") || strings.Contains(string(js), "old") {
				t.Error("the report has content")
			}
		})
	}
}
