package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/simulator/oracle"
)

// Promise: whatever somebody said is one line that steers no terminal, as wide as
// columns says.
func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		why, in, out string
		columns      int
	}{
		{"plain", "hello", "hello", 5},
		{"Chinese is two columns a character", "好的,收到", "好的,收到", 9},
		{"lines are joined", "\n a\r\n\tb \n", "a b", 3},
		{"escape sequences end", "\x1b[2Jx\x07", "?[2Jx?", 6},
		{"C1 controls too", "\u009b31m", "?31m", 4},
		{"right-to-left overrides are dropped", "a\u202eb", "ab", 2},
		{"of a family the first", "👨‍👩‍👧‍👦!", "👨!", 3},
		{"no tone of skin", "👍🏽", "👍", 2},
		{"no variation selectors", "‼️", "‼", 1},
		{"combining marks", "e\u0301", "e", 1},
		{"what is not UTF-8", "a\xff", "a?", 2},
	} {
		if got := printable(c.in); got != c.out || columns(got) != c.columns {
			t.Errorf("%s: got %q of %d columns, want %q of %d", c.why, got, columns(got), c.out, c.columns)
		}
	}
}

// Promise: what is cut or padded has the width asked for, and halves no character.
func TestCut(t *testing.T) {
	const s = "a潮汐b👌c"
	for n := range columns(s) + 3 {
		if got := cut(s, n); columns(got) > n || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("cut to %d: %q", n, got)
		}
		if got := pad(s, n); columns(got) != n {
			t.Errorf("padded to %d: %q is %d wide", n, got, columns(got))
		}
	}
	if got := cut(s, columns(s)); got != s {
		t.Errorf("what fits was cut: %q", got)
	}
}

func someView() view {
	r := archiveRecord{Kind: "message", ID: "m_" + strings.Repeat("x", 26), Text: strings.Repeat("报价 ", 80),
		Conversation: party{"123@chatroom", "项目对接群"}, Sender: party{ID: "wxid_a"}}
	v := view{elapsed: 83 * time.Second, written: 12345, captured: 12345, archived: 12345, agent: "healthy", account: "current", delivery: "idle",
		delays: 100, logEntries: "12345", look: look{"bin", "/tmp/tidemark-demo-abcd"}, recall: &recall{original: r, revision: r, now: "你撤回了一条消息"}}
	for range recentMessages {
		v.last = append(v.last, r)
	}
	return v
}

// Promise: on a screen of any size there is no line too many, and the last says how to
// end; from 80 columns and 24 lines on, everything is there.
func TestScreenFits(t *testing.T) {
	for _, trouble := range []string{"", "run tidemark-archive records: exit status 1"} {
		v := someView()
		v.trouble = trouble
		for height := 1; height <= 60; height++ {
			for _, width := range []int{1, 20, 40, 79, 80, 119, 200} {
				ls := v.lines(width, height)
				if len(ls) > height {
					t.Fatalf("%d lines on a screen of %d", len(ls), height)
				}
				if last := ls[len(ls)-1]; len(last) == 0 || !strings.HasPrefix(last[0].text, "Ctrl-C") {
					t.Fatalf("%dx%d: the last line is %v", width, height, last)
				}
				s := screen{}
				for _, l := range ls {
					var b strings.Builder
					s.line(&b, l, width)
					if columns(b.String()) > width {
						t.Fatalf("%dx%d: %q is %d wide", width, height, b.String(), columns(b.String()))
					}
				}
				if height >= 24 && width >= 79 {
					shown := fmt.Sprint(ls)
					for _, want := range []string{"1:23", "12345 archived", "account current", "p50", "LAST MESSAGES", "报价", "你撤回了一条消息",
						"bin/tidemark status --config /tmp/tidemark-demo-abcd/tidemark.yaml", trouble} {
						if !strings.Contains(shown, want) {
							t.Errorf("%dx%d lacks %q", width, height, want)
						}
					}
				}
			}
		}
	}
}

