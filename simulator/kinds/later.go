package kinds

import (
	"fmt"
	"maps"
	"strings"

	"tidemark/simulator/media"
)

// The changes that Later makes, by the names that Tidemark has for them.
const (
	ChangeFile    = "file"    // a file's transfer has ended
	ChangeStatus  = "status"  // money reached another state
	ChangeContent = "content" // a transcript was made
)

// Later is what the row of a message becomes, in place, when the client goes on with it:
// an upload ends, money is taken, a voice message is written down. change is "" for what
// stays as it is.
func Later(it Item) (later Item, change string) {
	later = it
	switch {
	case it.Name == "file/transferring":
		later.Content = strings.Replace(it.Content, "<type>74</type>", "<type>6</type>", 1)
		if it.Sub != 0 {
			later.Sub = 6
		}
		later.Expect = with(it.Expect, "file", "transferring", false)
		return later, ChangeFile
	case it.Type == "transfer" && it.Expect["transfer"].(map[string]any)["code"] == int64(1):
		later.Content = strings.Replace(it.Content, "<paysubtype>1</paysubtype>", "<paysubtype>3</paysubtype>", 1)
		later.Expect = with(it.Expect, "transfer", "code", int64(3), "state", "received")
		return later, ChangeStatus
	case it.Type == "voice" && it.Transcript == "" && it.Media[0].State == media.Captured && (it.Packed != nil || it.Media[0].OnDisk()):
		later.Transcript = fmt.Sprintf("第%d条语音:明天见", it.Time.Unix()%100)
		if it.Packed != nil {
			later.Packed = media.Packed{Transcript: later.Transcript}.Bytes()
		}
		later.Expect = with(it.Expect, "voice", "transcript", later.Transcript)
		return later, ChangeContent
	}
	return it, ""
}

// with is expect with other values in the body of a name.
func with(expect map[string]any, name string, values ...any) map[string]any {
	inner := maps.Clone(expect[name].(map[string]any))
	maps.Copy(inner, fields(values...))
	return map[string]any{name: inner}
}
