package collector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// query returns the rows of a statement on the account's first message database.
func (a *attached) query(sql string) (rows [][]any) {
	a.t.Helper()
	out := json.NewDecoder(strings.NewReader(a.w.Run("exec", "--db", a.w.DB(message0), "--key", a.w.Key(), "--sql", sql)))
	for out.More() {
		var row []any
		if err := out.Decode(&row); err != nil {
			a.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// remake is what makes the conversation's table anew, empty.
func (a *attached) remake() []string {
	out := []string{"DROP TABLE " + a.table}
	for _, row := range a.query("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name = '" + a.table + "' ORDER BY type DESC") {
		out = append(out, row[0].(string))
	}
	return out
}

// text is the INSERT of a message with a server id.
func (a *attached) text(server int, sent time.Time) string {
	return fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) VALUES (%d, 1, %d, 1, %d, 'text %d')",
		a.table, server, sent.UnixMilli(), sent.Unix(), server)
}

// since returns what was captured after the first n records, without what was captured
// before, as the archive would keep it.
func (a *attached) since(n int) (fresh []*record.Record) {
	a.t.Helper()
	known := map[string]bool{}
	for i, r := range a.all() {
		if i >= n && !known[r.ID] {
			fresh = append(fresh, r)
		}
		known[r.ID] = true
	}
	return fresh
}

// said counts records by what they say: kind and change, or the event's name.
func said(records []*record.Record) map[string]int {
	out := map[string]int{}
	for _, r := range records {
		switch {
		case r.Kind == record.KindEvent && r.Event != record.EventCounts:
			out[r.Event]++
		case r.Kind == record.KindDeletion, r.Kind == record.KindRevision:
			out[string(r.Kind)+" "+r.Change]++
		case r.Kind == record.KindMessage:
			out["message"]++
		}
	}
	return out
}

func (a *attached) wantSaid(step string, n int, want map[string]int) {
	a.t.Helper()
	if got := said(a.since(n)); fmt.Sprint(got) != fmt.Sprint(want) {
		a.t.Errorf("%s: said %v, want %v\nlog:\n%s", step, got, want, a.log.String())
	}
}

// captured is how many messages of the conversation are captured.
func (a *attached) captured() (n int) {
	for _, r := range a.all() {
		if r.Kind == record.KindMessage && r.Source.Table == a.table {
			n++
		}
	}
	return n
}

// A conversation whose table goes while the agent is off is told as cleared when it is
// on again, once; a schema that changes otherwise clears nothing.
func TestDroppedWhileOff(t *testing.T) {
	a := newAttached(t)
	a.device.once()
	rows := a.captured()
	n := len(a.all())
	rewrite(a.w, "CREATE INDEX another ON "+a.table+"(create_time)")
	a.device.once()
	a.wantSaid("another index", n, map[string]int{})
	rewrite(a.w, "DROP TABLE "+a.table)
	for range 2 {
		a.device.once()
		a.wantSaid("dropped", n, map[string]int{"deletion cleared": rows})
	}
	if rows == 0 {
		t.Error("nothing was captured")
	}
}

// A table that was dropped and has grown past its cursor by the next look is read from
// its beginning, whether the agent was off or between two passes.
func TestDroppedAndRegrown(t *testing.T) {
	for _, off := range []bool{true, false} {
		t.Run(fmt.Sprintf("off=%v", off), func(t *testing.T) {
			a := newAttached(t)
			pass := func() { a.once() }
			if off {
				pass = func() { a.device.once() }
			}
			pass()
			rows, n := a.captured(), len(a.all())
			statements := a.remake()
			for i := range rows + 3 {
				statements = append(statements, a.text(800_000+i, time.Now()))
			}
			rewrite(a.w, statements...)
			for range 2 {
				pass()
			}
			a.wantSaid("regrown", n, map[string]int{"message": rows + 3, "deletion cleared": rows, "database_recreated": 1})
		})
	}
}

// A table that is made anew with the same messages under other ids loses none of them in
// the archive, wherever the agent is cut off while it reads them.
func TestMadeAnewUnderCrashes(t *testing.T) {
	a := newAttached(t)
	a.device.once()
	rows, n := a.captured(), len(a.all())
	columns := "server_id, local_type, sort_seq, real_sender_id, create_time, status, message_content, WCDB_CT_message_content"
	statements := append([]string{fmt.Sprintf("CREATE TEMP TABLE kept AS SELECT %s FROM %s", columns, a.table)}, a.remake()...)
	statements = append(statements,
		a.text(700_000, time.Now()),
		fmt.Sprintf("INSERT INTO %s(%s) SELECT %s FROM temp.kept", a.table, columns, columns),
		fmt.Sprintf("INSERT INTO %s(server_id, local_type, sort_seq, real_sender_id, create_time, message_content) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 9000) SELECT 1000000+i, 1, 1, 1, 1700000000+i, 'more' FROM n", a.table))
	rewrite(a.w, statements...)
	crashes := 0
	for landed := false; ; landed = !landed {
		o := a.options
		o.Spool = &cut{Spool: a.spool, left: 1, landed: landed}
		c, err := collector.New(o)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Once(t.Context())
		c.Close()
		if err == nil {
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		crashes++
	}
	got := said(a.since(n))
	if got["message"] != 9001 || got["deletion cleared"]+got["deletion deleted"] != 0 || got["database_recreated"] == 0 || crashes < 3 || rows == 0 {
		t.Errorf("%d crashes, %d rows were there: said %v", crashes, rows, got)
	}
}

// cut is a spool whose appends of records or cursors end with the process, from the nth
// on, before or after they took effect.
type cut struct {
	*spool.Spool
	left   int
	landed bool
}

func (c *cut) Append(ctx context.Context, l seal.Lane, r spool.Records, cursors ...spool.Cursor) error {
	if c.left--; c.left < 0 && !c.landed {
		return errCut
	}
	err := c.Spool.Append(ctx, l, r, cursors...)
	if c.left < 0 && err == nil {
		return errCut
	}
	return err
}

// An older state of the database that is put in its place, and the newer one put back,
// say so and delete nothing: nobody did.
func TestOlderState(t *testing.T) {
	a := newAttached(t)
	rewrite(a.w, a.text(600_000, time.Now()))
	a.device.once()
	n := len(a.all())
	saved := a.files()
	other := "Msg_" + strings.Repeat("ab", 16)
	rewrite(a.w, a.text(600_001, time.Now()),
		strings.ReplaceAll(a.remake()[1], a.table, other), strings.ReplaceAll(a.text(600_002, time.Now()), a.table, other))
	a.device.once()
	a.wantSaid("a message and a conversation more", n, map[string]int{"message": 2})
	newer := a.files()
	a.restore(saved)
	for range 2 {
		a.device.once()
		a.wantSaid("the older state", n, map[string]int{"message": 2, "database_recreated": 1})
	}
	a.restore(newer)
	for range 2 {
		a.device.once()
		a.wantSaid("the newer state", n, map[string]int{"message": 2, "database_recreated": 1})
	}
}

// files are the message database as it stands on disk, whole, for the client has quit.
func (a *attached) files() map[string][]byte {
	out := map[string][]byte{}
	for _, side := range []string{"", "-wal"} {
		if data, err := os.ReadFile(a.w.DB(message0) + side); err == nil {
			out[side] = data
		}
	}
	return out
}

func (a *attached) restore(files map[string][]byte) {
	a.t.Helper()
	for _, side := range []string{"-wal", "-shm", ""} {
		os.Remove(a.w.DB(message0) + side)
		if data, ok := files[side]; ok {
			if err := os.WriteFile(a.w.DB(message0)+side, data, 0o600); err != nil {
				a.t.Fatal(err)
			}
		}
	}
}

// A row that is put back where rows were told as missing is captured, and the gap is
// closed by a record; what is still missing of it is a gap of its own.
func TestRowPutBack(t *testing.T) {
	for _, off := range []bool{true, false} {
		t.Run(fmt.Sprintf("off=%v", off), func(t *testing.T) {
			a := newAttached(t)
			now := time.Now()
			a.options.Now = func() time.Time { return now }
			pass := func() { now = now.Add(time.Second); a.once() }
			if off {
				pass = func() { a.device.once() }
			}
			pass()
			n := len(a.all())
			rewrite(a.w, a.text(500_001, now), a.text(500_002, now), a.text(500_003, now), a.text(500_004, now))
			kept := a.query("SELECT local_id, server_id FROM " + a.table + " WHERE server_id IN (500001, 500002, 500003) ORDER BY 1")
			rewrite(a.w, "DELETE FROM "+a.table+" WHERE server_id IN (500001, 500002, 500003)")
			pass()
			a.wantSaid("three rows missing", n, map[string]int{"message": 1, "gap": 1})
			gap := find(a.all(), record.EventGap)
			first := gap[len(gap)-1]
			put := func(i int) {
				rewrite(a.w, strings.Replace(strings.Replace(a.text(500_001+i, now), "(server_id", "(local_id, server_id", 1), "VALUES (", fmt.Sprintf("VALUES (%v, ", kept[i][0]), 1))
			}
			n = len(a.all())
			put(1)
			pass()
			pass()
			a.wantSaid("the middle one back", n, map[string]int{"message": 1, "recovered": 1, "gap": 2})
			if over := find(a.all(), record.EventRecovered); over[len(over)-1].Of != first.ID || over[len(over)-1].Detail["rows"] != "1" {
				t.Errorf("the gap %s was closed by %+v", first.ID, over[len(over)-1])
			}
			n = len(a.all())
			put(0)
			put(2)
			pass()
			pass()
			a.wantSaid("all back", n, map[string]int{"message": 2, "recovered": 2})
			open := map[string]bool{}
			for _, r := range a.all() {
				switch r.Event {
				case record.EventGap:
					open[r.ID] = r.Detail["from"] != ""
				case record.EventRecovered:
					delete(open, r.Of)
				}
			}
			if slices.Contains(slices.Collect(maps.Values(open)), true) {
				t.Errorf("gaps are open: %v", open)
			}
		})
	}
}
