package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tidemark/record"
)

// What Derive reads of a record is what record.Parse reads.
func TestDeriveReadsTheRecord(t *testing.T) {
	line := message(7)
	row, err := Derive(line)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, row, line)
	if !bytes.Equal(row.JSON, line) {
		t.Error("the line is not kept as it was")
	}
}

// agree fails the test when the row says other than the parsed record.
func agree(t *testing.T, row Row, line []byte) {
	t.Helper()
	r, err := record.Parse(line)
	if err != nil {
		return // deeper than Derive looks
	}
	str := func(what, got, want string) {
		if got != want {
			t.Errorf("%s %q, the record says %q", what, got, want)
		}
	}
	str("id", row.ID, r.ID)
	str("kind", row.Kind, string(r.Kind))
	if r.Piece == nil {
		str("type", row.Type, r.Type)
		str("of", row.Of, r.Of)
	} else {
		str("type", row.Type, TypePiece)
		str("of", row.Of, r.Piece.SHA256)
	}
	if r.Account != nil {
		str("account", row.Account, r.Account.ID)
	}
	if r.Conversation != nil {
		str("conversation", row.Conversation, r.Conversation.ID)
	}
	if r.Sender != nil {
		str("sender", row.Sender, r.Sender.ID)
	}
	if (row.Text == nil) != (r.Text == nil) || row.Text != nil && *row.Text != *r.Text {
		t.Error("the text differs")
	}
	if row.CapturedAt != r.CapturedAt.UnixMilli() || row.SentAt != nil && *row.SentAt != r.SentAt.UnixMilli() {
		t.Error("a time differs")
	}
}

