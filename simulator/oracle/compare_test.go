package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// world is an oracle and the records of a capture that missed nothing.
type world struct {
	changes []Change
	records []map[string]any
}

const room, table, file = "123@chatroom", "Msg_0a", "message/message_0.db"

func change(op, localID string, self bool, text string) Change {
	c := Change{Op: op, File: file, Table: table, LocalID: localID, ServerID: "9" + localID, Conversation: room, Sender: "wxid_x", Type: 1,
		CreateTime: epoch.Unix(), SortSeq: fmt.Sprint(epoch.UnixMilli()) + localID, Text: text}
	if self {
		c.Self, c.Sender = true, "wxid_me"
	}
	return c
}

func capture(c Change) map[string]any {
	return map[string]any{
		"v": 1, "kind": "message", "id": "m_" + c.LocalID, "captured_at": epoch.Add(90 * time.Millisecond).Format(time.RFC3339Nano),
		"account": map[string]any{"id": "wxid_me"}, "conversation": map[string]any{"id": c.Conversation},
		"sender": map[string]any{"id": c.Sender, "self": c.Self}, "sent_at": time.Unix(c.CreateTime, 0).UTC().Format(time.RFC3339),
		"server_id": c.ServerID, "local_id": c.LocalID, "order": c.SortSeq, "type": "text", "text": c.Text,
		"native": map[string]any{"type": c.Type}, "source": map[string]any{"file": c.File, "table": c.Table},
	}
}

func with(r map[string]any, kv ...any) map[string]any {
	r = maps.Clone(r)
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] == nil {
			delete(r, kv[i].(string))
		} else {
			r[kv[i].(string)] = kv[i+1]
		}
	}
	return r
}

// newWorld: a message, an own one whose server id came late, a recalled one, one that
// was compressed later, one more.
func newWorld() *world {
	own := change(Insert, "2", true, "mine:\nsecond line")
	own.ServerID = "0"
	recall := change(Recall, "3", false, "“X” recalled a message")
	recall.Type = 10000
	w := &world{changes: []Change{
		change(Insert, "1", false, "one 一 🌊"), own, change(Insert, "3", false, "secret plan"), change(Insert, "4", false, "four"),
		change(ServerID, "2", true, own.Text), recall, change(Recompress, "4", false, "four"), change(Insert, "5", false, "five"),
	}}
	for _, i := range []int{0, 1, 2, 3, 7} {
		w.records = append(w.records, capture(w.changes[i]))
	}
	w.records[1] = with(w.records[1], "server_id", nil) // captured before the server answered
	w.records = append(w.records,
		with(capture(w.changes[4]), "kind", "revision", "id", "r_2", "of", "m_2", "change", "status"),
		with(capture(recall), "kind", "revision", "id", "r_3", "of", "m_3", "change", "recall", "type", "recall"),
		map[string]any{"v": 1, "kind": "event", "id": "e_1", "event": "started"},
		map[string]any{"v": 1, "kind": "contact", "id": "c_1"},
	)
	return w
}

