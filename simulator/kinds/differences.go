package kinds

import (
	"fmt"
	"slices"
)

// Differences names the members of Expect that record lacks or has otherwise: record is
// a record's JSON as encoding/json decodes it into a map, which leaves out what is false. Further members do not matter,
// lists must have the same length. Numbers are compared by value. It names members, never
// their text.
func Differences(expect, record map[string]any) []string {
	return differences("", expect, record)
}

func differences(at string, want, got any) []string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{at + " is absent"}
		}
		var out []string
		for name, v := range want {
			path := name
			if at != "" {
				path = at + "." + name
			}
			out = append(out, differences(path, v, have[name])...)
		}
		slices.Sort(out)
		return out
	case []any:
		have, _ := got.([]any)
		if len(have) != len(want) {
			return []string{fmt.Sprintf("%s has %d members, not %d", at, len(have), len(want))}
		}
		var out []string
		for i := range want {
			out = append(out, differences(fmt.Sprintf("%s[%d]", at, i), want[i], have[i])...)
		}
		return out
	}
	switch {
	case want == false && got == nil: // left out when it is not so
		return nil
	case got == nil:
		return []string{at + " is absent"}
	case number(want) != number(got) || number(want) == "" && want != got:
		return []string{at + " differs"}
	}
	return nil
}

// number is a number in one spelling, whether it comes from Go or from JSON.
func number(v any) string {
	switch v := v.(type) {
	case int64:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	return ""
}
