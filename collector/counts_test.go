package collector_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/simtest"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// scanned counts the rows of all messages with SQLCipher.
func scanned(t *testing.T, w *simtest.World) (rows int64) {
	t.Helper()
	var out struct{ Rows int64 }
	if err := json.Unmarshal([]byte(w.Run("scan", "--db", w.DB("message/message_0.db"), "--key", w.Key())), &out); err != nil {
		t.Fatal(err)
	}
	return out.Rows
}

// counted is the newest count of each day, by conversation, "" for what is out of
// scope.
func counted(t *testing.T, all []*record.Record) map[string]map[string]record.DayCount {
	t.Helper()
	out := map[string]map[string]record.DayCount{}
	for _, r := range all {
		if r.Event != record.EventCounts {
			continue
		}
		days, err := record.ParseDays(r.Detail["days"])
		if err != nil {
			t.Fatal(err)
		}
		conversation := ""
		if r.Conversation != nil {
			conversation = r.Conversation.ID
		}
		for _, d := range days {
			if out[conversation] == nil {
				out[conversation] = map[string]record.DayCount{}
			}
			out[conversation][r.Detail["file"]+" "+d.Date] = d
		}
	}
	return out
}

// sums adds counts up.
func sums(counts map[string]map[string]record.DayCount) (sum record.DayCount) {
	for _, days := range counts {
		for _, d := range days {
			sum.Seen += d.Seen
			sum.Sealed += d.Sealed
			sum.Skipped += d.Skipped
			sum.OutOfScope += d.OutOfScope
		}
	}
	return sum
}

// tomorrow is when every simulated day is over.
func tomorrow() time.Time { return time.Now().Add(49 * time.Hour) }

// What is seen in the source is what was sealed and what was left out, whatever the
// scope; every day of every conversation agrees with the records there are; and what
// is out of scope is counted without a name.
func TestCounts(t *testing.T) {
	for name, scope := range map[string]collector.Rule{
		"everything": {}, "no rooms": {Exclude: []string{"kind:room"}}, "nobody": {Include: []string{"wxid_nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := simtest.New(t)
			w.Make(6000, 10)
			d := newDevice(t, w)
			d.keys.set(w.Key())
			d.options.Scope.Conversations = scope
			d.options.Now = tomorrow
			all := d.since()
			held := map[string]map[string]int64{}
			for _, r := range ofKind(all, record.KindMessage) {
				if held[r.Conversation.ID] == nil {
					held[r.Conversation.ID] = map[string]int64{}
				}
				held[r.Conversation.ID][r.Source.File+" "+r.SentAt.Format(time.DateOnly)]++
			}
			counts := counted(t, all)
			for conversation, days := range counts {
				for day, c := range days {
					if conversation != "" && (c.Sealed != held[conversation][day] || c.Seen != c.Sealed || c.Missing() != 0) {
						t.Errorf("%s on %s: %+v, %d records", conversation, day, c, held[conversation][day])
					}
				}
			}
			for conversation, days := range held {
				if len(counts[conversation]) != len(days) {
					t.Errorf("%s: %d of %d days counted", conversation, len(counts[conversation]), len(days))
				}
			}
			sum := sums(counts)
			if rows := scanned(t, w); sum.Sealed+sum.OutOfScope != rows || sum.Seen != sum.Sealed {
				t.Errorf("%d rows, counted %+v", rows, sum)
			}
			if again := d.since(); len(again) != 0 {
				t.Errorf("nothing happened and %d records came", len(again))
			}
		})
	}
}

// A day that is not over is not counted; when it is, it is; and a row that comes late
// has it counted anew. A row deleted after capture is sealed and not seen.
func TestCountsLate(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "40", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	first := d.since()
	var target *record.Record
	for _, r := range ofKind(first, record.KindMessage) {
		if time.Since(r.SentAt) < 20*time.Hour {
			target = r
		}
	}
	day := target.Source.File + " " + target.SentAt.Format(time.DateOnly)
	if _, ok := counted(t, first)[target.Conversation.ID][day]; ok {
		t.Error("a day is counted before it is over")
	}
	d.options.Now = tomorrow
	then := counted(t, d.since())[target.Conversation.ID][day]
	if then.Sealed == 0 || then.Seen != then.Sealed {
		t.Fatalf("after its end the day is %+v", then)
	}
	rewrite(w, fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (4711, 1, 5, 1, %d, 'late')",
		target.Source.Table, target.SentAt.Unix()))
	late := counted(t, d.since())
	if got := late[target.Conversation.ID][day]; len(late) != 1 || got.Sealed != then.Sealed+1 || got.Seen != then.Seen+1 {
		t.Errorf("after a late row %+v, before %+v", late, then)
	}
	rewrite(w, fmt.Sprintf("DELETE FROM %s WHERE local_id = %s", target.Source.Table, target.LocalID), fmt.Sprintf(
		"INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (4712, 1, 5, 1, %d, 'later')",
		target.Source.Table, target.SentAt.Unix()))
	if got := counted(t, d.since())[target.Conversation.ID][day]; got.Sealed != then.Sealed+2 || got.Seen != then.Seen+1 || got.Missing() != 0 {
		t.Errorf("after a deletion %+v", got)
	}
}

