package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Promise: docs/status.schema.json describes what "tidemark status --json" prints, every
// member of the top, and the members of a reason, which scripts are built on.
func TestStatusSchema(t *testing.T) {
	raw, err := os.ReadFile("../docs/status.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("status.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("status.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for name, s := range map[string]*Status{"running": measured(), "not running": NotRunning(w.config, "test", ErrNotRunning), "unreadable": Unreadable("test", os.ErrInvalid)} {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var form struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]struct {
		typ        any
		properties map[string]any
	}{"status": {Status{}, form.Properties}, "reason": {Reason{}, form.Defs["reason"].Properties}} {
		n := 0
		for f := range reflect.TypeOf(x.typ).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			n++
			if x.properties[name] == nil {
				t.Errorf("%s lacks %s", what, name)
			}
		}
		if n != len(x.properties) {
			t.Errorf("%s has %d members and %d are described", what, n, len(x.properties))
		}
	}
}
