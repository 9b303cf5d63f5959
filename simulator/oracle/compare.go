package oracle

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"
	"unique"
)

// CompareOptions say what Compare may overlook. The zero value overlooks nothing.
type CompareOptions struct {
	LateStart time.Time     // capture began then: what was recalled before may be a notice only
	Grace     time.Duration // so may what was recalled this soon after its insert
	Account   string        // look at the records of this account only; "" means all
	Since     time.Time     // do not judge messages sent earlier
	Verbose   bool          // faults say what was said
}

// key names a message: within one account, nothing else has it.
type key struct{ conversation, file, table, localID string }

func (k key) fault(kind, field string) Fault {
	return Fault{Kind: kind, Conversation: k.conversation, File: k.file, Table: k.table, LocalID: k.localID, Field: field}
}

// truth is one message as the oracle tells it.
type truth struct {
	Change
	textSum    [sha256.Size]byte
	inserted   time.Time
	exact      bool // inserted is the time of the commit
	undecided  bool // it may or may not have been inserted
	recalled   time.Time
	recall     Change
	maybeTaken bool // an undecided recall
	maybeID    string
	found      *record // its message record
	revisions  []*record
}

type comparison struct {
	CompareOptions
	truths map[key]*truth
	byID   map[string]*truth
	rep    Report
	delays []time.Duration
}