// What was said while a conversation was out of scope stays out when it comes into
// scope; what is said from then on is captured.
func TestScopeReentry(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "60", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.options.Scope.Conversations.Exclude = []string{"kind:room"}
	d.once()
	d.options.Scope.Conversations.Exclude = nil
	if got := ofKind(d.since(), record.KindMessage); len(got) != 0 {
		t.Errorf("%d messages that were out of scope are captured", len(got))
	}
	before := len(ofKind(d.all(), record.KindMessage))
	w.Chat("--count", "60", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d.once()
	rooms := 0
	for _, r := range ofKind(d.all(), record.KindMessage)[before:] {
		if r.Conversation.Kind == "room" {
			rooms++
		}
	}
	if rooms == 0 {
		t.Error("a room that came into scope is not captured")
	}
	// And out again: nothing of it any more.
	d.options.Scope.Conversations.Exclude = []string{"kind:room"}
	w.Chat("--count", "60", "--rate", "0", "--recall", "0.2", "--compress", "0", "--recall-after", "1ms").Wait()
	for _, r := range d.since() {
		if r.Conversation != nil && r.Conversation.Kind == "room" && r.Event != record.EventCounts {
			t.Errorf("%s of a room that is out of scope", r.Kind)
		}
	}
}

// A conversation that was cleared, its table dropped, before its day was over is
// counted all the same: sealed, and not seen.
func TestCountsCleared(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "40", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	now := time.Now()
	d.options.Now = func() time.Time { return now }
	c := d.collector()
	pass := func() []*record.Record {
		t.Helper()
		before := len(d.all())
		if err := c.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.all()[before:]
	}
	target := ofKind(pass(), record.KindMessage)[0]
	rewrite(w, "DROP TABLE "+target.Source.Table)
	pass()
	now = tomorrow()
	got := counted(t, pass())[target.Conversation.ID][target.Source.File+" "+target.SentAt.Format(time.DateOnly)]
	if got.Sealed == 0 || got.Seen != 0 || got.Missing() != 0 {
		t.Errorf("the day of a cleared conversation is %+v", got)
	}
}

// A conversation whose username nobody knows yet waits while the rules leave out what
// they can't tell, and is captured from its beginning when it is known to be in scope.
func TestScopeUndecided(t *testing.T) {
	w := simtest.New(t)
	w.Chat("--count", "20", "--rate", "0", "--recall", "0", "--compress", "0").Wait()
	d := newDevice(t, w)
	d.keys.set(w.Key())
	d.options.Scope.Conversations.Include = []string{"kind:direct"}
	target := ofKind(d.since(), record.KindMessage)[0]
	table := "Msg_" + wechat.Hash("wxid_late")
	insert := func(id int) string {
		return fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (%d, 1, %d, 1, %d, 'hello')",
			table, id, id, target.SentAt.Unix())
	}
	rewrite(w,
		strings.Replace(messageTable, "NAME", table, 1), insert(9001), insert(9002))
	if got := ofKind(d.since(), record.KindMessage); len(got) != 0 {
		t.Fatalf("%d messages of somebody unknown", len(got))
	}
	c := d.collector()
	pass := func() []*record.Record {
		t.Helper()
		before := len(d.all())
		if err := c.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ofKind(d.all()[before:], record.KindMessage)
	}
	if got := pass(); len(got) != 0 {
		t.Fatalf("%d messages of somebody unknown", len(got))
	}
	contacts(w, "INSERT INTO contact(id, username, nick_name) VALUES(99998, 'wxid_late', 'Late')")
	rewrite(w, "INSERT INTO "+target.Source.Table+"(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (9003, 1, 1, 1, 1, 'x')")
	late := 0
	for _, r := range pass() {
		if r.Conversation.ID == "wxid_late" {
			late++
		}
	}
	if late != 2 {
		t.Errorf("%d of 2 messages captured when it was known whose they are", late)
	}
}

// messageTable makes a table of messages of generation 4.
const messageTable = `CREATE TABLE NAME(local_id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, local_type INTEGER, sort_seq INTEGER,
	real_sender_id INTEGER, create_time INTEGER, status INTEGER, upload_status INTEGER, download_status INTEGER, server_seq INTEGER,
	origin_source INTEGER, source TEXT, message_content TEXT, compress_content TEXT, packed_info_data BLOB,
	WCDB_CT_message_content INTEGER, WCDB_CT_source INTEGER)`