// The digest is the same for two captures of one message, by two laptops and two
// versions of the program, and differs as soon as anything that was said differs.
func TestDigest(t *testing.T) {
	line := string(message(7))
	base, err := Derive([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		same     bool
	}{
		{`"device":"d_aaaa`, `"device":"d_bbbb`, true},
		{`"captured_at":"2026`, `"captured_at":"2027`, true},
		{`"name":"Me"`, `"name":"You"`, true},
		{`,"name":"Me"`, ``, true},
		{`"name":"项目组"`, `"name":"x"`, true},
		{`"name":"张三"`, `"name":"{\"}"`, true},
		{`"message_content":"明`, `"message_content":"今`, true},
		{`"file":"message/message_0.db"`, `"file":"message/message_1.db"`, true},
		{`"local_id":"7"`, `"local_id":"8"`, true},
		{`,"local_id":"7"`, ``, true},
		{`"order":"17`, `"order":"18`, true},
		{`"os":"windows"`, `"os":"darwin"`, true},
		{`"decoder":"weixin4/1"`, `"decoder":"weixin4/2"`, true},
		{`"kind":"message","id":"m_`, `"kind":"revision","of":"m_x","change":"content","id":"r_`, false},
		{`"server_id":"7613`, `"server_id":"7614`, false},
		{`"conversation":{"id":"7@chatroom"`, `"conversation":{"id":"8@chatroom"`, false},
		{`"type":"text"`, `"type":"system"`, false},
		{`"native":{"type":1`, `"native":{"type":3`, false},
		{`"text":`, `"more":7,"text":`, false},
		{`"account":{"id":"wxid_me"`, `"account":{"id":"wxid_you"`, false},
		{`"sender":{"id":"wxid_7"`, `"sender":{"id":"wxid_8"`, false},
		{`"self":false`, `"self":true`, false},
		{`"sent_at":"2026`, `"sent_at":"2027`, false},
		{`"text":"明`, `"text":"今`, false},
		{`"text":`, `"media":[{"role":"original","state":"pending"}],"text":`, true},
	} {
		changed := strings.Replace(line, c.old, c.new, 1)
		if changed == line {
			t.Fatalf("%s is not in the record", c.old)
		}
		row, err := Derive([]byte(changed))
		if err != nil {
			t.Errorf("%s: %v", c.new, err)
		} else if (row.Digest == base.Digest) != c.same {
			t.Errorf("%s -> %s: same digest %t, want %t", c.old, c.new, !c.same, c.same)
		}
	}
}

// What is no record is said to be none, without its words in the error.
func TestDeriveRefuses(t *testing.T) {
	line := string(message(7))
	for name, bad := range map[string]string{
		"empty":                   "",
		"not JSON":                "SECRET",
		"an array":                "[]",
		"two values":              line + line,
		"cut short":               line[:len(line)-1],
		"another version":         strings.Replace(line, `"v":1`, `"v":2`, 1),
		"no version":              strings.Replace(line, `"v":1,`, ``, 1),
		"unknown kind":            strings.Replace(line, `"kind":"message"`, `"kind":"SECRET"`, 1),
		"an id of another kind":   strings.Replace(line, `"id":"m_`, `"id":"e_`, 1),
		"text of another type":    strings.Replace(line, `"text":"`, `"text":7,"x":"`, 1),
		"account of another type": strings.Replace(line, `"account":{`, `"account":"SECRET","x":{`, 1),
		"order not a number":      strings.Replace(line, `"order":"`, `"order":"SECRET`, 1),
		"time not a time":         strings.Replace(line, `"sent_at":"`, `"sent_at":"SECRET`, 1),
		"no capture time":         strings.Replace(line, `"captured_at":"`, `"x":"`, 1),
		"no account":              strings.Replace(line, `"account":{`, `"x":{`, 1),
		"the archive's member":    strings.Replace(line, `"v":1`, `"v":1,"archive":{}`, 1),
	} {
		_, err := Derive([]byte(bad))
		if !errors.Is(err, record.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error quotes content: %v", name, err)
		}
	}
}

// Every kind of record has a row, and a piece's is without its data.
func TestDeriveKinds(t *testing.T) {
	const head = `{"v":1,"device":"d_a","captured_at":"2026-11-23T08:00:00Z","account":{"id":"wxid_me"},`
	const id = `aaaaaaaaaaaaaaaaaaaaaaaaaa"`
	sum := strings.Repeat("0f", 32)
	piece := `"kind":"media","id":"f_` + id + `,"piece":{"sha256":"` + sum + `","size":9,"offset":4,"data":"aGVsbG8="}}`
	for _, c := range []struct{ line, typ, of, json string }{
		{`"kind":"contact","id":"c_` + id + `,"contact":{"id":"wxid_x"}}`, "", "", ""},
		{`"kind":"room","id":"g_` + id + `,"room":{"id":"1@chatroom"}}`, "", "", ""},
		{`"kind":"deletion","id":"x_` + id + `,"of":"m_1","change":"deleted"}`, "", "m_1", ""},
		{`"kind":"media","id":"f_` + id + `,"of":"m_1","media":[{"role":"original","state":"pending"}]}`, "", "m_1", ""},
		{piece, TypePiece, sum, strings.Replace(piece, `"data":"aGVsbG8="`, `"length":5`, 1)},
	} {
		row, err := Derive([]byte(head + c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		want := head + c.line
		if c.json != "" {
			want = head + c.json
		}
		if row.Type != c.typ || row.Of != c.of || string(row.JSON) != want {
			t.Errorf("type %q of %q\n%s", row.Type, row.Of, row.JSON)
		}
	}
	// A piece that does not lie in its content is none, and a message has no piece.
	for _, bad := range []string{
		strings.Replace(piece, `"offset":4`, `"offset":5`, 1), strings.Replace(piece, `"offset":4`, `"offset":-1`, 1),
		strings.Replace(piece, `aGVsbG8=`, `!`, 1), strings.Replace(piece, `aGVsbG8=`, ``, 1), strings.Replace(piece, sum, sum[1:]+"x", 1),
		strings.Replace(piece, `"piece"`, `"of":"m_1","piece"`, 1),
		strings.Replace(piece, `"kind":"media","id":"f_`, `"kind":"contact","contact":{"id":"x"},"id":"c_`, 1),
		`"kind":"media","id":"f_` + id + `,"of":"m_1","media":[]}`, `"kind":"media","id":"f_` + id + `,"of":"m_1","media":{}}`,
	} {
		if _, err := Derive([]byte(head + bad)); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Derive takes any bytes without harm, and what it reads is what the record says.
func FuzzDerive(f *testing.F) {
	f.Add(message(7))
	f.Add([]byte(`{"v":1,"kind":"event","id":"e_aaaaaaaaaaaaaaaaaaaaaaaaaa","event":"gap","severity":"info","device":"d","captured_at":"2026-11-23T08:00:00Z"}`))
	f.Add([]byte(`{"v":1,"kind":"media","id":"f_aaaaaaaaaaaaaaaaaaaaaaaaaa","device":"d","captured_at":"2026-11-23T08:00:00Z","account":{"id":"a"},"piece":{"sha256":"` + strings.Repeat("0f", 32) + `","size":5,"offset":0,"data":"aGVsbG8="}}`))
	f.Add([]byte(`{"a":{"b":[1,"\\\"",{}]},"c":null , "d":-1e9}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := Derive(line)
		if err != nil {
			return
		}
		// encoding/json takes names in any case, and the last of a name given twice,
		// part by part; such lines are legal and told from ours by nobody.
		if doubled(line) {
			return
		}
		agree(t, row, line)
	})
}

// doubled says whether any object of the line has a name twice, or one that is
// spelled with capitals or escapes.
func doubled(line []byte) bool {
	found := false
	var walk func(b []byte)
	walk = func(b []byte) {
		own := map[string]bool{}
		members(b, func(name string, value []byte) {
			var plain string
			if json.Unmarshal([]byte(`"`+name+`"`), &plain) != nil || plain != name || strings.ToLower(name) != name || own[name] {
				found = true
			}
			own[name] = true
			walk(value)
		})
	}
	walk(line)
	return found
}
