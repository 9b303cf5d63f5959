package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

var keys = writer.NewKeyring(writer.Key{1, 2, 3})

const testSeed = 7

// TestMain is also the writer that the kill test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SIMULATOR_TEST_CHAT_IN"); dir != "" {
		c, acct, log, err := start(dir, testSeed)
		if err == nil {
			_, err = c.Chat(context.Background(), lively(1_000_000))
		}
		fmt.Fprintln(os.Stderr, "the writer was not killed:", err, acct.Release(), log.Close())
		os.Exit(1)
	}
	template, err := os.MkdirTemp("", "simulator-chat-")
	if err == nil {
		err = newAccount(template)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv(templateVariable, template)
	code := m.Run()
	os.RemoveAll(template)
	os.Exit(code)
}

// templateVariable names the folder of an account in which nothing has been said.
// Tests begin with a copy: creating one takes fourteen key derivations.
const templateVariable = "SIMULATOR_TEST_TEMPLATE"

func newAccount(dir string) error {
	_, acct, log, err := start(dir, testSeed)
	if err != nil {
		return err
	}
	return errors.Join(acct.Release(), log.Close())
}

// newDir is a folder with a new account.
func newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(os.Getenv(templateVariable))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start opens the account in dir as the command line does.
func start(dir string, seed uint64) (*Client, *account.Account, *oracle.Log, error) {
	log, undecided, err := oracle.Open(filepath.Join(dir, "oracle"))
	if err != nil {
		return nil, nil, nil, err
	}
	acct, err := account.Open(place(dir), account.Options{
		Keys: keys, Writer: writer.Options{Mode: writer.Client, After: 20 * time.Millisecond},
		Populate: func() ([]account.Person, []account.Room) {
			return account.Population(People(seed), "wxid_tide", 6, 3)
		},
	})
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := New(acct, log, undecided)
	return c, acct, log, err
}

func place(dir string) account.Place {
	return account.Place{Root: dir, Name: "wxid_tide", Suffix: "1a2b"}
}

// lively has plenty of everything that happens after a message.
func lively(count int) ChatOptions {
	return ChatOptions{Seed: testSeed, Count: count, Recall: 0.2, RecallAfter: 30 * time.Millisecond, Compress: 0.6}
}

// chatIn chats in dir and closes everything.
func chatIn(t *testing.T, dir string, o ChatOptions) Stats {
	t.Helper()
	c, acct, log, err := start(dir, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := c.Chat(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := acct.Release(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return stats
}

// committed reads an oracle.
func committed(t *testing.T, dir string) (changes []oracle.Committed, undecided []oracle.Change) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "oracle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	undecided, err = oracle.Read(f, func(c oracle.Committed) error { changes = append(changes, c); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return changes, undecided
}

// database opens a copy of one of the account's databases and checks all of it.
func database(t *testing.T, dir, rel string) *writer.DB {
	t.Helper()
	return copyOf(t, place(dir), rel, writer.Cipher4)
}

func copyOf(t *testing.T, p account.Place, rel string, cipher writer.Cipher) *writer.DB {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(p.Path(rel) + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := writer.Open(to, keys, writer.Options{Mode: writer.Never, Cipher: cipher})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Release() })
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("%s: integrity check: %q, %v", rel, verdict, err)
	}
	return db
}

