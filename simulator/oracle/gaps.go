package oracle

import "time"

// gaps is what is said of rows that nobody could read.
type gaps struct {
	vanished []vanished
	told     []gap
}

type vanished struct {
	Change
	at time.Time
}

// gap is an event that names a range of rows.
type gap struct {
	file, table string
	from, to    int64
	record      *record
}

// record keeps an event when it is a gap of rows in a table.
func (g *gaps) record(r *record) {
	if r.Event != "gap" {
		return
	}
	from, fromOK := number(r.Detail["from"])
	to, toOK := number(r.Detail["to"])
	if fromOK && toOK && r.Detail["table"] != "" {
		g.told = append(g.told, gap{r.Detail["file"], r.Detail["table"], from, to, r})
	}
}

func (g *gap) covers(file, table string, from, to int64) bool {
	return g.file == file && g.table == table && g.from <= from && g.to >= to
}

// judgeGaps judges that all that vanished is named, and nothing else is.
func (c *comparison) judgeGaps() {
	justified := make([]bool, len(c.gaps.told))
	for _, v := range c.gaps.vanished {
		c.rep.Vanished++
		from, _ := number(v.LocalID)
		to, _ := number(v.Through)
		named := false
		for i := range c.gaps.told {
			if g := &c.gaps.told[i]; g.covers(v.File, v.Table, from, to) {
				named, justified[i] = true, true
			}
		}
		if !named && !c.LateStart.After(v.at) {
			c.fault(Fault{Kind: GapMissing, Conversation: v.Conversation, File: v.File, Table: v.Table, LocalID: v.LocalID}, nil)
		}
	}
	for _, t := range c.each() {
		if t.gone.IsZero() && !t.maybeGone {
			continue
		}
		id, _ := number(t.LocalID)
		for i := range c.gaps.told {
			if c.gaps.told[i].covers(t.File, t.Table, id, id) {
				justified[i] = true
			}
		}
	}
	for i, g := range c.gaps.told {
		if !justified[i] && len(c.gaps.vanished) > 0 {
			c.fault(Fault{Kind: Invented, File: g.file, Table: g.table, Field: "gap"}, g.record)
		}
	}
}