// Promise: commands to copy are never cut: a folder with a long name becomes a variable.
func TestLongFolder(t *testing.T) {
	l := look{"bin", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/tidemark-demo-abcd"}
	for _, c := range l.commands(78) {
		if columns(c) > 78 {
			t.Errorf("%q does not fit", c)
		}
	}
}

func committed(op, id string, at time.Time) oracle.Committed {
	return oracle.Committed{Change: oracle.Change{Op: op, File: "f", Table: "t", LocalID: id, Conversation: "c", CreateTime: at.Unix()}, At: at}
}

func recordLine(t *testing.T, kind, id, of, change, local string, received time.Time) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"kind": kind, "id": id, "of": of, "change": change, "local_id": local, "text": "text of " + id,
		"conversation": map[string]string{"id": "c"}, "source": map[string]string{"file": "f", "table": "t"},
		"archive": map[string]any{"received_at": received}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// Promise: each message and each recall counts once, however often it is read and
// whichever side is read first; a recall counts as kept only beside its original; and
// what waits decides from when on records are asked for.
func TestTally(t *testing.T) {
	begin := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	tl := newTally()
	tl.ready = begin.Add(-time.Second)
	want := func(what string, found, kept, delays int) {
		t.Helper()
		if tl.found != found || tl.kept != kept || len(tl.delays) != delays {
			t.Errorf("%s: %d messages, %d recalls and %d delays, want %d, %d and %d", what, tl.found, tl.kept, len(tl.delays), found, kept, delays)
		}
	}
	read := func(lines ...string) {
		t.Helper()
		if err := tl.read(strings.NewReader(strings.Join(lines, ""))); err != nil {
			t.Fatal(err)
		}
	}
	one, two := recordLine(t, "message", "m_1", "", "", "1", begin.Add(30*time.Millisecond)), recordLine(t, "message", "m_2", "", "", "2", begin.Add(1070*time.Millisecond))
	taken := recordLine(t, "revision", "r_2", "m_2", "recall", "2", begin.Add(5*time.Second))

	read(one)
	want("a record before its commit", 0, 0, 0)
	tl.committed(committed(oracle.Insert, "1", begin))
	tl.committed(committed(oracle.Insert, "2", begin.Add(time.Second)))
	if since, waits := tl.waitsSince(); !waits || !since.Equal(begin) {
		t.Errorf("waits since %v, %t", since, waits)
	}
	read(one)
	read(one, one, two)
	want("read again and again", 2, 0, 2)
	if p50, p95 := quantiles(tl.delays); p50 != 30*time.Millisecond || p95 != 30*time.Millisecond {
		t.Errorf("delays %v, %v", p50, p95)
	}
	if _, waits := tl.waitsSince(); waits {
		t.Error("something waits")
	}
	tl.committed(committed(oracle.Recall, "2", begin.Add(4*time.Second)))
	read(taken)
	want("a recall without its original", 2, 0, 2)
	if _, waits := tl.waitsSince(); !waits {
		t.Error("a recall that is not kept does not wait")
	}
	read(one, two, taken)
	read(one, two, taken)
	want("a recall", 2, 1, 2)
	if r, ok := tl.nextRecall(); !ok || r.original.Text != "text of m_2" || r.revision.ID != "r_2" {
		t.Errorf("recall: %+v, %t", r, ok)
	}
}

// Promise: a follower gives every byte that is written before it is told to end, and
// then ends.
func TestFollower(t *testing.T) {
	name := filepath.Join(t.TempDir(), "grows")
	w, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(&follower{ctx: ctx, f: f})
		got <- string(b)
	}()
	var want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&want, "line %d\n", i)
		fmt.Fprintf(w, "line %d\n", i)
	}
	cancel()
	if g := <-got; g != want.String() {
		t.Errorf("%d bytes of %d", len(g), want.Len())
	}
}

// Promise: the sentence in place of a recalled message is shown alone, whichever of
// its two forms the client stored.
func TestNoticeOf(t *testing.T) {
	for _, content := range []string{"你撤回了一条消息",
		`<sysmsg type="revokemsg"><revokemsg><session>a</session><replacemsg><![CDATA[你撤回了一条消息]]></replacemsg></revokemsg></sysmsg>`} {
		if got := noticeOf(content); got != "你撤回了一条消息" {
			t.Errorf("%q", got)
		}
	}
}

// Promise: a message without text is shown by its type, never as an empty line.
func TestSays(t *testing.T) {
	for _, c := range []struct {
		r    archiveRecord
		want string
	}{
		{archiveRecord{Type: "text", Text: "hello"}, "hello"},
		{archiveRecord{Type: "image"}, "[image]"},
	} {
		if got := c.r.says(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}
