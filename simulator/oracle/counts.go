package oracle

import (
	"strconv"
	"strings"
	"time"
)

// counts is how many messages were inserted, by conversation, file and day, and what
// events say of it.
type counts struct {
	inserted map[countedDay]int64
	told     []*record
}

type countedDay struct {
	conversation, file, day string
}

func (c *counts) insert(ch *Change) {
	day := time.Unix(ch.CreateTime, 0).UTC().Format(time.DateOnly)
	c.inserted[countedDay{ch.Conversation, ch.File, day}]++
}

func (c *counts) record(r *record) {
	if r.Event == "counts" && r.Conversation.ID != "" && r.Detail["file"] != "" {
		c.told = append(c.told, r)
	}
}

// judgeCounts judges that no event counts more than there was, and that what was seen
// was sealed. It needs an oracle that knows every row.
func (c *comparison) judgeCounts() {
	if !c.Since.IsZero() {
		return
	}
	for _, r := range c.counts.told {
		fault := func(kind, field string) {
			c.fault(Fault{Kind: kind, Conversation: r.Conversation.ID, File: r.Detail["file"], Field: field}, r)
		}
		for part := range strings.SplitSeq(r.Detail["days"], "; ") {
			day, words, _ := strings.Cut(part, " ")
			n, ok := countWords(strings.Fields(words))
			if !ok {
				fault(Different, "counts.days")
				continue
			}
			total := c.counts.inserted[countedDay{r.Conversation.ID, r.Detail["file"], day}]
			seen, known := n["seen"]
			switch {
			case n["sealed"] > total:
				fault(Invented, "counts.sealed")
			case known && seen > total:
				fault(Invented, "counts.seen")
			case known && seen > n["sealed"]+n["skipped"]+n["out_of_scope"]:
				fault(Missing, "counts.sealed")
			}
		}
	}
}

// countWords reads "seen 12 sealed 12 skipped 1"; an unknown number is left out.
func countWords(words []string) (map[string]int64, bool) {
	n := map[string]int64{}
	for i := 0; i+1 < len(words); i += 2 {
		if words[i+1] == "unknown" {
			continue
		}
		v, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil {
			return nil, false
		}
		n[words[i]] = v
	}
	return n, len(words) > 0 && len(words)%2 == 0
}
