package content_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"testing"

	"tidemark/collector/simtest"
	"tidemark/collector/wechat/content"
)

// The simulator composes messages of every kind on its own reading of the reference; what
// it says a decoder must make of each, in every generation, is what is made of it.
func TestSimulator(t *testing.T) {
	binary := simtest.Binary(t)
	for _, generation := range simtest.Generations {
		for seed := range 5 {
			lines, err := exec.Command(binary, "kinds", "--generation", string(generation), "--seed", fmt.Sprint(seed)).Output()
			if err != nil {
				t.Fatalf("%s: %v", generation, err)
			}
			for line := range bytes.Lines(lines) {
				var it struct {
					Name, Type, Content, Source, Display, Transcript, Text, Recalls string
					Base, Sub                                                       int64
					QuoteOf                                                         string `json:"quote_of"`
					Packed                                                          []byte
					Mentions                                                        []string
					Expect                                                          map[string]any
				}
				if err := json.Unmarshal(line, &it); err != nil {
					t.Fatal(err)
				}
				if generation != simtest.M3 { // the others have it in a packed column, or nowhere
					it.Transcript = ""
				}
				out := decode(content.Input{
					Base: it.Base, Sub: it.Sub, Body: []byte(it.Content), Display: it.Display, Source: []byte(it.Source),
					Packed: it.Packed, Voice: it.Transcript,
				})
				bad := func(format string, args ...any) {
					t.Errorf("%s, seed %d, %s: %s; it says %s", generation, seed, it.Name, fmt.Sprintf(format, args...), said(t, out))
				}
				var got map[string]any
				if err := json.Unmarshal([]byte(said(t, out)), &got); err != nil {
					t.Fatal(err)
				}
				switch {
				case out.Unreadable != "":
					bad("unreadable")
				case it.Type != "" && out.Type != it.Type:
					bad("the type is not %s", it.Type)
				case it.Text != "" && (out.Text == nil || *out.Text != it.Text):
					bad("the text is not %q", it.Text)
				case len(it.Mentions) > 0 && !reflect.DeepEqual(out.Mentions, it.Mentions):
					bad("mentions are not %q", it.Mentions)
				case it.QuoteOf != "" && (out.Body == nil || out.Body.Quote == nil || out.Body.Quote.ServerID != it.QuoteOf):
					bad("it does not quote %s", it.QuoteOf)
				case it.Recalls != "" && (out.Body == nil || out.Body.Notice == nil || out.Body.Notice.ServerID != it.Recalls):
					bad("it does not recall %s", it.Recalls)
				}
				if at := lacks("", it.Expect, got); at != "" {
					bad("%s is not as expected %v", at, it.Expect)
				}
			}
		}
	}
}

// lacks is the path of a member of want that got has otherwise, "" for none.
func lacks(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok && len(want) > 0 {
			return at
		}
		for name, v := range want {
			if path := lacks(at+"."+name, v, have[name]); path != "" {
				return path
			}
		}
	case []any:
		have, _ := got.([]any)
		if len(have) != len(want) {
			return at
		}
		for i, v := range want {
			if path := lacks(fmt.Sprintf("%s[%d]", at, i), v, have[i]); path != "" {
				return path
			}
		}
	default:
		if !reflect.DeepEqual(want, got) {
			return at
		}
	}
	return ""
}
