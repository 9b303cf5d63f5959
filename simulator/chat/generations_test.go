package chat

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"
	"google.golang.org/protobuf/encoding/protowire"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// older is a client of a 3.x generation in a new account.
func older(t *testing.T, dir string, g account.Generation) (*Client, func()) {
	t.Helper()
	log, undecided, err := oracle.Open(filepath.Join(dir, "oracle"))
	if err != nil {
		t.Fatal(err)
	}
	p := account.Place{Root: dir, Name: "wxid_tide", Generation: g}
	acct, err := account.Open(p, account.Options{
		Keys: keys, Writer: writer.Options{Mode: writer.Client, After: 20 * time.Millisecond},
		Populate: func() ([]account.Person, []account.Room) {
			ps, rs := account.Population(People(testSeed), "wxid_tide", 8, 3)
			return append(ps, account.Officials(People(1), 2)...), rs
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(acct, log, undecided)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		if err := errors.Join(acct.Release(), log.Close()); err != nil {
			t.Error(err)
		}
	}
}

// olderRecords is a reader of its own for 3.x: it makes records of all rows.
func olderRecords(t *testing.T, p account.Place) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	emit := func(file, table, conversation, sender, text string, localID, serverID, localType, order, created int64) {
		enc.Encode(map[string]any{
			"kind": "message", "id": fmt.Sprintf("m_%s_%s_%d", file, table, localID), "conversation": map[string]any{"id": conversation},
			"sender": map[string]any{"id": sender, "self": sender == p.Name}, "sent_at": time.Unix(created, 0).UTC(),
			"server_id": strconv.FormatInt(serverID, 10), "local_id": strconv.FormatInt(localID, 10), "order": strconv.FormatInt(order, 10),
			"type": map[bool]string{true: "text"}[localType == typeText], "text": text,
			"native": map[string]any{"type": localType & baseMask, "subtype": localType >> 32}, "source": map[string]any{"file": file, "table": table},
		})
	}
	if p.Generation == account.W3 {
		tables := map[string]string{account.W3PublicFile: "PublicMsg", account.W3OpenIMFile: "OpenIMMsg"}
		for n := 0; ; n++ {
			file := fmt.Sprintf("Multi/MSG%d.db", n)
			if _, err := os.Stat(p.Path(file)); err != nil {
				break
			}
			tables[file] = "MSG"
		}
		for file, table := range tables {
			db := copyOf(t, p, file, writer.Cipher3)
			query(t, db, func(r *sql.Rows) {
				var localID, serverID, base, order, created, self int64
				var talker, named, text string
				var sub int64
				var extra, packed []byte
				if err := r.Scan(&localID, &serverID, &base, &order, &created, &self, &talker, &named, &text, &extra, &sub, &packed); err != nil {
					t.Fatal(err)
				}
				if base == typeApp {
					text = unpacked(t, packed)
				}
				base |= sub << 32
				if talker != named {
					t.Fatalf("%s %d: TalkerId is another than StrTalker", file, localID)
				}
				sender := talker
				if strings.HasSuffix(talker, "@chatroom") {
					sender = extraText(extra, 1)
				}
				if self == 1 {
					sender = p.Name
				}
				emit(file, table, talker, sender, text, localID, serverID, base, order, created)
			}, `SELECT localId, MsgSvrID, Type, Sequence, CreateTime, IsSender, StrTalker, UsrName, StrContent, BytesExtra, SubType, CompressContent
				FROM `+table+` JOIN Name2ID n ON n.rowid = TalkerId`)
		}
		return out.Bytes()
	}
	users := map[string]string{}
	for file, q := range map[string]string{account.M3ContactFile: `SELECT m_nsUsrName FROM WCContact`, account.M3GroupFile: `SELECT m_nsUsrName FROM GroupContact`} {
		for _, u := range strs(t, copyOf(t, p, file, writer.Raw3), q) {
			users[account.M3Table(u)] = u
		}
	}
	for n := range 10 {
		file := fmt.Sprintf("Message/msg_%d.db", n)
		db := copyOf(t, p, file, writer.Raw3)
		for _, table := range strs(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'Chat\_%' ESCAPE '\' AND name NOT LIKE '%_dels'`) {
			query(t, db, func(r *sql.Rows) {
				var localID, serverID, base, order, created, received int64
				var text string
				if err := r.Scan(&localID, &serverID, &base, &order, &created, &received, &text); err != nil {
					t.Fatal(err)
				}
				talker := users[table]
				sender := talker
				if prefix, rest, ok := strings.Cut(text, ":\n"); ok && strings.HasSuffix(talker, "@chatroom") && received == 1 && base < typeNotice {
					sender, text = prefix, rest
				}
				if received == 0 {
					sender = p.Name
				}
				emit(file, table, talker, sender, text, localID, serverID, base, order, created)
			}, `SELECT mesLocalID, mesSvrID, messageType, msgSeq, msgCreateTime, mesDes, msgContent FROM `+table)
		}
	}
	return out.Bytes()
}

// unpacked is the text of an LZ4 block.
func unpacked(t *testing.T, b []byte) string {
	t.Helper()
	out := make([]byte, 1<<20)
	n, err := lz4.UncompressBlock(b, out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(out[:n]), "\x00")
}

// extraText is the text of a kind in BytesExtra.
func extraText(b []byte, kind uint64) string {
	for len(b) > 0 {
		field, _, n := protowire.ConsumeTag(b)
		v, m := protowire.ConsumeBytes(b[n:])
		b = b[n+m:]
		if field != 3 {
			continue
		}
		_, _, n = protowire.ConsumeTag(v)
		got, m := protowire.ConsumeVarint(v[n:])
		_, _, k := protowire.ConsumeTag(v[n+m:])
		if text, _ := protowire.ConsumeBytes(v[n+m+k:]); got == kind {
			return string(text)
		}
	}
	return ""
}

func query(t *testing.T, db *writer.DB, fn func(*sql.Rows), q string) {
	t.Helper()
	rows, err := db.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		fn(rows)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// Promise: also of the 3.x generations the oracle tells exactly what is in the databases,
// and a second run goes on where the first one stopped.
func TestOracleTellsOlderGenerations(t *testing.T) {
	for _, g := range []account.Generation{account.W3, account.M3} {
		t.Run(string(g), func(t *testing.T) {
			dir := t.TempDir()
			p := account.Place{Root: dir, Name: "wxid_tide", Generation: g}
			for range 2 {
				c, done := older(t, dir, g)
				if _, err := c.Chat(context.Background(), lively(200)); err != nil {
					t.Fatal(err)
				}
				done()
			}
			f, err := os.Open(filepath.Join(dir, "oracle"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			rep, err := oracle.Compare(f, bytes.NewReader(olderRecords(t, p)), untold)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Faults) > 0 || rep.Undecided > 0 || rep.Messages != 400 || rep.Recalls == 0 || rep.LateNotice != rep.Recalls {
				rep.Summary(os.Stderr, 10)
				t.Fatalf("%+v", rep.Counts)
			}
		})
	}
}

// untold: the readers here come when all is over, so nothing is told of what happened.
var untold = oracle.CompareOptions{LateStart: time.Now().Add(time.Hour), Verbose: true}

// Promise: whatever else happens to rows, tables and files, the oracle tells what is
// left, in every generation; every kind of change happens; a second run goes on.
func TestChanges(t *testing.T) {
	all, err := ParseChanges("all")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseChanges("delete=2"); err == nil {
		t.Error("a rate of 2 is a rate")
	}
	if _, err := ParseChanges("forget"); err == nil {
		t.Error("forget is a change")
	}
	for _, g := range []account.Generation{account.V4, account.W3, account.M3} {
		t.Run(string(g), func(t *testing.T) {
			dir := t.TempDir()
			p := account.Place{Root: dir, Name: "wxid_tide", Suffix: "1a2b", Generation: g}
			if g == account.V4 {
				dir = newDir(t)
				p.Root = dir
			}
			for range 2 {
				c, done := client(t, dir, g)
				o := lively(150)
				o.Recall, o.Changes = 0.05, all
				stats, err := c.Chat(context.Background(), o)
				if err != nil {
					t.Fatal(err)
				}
				for name := range all {
					if stats.Changes[name] == 0 {
						t.Errorf("no %s", name)
					}
				}
				done()
			}
			changes, _ := committed(t, dir)
			ops := map[string]int{}
			for _, c := range changes {
				ops[c.Op]++
			}
			for _, op := range []string{oracle.Delete, oracle.Clear, oracle.Vanish, oracle.Recreate, oracle.Status, oracle.Contact} {
				if ops[op] == 0 {
					t.Errorf("no %s in the oracle", op)
				}
			}
			b, err := os.ReadFile(filepath.Join(dir, "oracle"))
			if err != nil {
				t.Fatal(err)
			}
			wantRows(t, p, b)
		})
	}
}

// client opens an account of any generation.
func client(t *testing.T, dir string, g account.Generation) (*Client, func()) {
	t.Helper()
	if g != account.V4 {
		return older(t, dir, g)
	}
	c, acct, log, err := start(dir, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		if err := errors.Join(acct.Release(), log.Close()); err != nil {
			t.Error(err)
		}
	}
}

// wantRows compares the rows of an account with an oracle.
func wantRows(t *testing.T, p account.Place, truth []byte) {
	t.Helper()
	var got []byte
	if p.Generation == account.V4 {
		got = newerRecords(t, p.Root)
	} else {
		got = olderRecords(t, p)
	}
	rep, err := oracle.Compare(bytes.NewReader(truth), bytes.NewReader(got), untold)
	if err != nil {
		t.Fatal(err)
	}
	if faults := besidesPeople(rep); len(faults) > 0 {
		t.Fatalf("%d faults, the first %+v", len(faults), faults[0])
	}
}

// besidesPeople leaves out that these readers tell nothing of contacts and rooms.
func besidesPeople(rep *oracle.Report) (faults []oracle.Fault) {
	for _, f := range rep.Faults {
		if f.Kind != oracle.Missing || f.Field != "contact" && f.Field != "room" {
			faults = append(faults, f)
		}
	}
	return faults
}