func strs(t *testing.T, db *writer.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// records is a reader of its own: it knows the schema only, and makes records of the
// rows as they stand in the database.
func records(t *testing.T, db *writer.DB, file string) []byte {
	t.Helper()
	usernames := strs(t, db, `SELECT user_name FROM Name2Id`)
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	kindOf := func(localType int64) string {
		if localType == typeText {
			return "text"
		}
		return ""
	}
	for _, table := range strs(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'Msg\_%' ESCAPE '\'`) {
		i := slices.IndexFunc(usernames, func(u string) bool { return account.Table(u) == table })
		if i < 0 {
			t.Fatalf("table %s belongs to nobody in Name2Id", table)
		}
		rows, err := db.Query(`SELECT local_id, server_id, local_type, sort_seq, user_name, create_time, message_content,
			coalesce(WCDB_CT_message_content, 0) FROM ` + table + ` JOIN Name2Id n ON n.rowid = real_sender_id`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var localID, serverID, localType, sortSeq, created, mark int64
			var sender string
			var content []byte
			if err := rows.Scan(&localID, &serverID, &localType, &sortSeq, &sender, &created, &content, &mark); err != nil {
				t.Fatal(err)
			}
			if mark == 4 {
				if content, err = dec.DecodeAll(content, nil); err != nil {
					t.Fatalf("%s %d: marked as zstd: %v", table, localID, err)
				}
			}
			self := sender == "wxid_tide"
			text := string(content)
			if prefix := sender + ":\n"; strings.HasSuffix(usernames[i], "@chatroom") && !self && localType&baseMask < typeNotice {
				if !strings.HasPrefix(text, prefix) {
					t.Fatalf("%s %d: a room's row from another has no sender in front", table, localID)
				}
				text = strings.TrimPrefix(text, prefix)
			}
			id := fmt.Sprintf("m_%s_%d", table, localID)
			enc.Encode(map[string]any{
				"kind": "message", "id": id, "conversation": map[string]any{"id": usernames[i]},
				"sender": map[string]any{"id": sender, "self": self}, "sent_at": time.Unix(created, 0).UTC(),
				"server_id": strconv.FormatInt(serverID, 10), "local_id": strconv.FormatInt(localID, 10), "order": strconv.FormatInt(sortSeq, 10),
				"type": kindOf(localType), "text": text, "native": map[string]any{"type": localType & baseMask, "subtype": localType >> 32},
				"source": map[string]any{"file": file, "table": table},
			})
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return out.Bytes()
}

// newerRecords are those of all shards of a 4.x account.
func newerRecords(t *testing.T, dir string) []byte {
	t.Helper()
	var all [][]byte
	for n := 0; ; n++ {
		file := fmt.Sprintf("message/message_%d.db", n)
		if _, err := os.Stat(place(dir).Path(file)); err != nil {
			return bytes.Join(all, nil)
		}
		all = append(all, records(t, database(t, dir, file), file))
	}
}

// wantTold compares the database with the oracle. What was recalled is known as a
// notice only, for this reader comes when all is over.
func wantTold(t *testing.T, dir string) *oracle.Report {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "oracle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rep, err := oracle.Compare(f, bytes.NewReader(newerRecords(t, dir)),
		oracle.CompareOptions{LateStart: time.Now().Add(time.Hour), Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(besidesPeople(rep)) > 0 || rep.Undecided > 0 {
		rep.Summary(os.Stderr, 10)
		t.Fatal("the oracle does not tell what is in the database")
	}
	return rep
}

// Promise: the oracle tells exactly what is in the database: inserts, recalls that
// rewrote the row in place, server ids that came later, rows compressed at once.
func TestOracleTellsDatabase(t *testing.T) {
	dir := newDir(t)
	stats := chatIn(t, dir, lively(400))
	rep := wantTold(t, dir)
	if rep.Messages != 400 || stats.Messages != 400 {
		t.Errorf("messages: got %d and %d, want 400", rep.Messages, stats.Messages)
	}
	if rep.Recalls == 0 || rep.Recalls != stats.Recalls || rep.LateNotice != rep.Recalls {
		t.Errorf("recalls: %d in the oracle, %d done, %d rows became notices", rep.Recalls, stats.Recalls, rep.LateNotice)
	}
	if stats.ServerIDs == 0 {
		t.Error("no own message got its server id")
	}
	changes, _ := committed(t, dir)
	var last time.Time
	for _, c := range changes {
		if c.At.Before(last) {
			t.Fatalf("change %d was committed before change %d", c.N, c.N-1)
		}
		last = c.At
		if c.Op == oracle.Insert && c.Self != (c.ServerID == "0") {
			t.Errorf("change %d: self %t inserted with server id %s", c.N, c.Self, c.ServerID)
		}
	}
	db := database(t, dir, account.MessageFile)
	for _, c := range changes {
		if c.Op != oracle.Recall {
			continue
		}
		var content string
		if err := db.QueryRow(`SELECT message_content FROM `+c.Table+` WHERE local_id = ?`, c.LocalID).Scan(&content); err != nil || content != c.Text {
			t.Fatalf("recalled row: %q, %v; want the notice", content, err)
		}
		if c.Type == typeControl && !strings.Contains(content, "<newmsgid>"+c.ServerID+"</newmsgid>") {
			t.Errorf("recall XML does not name the server id")
		}
	}
}

// Promise: the background step compresses rows later, and they mean what they meant.
func TestBackgroundCompression(t *testing.T) {
	dir := newDir(t)
	c, acct, log, err := start(dir, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	sp := newSpeaker(generator(testSeed, streamTexts), acct.Name, c.convs, 0, 0)
	var said []*message
	for range 50 {
		m := sp.next()
		m.known = true
		m.stamp(time.Now().Unix())
		if err := c.say(m, nil); err != nil {
			t.Fatal(err)
		}
		said = append(said, m)
	}
	if err := c.takeBack(said[0], generator(1, 1)); err != nil {
		t.Fatal(err)
	}
	for _, m := range said { // the recalled one is left alone
		if err := c.compress(m); err != nil {
			t.Fatal(err)
		}
	}
	acct.Release()
	log.Close()
	if rep := wantTold(t, dir); rep.Messages != 50 || rep.Recalls != 1 {
		t.Errorf("got %+v", rep)
	}
	changes, _ := committed(t, dir)
	recompressed := 0
	for _, ch := range changes {
		if ch.Op == oracle.Recompress {
			recompressed++
		}
	}
	if recompressed != 49 {
		t.Errorf("recompressed: got %d, want 49", recompressed)
	}
	db := database(t, dir, account.MessageFile)
	if n := len(strs(t, db, `SELECT tableName FROM wcdb_builtin_compression_record WHERE rowid > 0`)); n == 0 {
		t.Error("no table is noted as compressed")
	}
}

// said is what the seed decides of a run.
func said(t *testing.T, dir string) []string {
	t.Helper()
	changes, _ := committed(t, dir)
	var all []string
	for _, c := range changes {
		if c.Op == oracle.Insert {
			all = append(all, strings.Join([]string{c.Conversation, c.Sender, c.Text, c.LocalID}, "\x00"))
		}
	}
	return all
}

// Promise: who says what where depends on the seed alone, at any pace, in chats and in
// history.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64, rate float64) []string {
		dir := newDir(t)
		c, acct, log, err := start(dir, seed)
		if err != nil {
			t.Fatal(err)
		}
		o := lively(60)
		o.Seed, o.Rate = seed, rate
		if _, err := c.Chat(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		acct.Release()
		log.Close()
		return said(t, dir)
	}
	fast, slow, other := run(1, 0), run(1, 2000), run(2, 0)
	if len(fast) != 60 || !slices.Equal(fast, slow) {
		t.Error("one seed said two things")
	}
	if slices.Equal(fast, other) {
		t.Error("two seeds said the same")
	}
	fill := func() []oracle.Committed {
		dir := newDir(t)
		c, acct, log, err := start(dir, 1)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Fill(FillOptions{Messages: 500, Seed: 1, Compress: 0.3, Until: time.Unix(1793500000, 0), Gap: time.Second, PerCommit: 200, Checkpoint: true})
		if err != nil {
			t.Fatal(err)
		}
		acct.Release()
		log.Close()
		wantTold(t, dir)
		changes, _ := committed(t, dir)
		for i := range changes {
			changes[i].At = time.Time{}
		}
		return changes
	}
	if a, b := fill(), fill(); len(a) != 500 || !reflect.DeepEqual(a, b) {
		t.Error("one seed made two histories")
	}
}

// Promise: a writer killed at any moment leaves a database and an oracle that, after the
// next start, tell the same story; nothing is told twice, and ids go on.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	dir := newDir(t)
	path := filepath.Join(dir, "oracle")
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SIMULATOR_TEST_CHAT_IN="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The oracle's length says how far it has got; the kill falls where it falls.
		before := int64(0)
		if fi, err := os.Stat(path); err == nil {
			before = fi.Size()
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if fi, err := os.Stat(path); err == nil && fi.Size() > before+int64(50_000*(round+1)) {
				break
			}
			if time.Now().After(deadline) {
				cmd.Process.Kill()
				cmd.Wait()
				t.Fatal("the writer does not write")
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	before := len(said(t, dir))
	stats := chatIn(t, dir, lively(50))
	rep := wantTold(t, dir)
	if before < 100 || rep.Messages < before+stats.Messages {
		t.Errorf("messages: %d before the last start, %d said after it, %d in all", before, stats.Messages, rep.Messages)
	}
}

// Promise: at the next start an undecided change is settled by what the database shows,
// whether the writer died before COMMIT or after it, for each kind of change.
func TestSettle(t *testing.T) {
	dir := newDir(t)
	chatIn(t, dir, lively(150))
	path := filepath.Join(dir, "oracle")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// After COMMIT: the last change of each kind loses its outcome, as if the process
	// had died before the line was written.
	changes, _ := committed(t, dir)
	wantCommit := map[int64]string{}
	for _, op := range []string{oracle.Insert, oracle.Recall, oracle.ServerID} {
		for _, c := range slices.Backward(changes) {
			recalled := slices.ContainsFunc(changes, func(o oracle.Committed) bool {
				return o.Op == oracle.Recall && o.Table == c.Table && o.LocalID == c.LocalID
			})
			if c.Op == op && (op == oracle.Recall || !recalled) {
				wantCommit[c.N] = op
				break
			}
		}
	}
	if len(wantCommit) != 3 {
		t.Fatalf("the run has only %d kinds of change", len(wantCommit))
	}
	var kept []string
	for _, l := range strings.SplitAfter(string(b), "\n") {
		var ln struct {
			Op string
			N  int64
		}
		json.Unmarshal([]byte(l), &ln)
		if _, drop := wantCommit[ln.N]; !drop || ln.Op != "commit" {
			kept = append(kept, l)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	// Before COMMIT: begun, and never in the database.
	log, undecided, err := oracle.Open(path)
	if err != nil || len(undecided) != 3 {
		t.Fatalf("%d undecided, %v", len(undecided), err)
	}
	alive := changes[slices.IndexFunc(changes, func(c oracle.Committed) bool { return c.Op == oracle.Insert && !c.Self })].Change
	never := []oracle.Change{alive, alive, alive, alive, alive}
	never[0].Op, never[0].LocalID = oracle.Insert, "999999"
	never[1].Op, never[1].SortSeq = oracle.Insert, "1" // the number is another message's by now
	never[2].Op, never[2].Type = oracle.Recall, 10099
	never[3].Op, never[3].ServerID = oracle.ServerID, "5"
	never[4].Op, never[4].Table = oracle.Insert, account.Table("nobody")
	first, err := log.Begin(never...)
	if err != nil {
		t.Fatal(err)
	}
	log.Close()

	_, acct, log, err := start(dir, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	acct.Release()
	log.Close()
	after, left := committed(t, dir)
	if len(left) != 0 {
		t.Errorf("%d changes are still undecided", len(left))
	}
	for _, c := range after {
		if op, ok := wantCommit[c.N]; ok {
			if !c.Recovered {
				t.Errorf("%s: not marked as recovered", op)
			}
			delete(wantCommit, c.N)
		}
		if c.N >= first {
			t.Errorf("change %d is told, and never happened", c.N)
		}
	}
	if len(wantCommit) != 0 {
		t.Errorf("told as never happened: %v", wantCommit)
	}
	wantTold(t, dir)
}

// Promise: own messages that a killed client left without a server id get it after the
// next start.
func TestAdoptsUnanswered(t *testing.T) {
	dir := newDir(t)
	c, acct, log, err := start(dir, testSeed)
	if err != nil {
		t.Fatal(err)
	}
	sp := newSpeaker(generator(testSeed, streamTexts), acct.Name, c.convs, 1, 0)
	for n := 0; n < 5; {
		m := sp.next()
		m.known = !m.self
		m.stamp(time.Now().Unix())
		if err := c.say(m, nil); err != nil {
			t.Fatal(err)
		}
		if m.self {
			n++
		}
	}
	acct.Release()
	log.Close()
	o := lively(1)
	o.Recall = 0
	if stats := chatIn(t, dir, o); stats.ServerIDs < 5 {
		t.Errorf("server ids: got %d, want at least 5", stats.ServerIDs)
	}
	wantTold(t, dir)
}
