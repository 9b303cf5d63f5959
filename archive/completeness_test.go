//go:build !windows

package archive_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/record"
	"tidemark/seal"
)

const room = "123@chatroom"

// counts is a counts event as the device of that id writes it; without a conversation
// it counts what is out of scope.
func counts(device seal.DeviceID, database, conversation string, days ...record.DayCount) []byte {
	r := record.Record{
		V: record.Version, Kind: record.KindEvent, ID: record.NewEventID(), Event: record.EventCounts, Severity: record.SeverityInfo,
		Device: device.String(), CapturedAt: archivetest.Time, Account: &record.Party{ID: "wxid_me"},
		Detail: map[string]string{"database": database, "days": record.FormatDays(days)},
	}
	if conversation != "" {
		r.Conversation = &record.Conversation{ID: conversation}
	}
	return r.AppendJSON(nil)
}

func (w *world) completeness(account string, since time.Time) *archive.Completeness {
	w.t.Helper()
	c, err := archive.CheckCompleteness(context.Background(), archive.Folder(w.dir), account, since)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// What devices counted is held against what arrived: whole days are complete, what was
// sealed and never came and what was never sealed are named, newer counts take the
// place of older ones, and a message found in two databases counts in both.
func TestCompleteness(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	text := func(n int) []byte { return archivetest.Text(d.ID(), room, n, fmt.Sprint("message ", n)) }
	const day = "2026-11-23"

	w.append(d, d.Seal(seal.Messages, text(1), text(2), text(3)))
	if c := w.completeness("", time.Time{}); !c.Complete || c.Uncounted != 1 || c.Days != 0 {
		t.Fatalf("before anything is counted: %+v", c)
	}
	w.append(d, d.Seal(seal.Messages, counts(d.ID(), "a", room, record.DayCount{Date: day, Seen: 3, Sealed: 3})))
	if c := w.completeness("", time.Time{}); !c.Complete || c.Held != 3 || c.Days != 1 || c.Conversations != 1 || c.Uncounted != 0 {
		t.Fatalf("a whole day: %+v", c)
	}
	// The same message imported into a second database is sealed again.
	w.append(d, d.Seal(seal.Messages, text(2), counts(d.ID(), "b", room, record.DayCount{Date: day, Seen: 1, Sealed: 1}),
		counts(d.ID(), "b", "", record.DayCount{Date: day, OutOfScope: 7})))
	if c := w.completeness("", time.Time{}); !c.Complete || c.Sealed != 4 || c.Held != 4 || c.OutOfScope != 7 {
		t.Fatalf("a repeat: %+v", c)
	}
	// Two more sealed than arrived, one more in the source than sealed.
	w.append(d, d.Seal(seal.Messages, counts(d.ID(), "a", room, record.DayCount{Date: day, Seen: 6, Sealed: 5})))
	c := w.completeness("wxid_me", archivetest.Time.Truncate(24*time.Hour))
	if c.Complete || len(c.Gaps) != 1 || c.Gaps[0] != (archive.DayGap{Device: d.ID().String(), Account: "wxid_me", Conversation: room, Date: day,
		Sealed: 6, Held: 4, Undelivered: 2, Uncaptured: 1}) {
		t.Fatalf("a gap: %+v", c)
	}
	if c := w.completeness("wxid_other", time.Time{}); c.Days != 0 {
		t.Errorf("another account: %+v", c)
	}
	if c := w.completeness("", archivetest.Time.AddDate(0, 0, 1)); c.Days != 0 || !c.Complete {
		t.Errorf("later days: %+v", c)
	}
	// Deleted by the client after capture: sealed and not seen is no gap.
	w.append(d, d.Seal(seal.Messages, text(5), text(6), counts(d.ID(), "a", room, record.DayCount{Date: day, Seen: 2, Sealed: 5})))
	if c := w.completeness("", time.Time{}); !c.Complete {
		t.Errorf("after a deletion: %+v", c)
	}
	// Another laptop of the account is counted by itself.
	e := w.device()
	w.append(e, e.Seal(seal.Messages, archivetest.Text(e.ID(), room, 1, "message 1"), counts(e.ID(), "a", room, record.DayCount{Date: day, Seen: 2, Sealed: 2})))
	if c := w.completeness("", time.Time{}); len(c.Gaps) != 1 || c.Gaps[0].Device != e.ID().String() || c.Gaps[0].Undelivered != 1 {
		t.Errorf("a second device: %+v", c)
	}
}