// Compare holds an archive's records against an oracle. An error means that one of
// them could not be read; faults of the records are in the report.
func Compare(oracle, records io.Reader, o CompareOptions) (*Report, error) {
	c := &comparison{CompareOptions: o, truths: map[key]*truth{}, byID: map[string]*truth{}}
	if err := c.readOracle(oracle); err != nil {
		return nil, err
	}
	var revisions []*record
	err := readRecords(records, func(r *record) error {
		if c.Account != "" && r.Account.ID != c.Account {
			return nil
		}
		switch r.Kind {
		case "message":
			c.message(r)
		case "revision":
			revisions = append(revisions, r)
		case "deletion":
			if c.judged(r.SentAt) {
				c.fault(r.key().fault(Invented, "deletion"), r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range revisions { // a revision may stand before its original
		c.revision(r)
	}
	c.wholes()
	c.order()
	c.report()
	return &c.rep, nil
}

func (c *comparison) readOracle(r io.Reader) error {
	undecided, err := Read(r, func(ch Committed) error {
		k := ch.key()
		t := c.truths[k]
		if ch.Op == Insert {
			if t != nil {
				return fmt.Errorf("change %d inserts a message that is there", ch.N)
			}
			c.insert(k, &truth{Change: ch.Change, inserted: ch.At, exact: !ch.Recovered})
			return nil
		}
		if t == nil {
			return fmt.Errorf("change %d changes a message that is not there", ch.N)
		}
		switch ch.Op {
		case Recall:
			t.recalled, t.recall = ch.At, ch.Change
			t.recall.Text = ""
		case ServerID:
			t.ServerID = ch.ServerID
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.rep.Undecided = len(undecided)
	slices.SortFunc(undecided, func(a, b Change) int { return cmp.Compare(a.N, b.N) })
	for _, ch := range undecided {
		switch t := c.truths[ch.key()]; {
		case ch.Op == Insert:
			c.insert(ch.key(), &truth{Change: ch, undecided: true})
		case t == nil:
		case ch.Op == Recall:
			t.maybeTaken, t.recall = true, ch
		case ch.Op == ServerID:
			t.maybeID = ch.ServerID
		}
	}
	return nil
}

// insert keeps t, with a digest in place of what was said: there may be millions.
func (c *comparison) insert(k key, t *truth) {
	t.textSum = sha256.Sum256([]byte(t.Text))
	if !c.Verbose {
		t.Text = ""
	}
	c.truths[k] = t
}

// key returns the change's key, its strings shared among all keys.
func (ch *Change) key() key {
	ch.File = unique.Make(ch.File).Value()
	ch.Table = unique.Make(ch.Table).Value()
	ch.Conversation = unique.Make(ch.Conversation).Value()
	ch.Sender = unique.Make(ch.Sender).Value()
	return key{ch.Conversation, ch.File, ch.Table, ch.LocalID}
}

// judged reports whether a message sent at t is to be judged.
func (c *comparison) judged(t time.Time) bool {
	return c.Since.IsZero() || t.IsZero() || !t.Before(c.Since)
}

func (c *comparison) fault(f Fault, r *record) {
	if r != nil {
		f.Record = r.ID
	}
	c.rep.Faults = append(c.rep.Faults, f)
}

// differs notes that a field of r is not what was committed.
func (c *comparison) differs(k key, r *record, field, want, got string) {
	f := k.fault(Different, field)
	if c.Verbose {
		f.Want, f.Got = want, got
	}
	c.fault(f, r)
}

// message judges a message record against the message it is of.
func (c *comparison) message(r *record) {
	k := r.key()
	t := c.truths[k]
	if t == nil {
		if c.judged(r.SentAt) {
			c.fault(k.fault(Invented, ""), r)
		}
		return
	}
	if t.found != nil {
		c.fault(k.fault(Doubled, ""), r)
		return
	}
	t.found = r
	c.byID[r.ID] = t
	if got := r.SentAt.Unix(); got != t.CreateTime {
		c.differs(k, r, "sent_at", time.Unix(t.CreateTime, 0).UTC().Format(time.RFC3339), r.SentAt.Format(time.RFC3339))
	}
	if r.recalled() && !isNotice(t.Type) {
		c.notice(k, t, r)
		return
	}
	if sha256.Sum256([]byte(r.Text)) != t.textSum {
		c.differs(k, r, "text", t.Text, r.Text)
	}
	if r.Sender.ID != t.Sender {
		c.differs(k, r, "sender.id", t.Sender, r.Sender.ID)
	}
	if r.Sender.Self != t.Self {
		c.differs(k, r, "sender.self", fmt.Sprint(t.Self), fmt.Sprint(r.Sender.Self))
	}
	if r.Native.Type != t.Type&0xffffffff {
		c.differs(k, r, "native.type", fmt.Sprint(t.Type), fmt.Sprint(r.Native.Type))
	}
	if t.Type == 1 && r.Type != "text" {
		c.differs(k, r, "type", "text", r.Type)
	}
	if t.exact && r.CapturedAt.After(t.inserted) && t.inserted.After(c.LateStart) {
		c.delays = append(c.delays, r.CapturedAt.Sub(t.inserted))
	}
}

// notice judges a message record that shows a recall only.
func (c *comparison) notice(k key, t *truth, r *record) {
	switch {
	case t.recalled.IsZero() && !t.maybeTaken:
		c.differs(k, r, "native.type", fmt.Sprint(t.Type), fmt.Sprint(r.Native.Type))
	case !t.recalled.IsZero() && (c.LateStart.After(t.recalled) || c.Grace > 0 && t.recalled.Sub(t.inserted) <= c.Grace):
		c.rep.LateNotice++
	default:
		c.fault(k.fault(OriginalLost, ""), r)
	}
}

// revision judges a later state of a message.
func (c *comparison) revision(r *record) {
	t := c.byID[r.Of]
	if t == nil {
		if c.judged(r.SentAt) {
			c.fault(r.key().fault(Unlinked, "of"), r)
		}
		return
	}
	c.rep.Revisions++
	k := t.key()
	if r.key() != k {
		c.differs(k, r, "of", t.found.ID, r.Of)
		return
	}
	t.revisions = append(t.revisions, r)
	if r.Change == "recall" || r.recalled() {
		if t.recalled.IsZero() && !t.maybeTaken {
			c.fault(k.fault(Invented, "recall"), r)
		} else if r.Native.Type != t.recall.Type&0xffffffff {
			c.differs(k, r, "native.type", fmt.Sprint(t.recall.Type), fmt.Sprint(r.Native.Type))
		}
		return
	}
	// Whatever else changed in the row, nobody edits what was said.
	if sha256.Sum256([]byte(r.Text)) != t.textSum {
		f := k.fault(Invented, "text")
		if c.Verbose {
			f.Want, f.Got = t.Text, r.Text
		}
		c.fault(f, r)
	}
}

// wholes judges what can be judged only when all records have been seen.
func (c *comparison) wholes() {
	for k, t := range c.truths {
		if t.undecided && t.found == nil || !c.judged(time.Unix(t.CreateTime, 0)) {
			continue
		}
		c.rep.Messages++
		if !t.recalled.IsZero() {
			c.rep.Recalls++
		}
		if t.found == nil {
			c.fault(k.fault(Missing, ""), nil)
			continue
		}
		c.rep.Records++
		c.serverID(k, t)
		if t.recalled.IsZero() || t.found.recalled() {
			continue
		}
		recalls := 0
		for _, r := range t.revisions {
			if r.Change == "recall" {
				recalls++
			}
		}
		switch {
		case recalls == 0:
			c.fault(k.fault(RecallMissing, ""), t.found)
		case recalls > 1:
			c.fault(k.fault(Doubled, "recall"), t.found)
		}
	}
}

// serverID judges the server id: it may come with a revision when the record is older.
func (c *comparison) serverID(k key, t *truth) {
	known := t.found
	for _, r := range t.revisions {
		if r.hasServerID() {
			if known.hasServerID() && known.ServerID != r.ServerID {
				c.differs(k, r, "server_id", known.ServerID, r.ServerID)
			}
			known = r
		}
	}
	got := known.ServerID
	if !known.hasServerID() {
		got = "0"
	}
	if got != t.ServerID && (t.maybeID == "" || got != t.maybeID) {
		c.differs(k, known, "server_id", t.ServerID, got)
	}
}

// order judges that sorting each conversation's records gives the oracle's order. Of
// a conversation in disorder the fewest records that explain it are named.
func (c *comparison) order() {
	byConversation := map[string][]*truth{}
	for _, t := range c.truths {
		if t.found != nil {
			byConversation[t.Conversation] = append(byConversation[t.Conversation], t)
		}
	}
	for _, ts := range byConversation {
		slices.SortFunc(ts, func(a, b *truth) int { return compareOrder(a.SortSeq, a.LocalID, b.SortSeq, b.LocalID) })
		rank := map[*truth]int{}
		for i, t := range ts {
			rank[t] = i
		}
		slices.SortStableFunc(ts, func(a, b *truth) int {
			return compareOrder(a.found.Order, a.LocalID, b.found.Order, b.LocalID)
		})
		ranks := make([]int, len(ts))
		for i, t := range ts {
			ranks[i] = rank[t]
		}
		inPlace := increasing(ranks)
		for i, t := range ts {
			_, isNumber := number(t.found.Order)
			if !inPlace[i] || !isNumber {
				c.fault(t.key().fault(OutOfOrder, "order"), t.found)
			}
		}
	}
}

func compareOrder(orderA, idA, orderB, idB string) int {
	oa, _ := number(orderA)
	ob, _ := number(orderB)
	ia, _ := number(idA)
	ib, _ := number(idB)
	return cmp.Or(cmp.Compare(oa, ob), cmp.Compare(ia, ib))
}

// increasing marks a longest increasing subsequence of distinct numbers.
func increasing(ns []int) []bool {
	var tails []int // tails[l] is the index of the least end of a subsequence of length l+1
	before := make([]int, len(ns))
	for i, n := range ns {
		l, _ := slices.BinarySearchFunc(tails, n, func(t, n int) int { return cmp.Compare(ns[t], n) })
		before[i] = -1
		if l > 0 {
			before[i] = tails[l-1]
		}
		if l == len(tails) {
			tails = append(tails, i)
		} else {
			tails[l] = i
		}
	}
	marked := make([]bool, len(ns))
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = before[i] {
			marked[i] = true
		}
	}
	return marked
}