// compare writes the oracle with the package's own Log and compares.
func (w *world) compare(t *testing.T, o CompareOptions) *Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oracle")
	l, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range w.changes {
		n, err := l.Begin(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(n, 1, epoch.Add(time.Duration(i)*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	var records bytes.Buffer
	enc := json.NewEncoder(&records)
	for _, r := range w.records {
		enc.Encode(r)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rep, err := Compare(f, &records, o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func noticeOnly(w *world) {
	w.records[2] = with(w.records[2], "native", map[string]any{"type": 10000}, "text", "“X” recalled a message", "type", "system")
	w.records = append(w.records[:6], w.records[7:]...)
}

// Promise: compare finds each kind of fault, names it with the message's keys, and
// finds nothing where nothing is wrong.
func TestCompare(t *testing.T) {
	sender := func(id string, self bool) map[string]any { return map[string]any{"id": id, "self": self} }
	for _, tc := range []struct {
		name string
		edit func(*world)
		o    CompareOptions
		want string // kind/field/local id of each fault
	}{
		{"nothing wrong", func(*world) {}, CompareOptions{}, ""},
		{"server id known at once", func(w *world) { w.records[1]["server_id"] = "92"; w.records[5] = w.records[7] }, CompareOptions{}, ""},
		{"missing", func(w *world) { w.records[0] = w.records[8] }, CompareOptions{}, "missing//1"},
		{"doubled under another id", func(w *world) { w.records = append(w.records, with(w.records[0], "id", "m_x")) }, CompareOptions{}, "doubled//1"},
		{"doubled with the same id", func(w *world) { w.records = append(w.records, w.records[0]) }, CompareOptions{}, "doubled//1"},
		{"invented", func(w *world) { w.records = append(w.records, with(w.records[0], "local_id", "77", "id", "m_77")) }, CompareOptions{}, "invented//77"},
		{"in another conversation", func(w *world) { w.records[0]["conversation"] = map[string]any{"id": "wxid_y"} }, CompareOptions{}, "invented//1 missing//1"},
		{"in another table", func(w *world) { w.records[0]["source"] = map[string]any{"file": file, "table": "Msg_0b"} }, CompareOptions{}, "invented//1 missing//1"},
		{"other text", func(w *world) { w.records[0]["text"] = "one 一 🌊 " }, CompareOptions{}, "different/text/1"},
		{"sender's prefix left on", func(w *world) { w.records[3]["text"] = "wxid_x:\nfour" }, CompareOptions{}, "different/text/4"},
		{"own first line cut off", func(w *world) { w.records[1]["text"], w.records[5]["text"] = "second line", "mine:\nsecond line" }, CompareOptions{}, "different/text/2"},
		{"other sender", func(w *world) { w.records[0]["sender"] = sender("wxid_y", false) }, CompareOptions{}, "different/sender.id/1"},
		{"taken for own", func(w *world) { w.records[0]["sender"] = sender("wxid_x", true) }, CompareOptions{}, "different/sender.self/1"},
		{"own taken for another's", func(w *world) { w.records[1]["sender"] = sender("wxid_me", false) }, CompareOptions{}, "different/sender.self/2"},
		{"other server id", func(w *world) { w.records[0]["server_id"] = "912" }, CompareOptions{}, "different/server_id/1"},
		{"server id never came", func(w *world) { w.records[5] = w.records[7] }, CompareOptions{}, "different/server_id/2"},
		{"other time", func(w *world) { w.records[0]["sent_at"] = "2026-11-23T08:00:01Z" }, CompareOptions{}, "different/sent_at/1"},
		{"other type", func(w *world) { w.records[0]["type"] = "link" }, CompareOptions{}, "different/type/1"},
		{"other native type", func(w *world) { w.records[0]["native"] = map[string]any{"type": 49} }, CompareOptions{}, "different/native.type/1"},
		{"notice of a recall that was none", func(w *world) { w.records[0]["native"] = map[string]any{"type": 10000} }, CompareOptions{}, "different/native.type/1"},
		{"last comes first", func(w *world) { w.records[4]["order"] = "1" }, CompareOptions{}, "out_of_order/order/5"},
		{"two swapped", func(w *world) {
			w.records[0]["order"], w.records[1]["order"] = w.records[1]["order"], w.records[0]["order"]
		}, CompareOptions{}, "out_of_order/order/2"},
		{"no order at all", func(w *world) { delete(w.records[0], "order") }, CompareOptions{}, "out_of_order/order/1"},
		{"recall without a revision", func(w *world) { w.records[6] = w.records[7] }, CompareOptions{}, "recall_missing//3"},
		{"recall linked to another", func(w *world) { w.records[6]["of"] = "m_1" }, CompareOptions{}, "different/of/1 recall_missing//3"},
		{"recall linked to nothing", func(w *world) { w.records[6]["of"] = "m_gone" }, CompareOptions{}, "recall_missing//3 unlinked/of/3"},
		{"recall told twice", func(w *world) { w.records = append(w.records, with(w.records[6], "id", "r_x")) }, CompareOptions{}, "doubled/recall/3"},
		{"recall that never was", func(w *world) {
			w.records = append(w.records, with(w.records[0], "kind", "revision", "of", "m_1", "change", "recall", "native", map[string]any{"type": 10000}))
		}, CompareOptions{}, "invented/recall/1"},
		{"recall overwrote the original's text", func(w *world) { w.records[2]["text"] = "“X” recalled a message" }, CompareOptions{}, "different/text/3"},
		{"compression taken for an edit", func(w *world) {
			w.records = append(w.records, with(w.records[3], "kind", "revision", "of", "m_4", "change", "edit", "text", "(\xb5/"))
		}, CompareOptions{}, "invented/revision/4"},
		{"server id and another text", func(w *world) { w.records[5]["text"] = "other" }, CompareOptions{}, "invented/text/2"},
		{"deletion that never was", func(w *world) { w.records = append(w.records, with(w.records[0], "kind", "deletion", "of", "m_1")) }, CompareOptions{}, "invented/deletion/1"},
		{"deletion of nothing", func(w *world) { w.records = append(w.records, with(w.records[0], "kind", "deletion", "of", "m_x")) }, CompareOptions{}, "unlinked/of/1"},
		{"revision before its original", func(w *world) { w.records[0], w.records[6] = w.records[6], w.records[0] }, CompareOptions{}, ""},
		{"original lost", noticeOnly, CompareOptions{}, "original_lost//3"},
		{"recalled before capture began", noticeOnly, CompareOptions{LateStart: epoch.Add(time.Second)}, ""},
		{"recalled after capture began", noticeOnly, CompareOptions{LateStart: epoch.Add(4 * time.Millisecond)}, "original_lost//3"},
		{"recalled within the grace", noticeOnly, CompareOptions{Grace: 3 * time.Millisecond}, ""},
		{"recalled after the grace", noticeOnly, CompareOptions{Grace: 2 * time.Millisecond}, "original_lost//3"},
		{"another account's record", func(w *world) {
			w.records = append(w.records, with(w.records[0], "account", map[string]any{"id": "wxid_other"}))
		}, CompareOptions{Account: "wxid_me"}, ""},
		{"only another account's records", func(w *world) {
			for i := range w.records {
				w.records[i]["account"] = map[string]any{"id": "wxid_other"}
			}
		}, CompareOptions{Account: "wxid_me"}, "missing//1 missing//2 missing//3 missing//4 missing//5"},
		{"older than judged", func(w *world) {
			w.records = append(w.records, with(w.records[0], "local_id", "77", "sent_at", "2026-01-01T00:00:00Z"))
		}, CompareOptions{Since: epoch}, ""},
		{"empty archive", func(w *world) { w.records = nil }, CompareOptions{}, "missing//1 missing//2 missing//3 missing//4 missing//5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld()
			tc.edit(w)
			rep := w.compare(t, tc.o)
			var got []string
			for _, f := range rep.Faults {
				got = append(got, f.Kind+"/"+f.Field+"/"+f.LocalID)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("faults: got %q, want %q", s, tc.want)
			}
			// Promise: without being asked, a report never says what was said.
			var text strings.Builder
			rep.Summary(&text, 100)
			js, _ := json.Marshal(rep)
			for _, secret := range []string{"secret", "four", "second", "recalled a message"} {
				if strings.Contains(text.String()+string(js), secret) {
					t.Errorf("the report quotes a message")
				}
			}
		})
	}
}

// Promise: asked for it, the report shows both texts.
func TestCompareVerbose(t *testing.T) {
	w := newWorld()
	w.records[3]["text"] = "vier"
	f := w.compare(t, CompareOptions{Verbose: true}).Faults
	if len(f) != 1 || f[0].Want != "four" || f[0].Got != "vier" {
		t.Errorf("got %+v", f)
	}
}

// Promise: the counts and delays in the report are those of the records.
func TestCompareCounts(t *testing.T) {
	rep := newWorld().compare(t, CompareOptions{})
	if rep.Messages != 5 || rep.Recalls != 1 || rep.Records != 5 || rep.Revisions != 2 || rep.Undecided != 0 {
		t.Errorf("got %+v", rep)
	}
	// Committed 0, 1, 2, 3 and 7 ms after the epoch, captured at 90 ms.
	if d := rep.Delay; d == nil || d.Samples != 5 || d.Max != 90 || d.P50 != 88 {
		t.Errorf("delay: got %+v", d)
	}
}

// Promise: a change whose writer was killed before it could say so is right either way.
func TestCompareUndecided(t *testing.T) {
	var oracle bytes.Buffer
	enc := json.NewEncoder(&oracle)
	c := change(Insert, "1", false, "perhaps")
	enc.Encode(line{Op: opBegin, N: 1, Change: &c})
	records, _ := json.Marshal(capture(c))
	for _, r := range []string{"", string(records) + "\n"} {
		rep, err := Compare(bytes.NewReader(oracle.Bytes()), strings.NewReader(r), CompareOptions{})
		if err != nil || len(rep.Faults) != 0 || rep.Undecided != 1 {
			t.Errorf("with %d bytes of records: %+v, %v", len(r), rep, err)
		}
	}
}

// Promise: input that is not what it should be is an error, which quotes none of it.
func TestCompareBadInput(t *testing.T) {
	good := `{"op":"begin","n":1,"change":{"op":"insert","n":1}}` + "\n" + `{"op":"commit","n":1,"at":"2026-11-23T08:00:00Z"}` + "\n"
	for name, in := range map[string][2]string{
		"oracle is not JSON":           {"secret\n", ""},
		"commit of nothing":            {`{"op":"commit","n":1}` + "\n", ""},
		"committed twice":              {good + `{"op":"commit","n":1}` + "\n", ""},
		"begin without a change":       {`{"op":"begin","n":1}` + "\n", ""},
		"unknown op":                   {`{"op":"secret","n":1}` + "\n", ""},
		"record is not JSON":           {good, "secret\n"},
		"record with a time like text": {good, `{"kind":"message","sent_at":"secret"}`},
		"record cut short":             {good, `{"kind":"message","te`},
	} {
		_, err := Compare(strings.NewReader(in[0]), strings.NewReader(in[1]), CompareOptions{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
