package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"tidemark/record"
)

var update = flag.Bool("update", false, "write the golden vectors anew; only for a new version of the format")

func str(s string) *string { return &s }

// The JSON form of a record of this version never changes: an archive of years ago
// must read the same.
func TestGolden(t *testing.T) {
	for name, r := range examples() {
		file := filepath.Join("testdata", "vectors", name+".json")
		got := append(r.AppendJSON(nil), '\n')
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		back, err := record.Parse(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := append(back.AppendJSON(nil), '\n'); !bytes.Equal(again, want) {
			t.Errorf("%s: read and written again it is\n%s", name, again)
		}
	}
}

// The published schema accepts every record this program writes and refuses what
// Validate refuses.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "docs", "record.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	for name, r := range examples() {
		if err := check(r.AppendJSON(nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for member, spoil := range map[string]func(*record.Record){
			"v":           func(r *record.Record) { r.V = 2 },
			"kind":        func(r *record.Record) { r.Kind = "rumour" },
			"id":          func(r *record.Record) { r.ID = "m_short" },
			"captured_at": func(r *record.Record) { r.CapturedAt = time.Time{} },
			"of":          func(r *record.Record) { r.Kind, r.Of, r.ID = record.KindRevision, "", "r_aaaaaaaaaaaaaaaaaaaaaaaaaa" },
			"severity": func(r *record.Record) {
				r.Kind, r.Severity, r.ID = record.KindEvent, "", "e_aaaaaaaaaaaaaaaaaaaaaaaaaa"
			},
			"source": func(r *record.Record) {
				r.Kind, r.Source, r.ID = record.KindMessage, nil, "m_aaaaaaaaaaaaaaaaaaaaaaaaaa"
			},
		} {
			bad := *r
			spoil(&bad)
			if err := bad.Validate(); err == nil {
				t.Errorf("%s: Validate accepts a wrong %s", name, member)
			}
			if member == "captured_at" {
				continue // AppendJSON writes the zero time, which is a time to a schema
			}
			if err := check(bad.AppendJSON(nil)); err == nil {
				t.Errorf("%s: the schema accepts a wrong %s", name, member)
			}
		}
	}
}

// Refusals reach logs, so they hold no word of what they refuse, whatever part of
// the line it stood in.
func TestErrorsQuoteNothing(t *testing.T) {
	const canary = "CANARY"
	good := string(examples()["message"].AppendJSON(nil))
	for name, change := range map[string][2]string{
		"not JSON":            {`{"v":1`, canary + `{"v":1`},
		"cut within a text":   {`second line\u2028third"`, canary},
		"an escape":           {`"text":"`, `"text":"\` + canary},
		"version a text":      {`"v":1`, `"v":"` + canary + `"`},
		"version of others":   {`"v":1`, `"v":77007`},
		"version too large":   {`"v":1`, `"v":7700777007770077700777007`},
		"kind":                {`"kind":"message"`, `"kind":"` + canary + `"`},
		"id":                  {`"id":"m_`, `"id":"` + canary},
		"a time":              {`"captured_at":"2026`, `"captured_at":"` + canary},
		"a number for a text": {`"text":"`, `"text":77007,"x":"`},
		"an object":           {`"sender":{`, `"sender":"` + canary + `","x":{`},
		"a type number":       {`"native":{"type":1`, `"native":{"type":"` + canary + `"`},
		"a fraction":          {`"native":{"type":1`, `"native":{"type":77007.5`},
		"a row":               {`"row":{`, `"row":"` + canary + `","x":{`},
		"a column":            {`"local_id":17`, `"` + canary + `":{"` + canary + `":"` + canary + `"}`},
		"a column's base64":   {`{"blob":"`, `{"blob":"*` + canary},
		"two lines":           {`{"v":1`, `{"` + canary + `":1} {"v":1`},
		"another value":       {"", good + `"` + canary + `"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if change[0] == "" {
			bad = change[1]
		}
		if bad == good {
			t.Fatalf("%s: %s is not in the record", name, change[0])
		}
		_, err := record.Parse([]byte(bad))
		if !errors.Is(err, record.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		} else if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "'C'") || // a byte is content too
			strings.Contains(err.Error(), "7007") {
			t.Errorf("%s: the error quotes the record: %v", name, err)
		}
	}
}

// Whatever a row or a text holds comes back from its JSON form bit for bit, and the
// form is a single line of valid JSON.
func TestRoundTrip(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) record.Value {
		switch class := record.Class(rapid.IntRange(0, 4).Draw(t, "class")); class {
		case record.Integer:
			return num(rapid.Int64().Draw(t, "int"))
		case record.Real:
			f := rapid.Float64().Draw(t, "real")
			if math.IsNaN(f) {
				f = 0
			}
			return record.Value{Class: class, Real: f}
		case record.Text, record.Blob:
			return record.Value{Class: class, Bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")}
		default:
			return record.Value{}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		r := examples()["message"]
		r.Text = str(rapid.String().Draw(t, "text"))
		r.Conversation.Name = rapid.String().Draw(t, "name")
		names := rapid.SliceOfDistinct(rapid.StringN(1, 20, -1), func(s string) string { return s }).Draw(t, "columns")
		r.Source.Row = record.NewRow(names)
		for i := range names {
			r.Source.Row[i].Value = value.Draw(t, "value")
		}
		line := r.AppendJSON(nil)
		if bytes.ContainsAny(line, "\n\r\u2028\u2029") || !json.Valid(line) {
			t.Fatalf("not one line of JSON: %s", line)
		}
		back, err := record.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if *back.Text != *r.Text || back.Conversation.Name != r.Conversation.Name || len(back.Source.Row) != len(r.Source.Row) {
			t.Fatalf("came back as %+v", back)
		}
		for i, c := range r.Source.Row {
			got := back.Source.Row[i]
			if got.Name != c.Name || got.Value.Class != c.Value.Class || got.Value.Int != c.Value.Int ||
				got.Value.Real != c.Value.Real || !bytes.Equal(got.Value.Bytes, c.Value.Bytes) {
				t.Fatalf("column %q came back as %+v, was %+v", c.Name, got.Value, c.Value)
			}
		}
	})
}

// Freezing a value and making rows with prepared names are about speed alone.
func TestFrozenIsTheSame(t *testing.T) {
	plain, frozen := examples()["message"], examples()["message"]
	frozen.Account.Freeze()
	frozen.Conversation.Freeze()
	frozen.Sender.Freeze()
	var names []string
	for _, c := range plain.Source.Row {
		names = append(names, c.Name)
	}
	row := record.NewRow(names)
	for i, c := range plain.Source.Row {
		row[i].Value = c.Value
	}
	frozen.Source.Row = row
	if a, b := plain.AppendJSON(nil), frozen.AppendJSON(nil); !bytes.Equal(a, b) {
		t.Errorf("frozen:\n%s\nplain:\n%s", b, a)
	}
}

// Ids depend on every field and on where one field ends and the next begins, and
// never change: the same message from another device is the same record.
func TestIDs(t *testing.T) {
	fixed := map[string]string{
		record.MessageID("wxid_me", "123@chatroom", "7613"):                      "m_3guywpqoqpudew25hqpwffr65u",
		record.LocalMessageID("wxid_me", "00ff", "Msg_x", "17", "1763884799"):    "m_bobslbrrcl5w7kzctaoovdk5nq",
		record.RevisionID("m_aaaaaaaaaaaaaaaaaaaaaaaaaa", "recall", "10000", ""): "r_clsgpie5axo3vlzymlzhwxfax4",
	}
	for got, want := range fixed {
		if got != want {
			t.Errorf("id is %s, was always %s", got, want)
		}
	}
	seen := map[string]string{}
	for _, f := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}, {"a", "b", "d"}} {
		id := record.MessageID(f[0], f[1], f[2])
		if was, ok := seen[id]; ok {
			t.Errorf("%q and %s have the same id", f, was)
		}
		seen[id] = fmt.Sprint(f)
	}
	if a, b := record.NewEventID(), record.NewEventID(); a == b || !strings.HasPrefix(a, "e_") {
		t.Errorf("event ids %s and %s", a, b)
	}
}

// Parsing bytes that nobody vouches for never panics, and what it accepts it writes
// in a form that it accepts as the same.
func FuzzParse(f *testing.F) {
	for _, r := range examples() {
		f.Add(r.AppendJSON(nil))
	}
	f.Add([]byte(`{"v":1,"kind":"event","id":"e_aaaaaaaaaaaaaaaaaaaaaaaaaa","event":"x","severity":"info","device":"d","captured_at":"2026-01-01T00:00:00Z","source":{"file":"f","row":{"a":{"int":"9223372036854775808"}}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := record.Parse(line)
		if err != nil {
			return
		}
		once := r.AppendJSON(nil)
		again, err := record.Parse(once)
		if err != nil {
			t.Fatalf("%v: %s", err, once)
		}
		if twice := again.AppendJSON(nil); !bytes.Equal(once, twice) {
			t.Fatalf("written twice it differs:\n%s\n%s", once, twice)
		}
		if !maps.Equal(r.Detail, again.Detail) { // none and an empty one are the same
			t.Fatal("details differ")
		}
	})
}
