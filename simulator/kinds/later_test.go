package kinds

import (
	"reflect"
	"strings"
	"testing"

	"tidemark/simulator/media"
)

// Promise: what a message becomes keeps its place, its ids and the original's
// expectations, and says something else.
func TestLater(t *testing.T) {
	for _, g := range generations {
		changes := map[string]int{}
		for _, it := range All(env(g, 1)) {
			before := it
			later, change := Later(it)
			if !reflect.DeepEqual(it, before) {
				t.Errorf("%s %s: the message itself changed", g, it.Name)
			}
			if change == "" {
				if !reflect.DeepEqual(it, later) {
					t.Errorf("%s %s: changed without a name for it", g, it.Name)
				}
				continue
			}
			changes[change]++
			if later.ServerID != it.ServerID || later.Time != it.Time || later.Name != it.Name || reflect.DeepEqual(later.Expect, it.Expect) {
				t.Errorf("%s %s: another row, or nothing new", g, it.Name)
			}
			if later.Content == it.Content && later.Transcript == it.Transcript {
				t.Errorf("%s %s: the row is as before", g, it.Name)
			}
			if change == ChangeFile && (strings.Contains(later.Content, "<type>74</type>") || g != media.M3 && later.Sub != 6) {
				t.Errorf("%s: the upload has not ended", g)
			}
		}
		want := map[string]int{ChangeFile: 1, ChangeStatus: 1, ChangeContent: map[media.Generation]int{media.W3: 0, media.M3: 1, media.V4: 2}[g]}
		if g == media.W3 {
			delete(want, ChangeContent)
		}
		if !reflect.DeepEqual(changes, want) {
			t.Errorf("%s: %v, not %v", g, changes, want)
		}
	}
}
