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

	gone      time.Time // its row was deleted
	cleared   bool      // with its conversation
	emptied   time.Time // when its conversation was cleared, after it had gone alone
	last      bool      // it was what was left of its conversation, but for what had just come
	maybeGone bool      // an undecided deletion
	answered  bool      // the server id came later
	amended   *Change   // its row had another meaning later
	deletions []*record
	media     []*record // what became of its files
}

// place is where a conversation's rows are.
type place struct{ conversation, file, table string }

type comparison struct {
	CompareOptions
	truths   map[key][]*truth // one after the other when a table was made anew
	byPlace  map[place][]*truth
	byServer map[[2]string]*truth // by conversation and server id
	byID     map[string]*truth
	people   people
	gaps     gaps
	counts   counts
	again    map[string]bool // files in which the same messages may stand anew
	drifts   int             // in what the client was a newer one
	noticed  int             // events that say so
	rep      Report
	delays   []time.Duration
}

// Compare holds an archive's records against an oracle. An error means that one of
// them could not be read; faults of the records are in the report.
func Compare(oracle, records io.Reader, o CompareOptions) (*Report, error) {
	c := &comparison{CompareOptions: o, truths: map[key][]*truth{}, byPlace: map[place][]*truth{}, byServer: map[[2]string]*truth{},
		byID: map[string]*truth{}, people: newPeople(),
		counts: counts{inserted: map[countedDay]int64{}}, again: map[string]bool{}}
	if err := c.readOracle(oracle); err != nil {
		return nil, err
	}
	var later []*record
	err := readRecords(records, func(r *record) error {
		if c.Account != "" && r.Account.ID != c.Account {
			return nil
		}
		switch r.Kind {
		case "message":
			c.message(r)
		case "revision", "deletion", "media":
			if r.Kind != "media" || r.Of != "" { // the others are pieces of content
				later = append(later, r)
			}
		case "contact", "room":
			c.people.record(r)
		case "event":
			c.gaps.record(r)
			c.counts.record(r)
			if r.Event == "unfamiliar_client" {
				c.noticed++
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range later { // it may stand before its original
		t := c.byID[r.Of]
		switch {
		case t == nil && c.judged(r.SentAt):
			c.fault(r.key().fault(Unlinked, "of"), r)
		case t == nil:
		case r.Kind == "deletion":
			t.deletions = append(t.deletions, r)
		case r.Kind == "media":
			t.media = append(t.media, r)
		default:
			c.revision(t, r)
		}
	}
	c.wholes()
	c.judgeGaps()
	c.judgePeople()
	c.judgeCounts()
	if c.drifts > 0 && c.noticed == 0 {
		c.fault(Fault{Kind: DriftMissing}, nil)
	}
	c.order()
	c.report()
	return &c.rep, nil
}

func (c *comparison) readOracle(r io.Reader) error {
	undecided, err := Read(r, c.happened)
	if err != nil {
		return err
	}
	c.rep.Undecided = len(undecided)
	slices.SortFunc(undecided, func(a, b Change) int { return cmp.Compare(a.N, b.N) })
	for _, ch := range undecided {
		switch t := c.latest(ch.key()); {
		case ch.Op == Insert:
			c.insert(ch.key(), &truth{Change: ch, undecided: true})
		case ch.Op == Clear:
			for _, t := range c.byPlace[ch.place()] {
				t.maybeGone = true
			}
		case t == nil:
		case ch.Op == Recall:
			t.maybeTaken, t.recall = true, ch
		case ch.Op == ServerID:
			t.maybeID, t.answered = ch.ServerID, true
		case ch.Op == Amend:
			t.amended = &ch
		case ch.Op == Delete:
			t.maybeGone = true
		}
	}
	return nil
}

// happened takes in one committed change.
func (c *comparison) happened(ch Committed) error {
	k := ch.key()
	t := c.latest(k)
	switch ch.Op {
	case Insert:
		if t != nil && t.gone.IsZero() {
			return fmt.Errorf("change %d inserts a message that is there", ch.N)
		}
		c.insert(k, &truth{Change: ch.Change, inserted: ch.At, exact: !ch.Recovered})
		return nil
	case Migrate:
		if t != nil {
			return fmt.Errorf("change %d inserts a message that is there", ch.N)
		}
		first := c.byServer[[2]string{ch.Conversation, ch.ServerID}]
		if first == nil {
			return fmt.Errorf("change %d imports a message that was not there", ch.N)
		}
		c.truths[k] = append(c.truths[k], first) // the same message at another place
		c.again[ch.File] = true
		c.counts.insert(&ch.Change)
		return nil
	case Clear:
		for _, t := range c.byPlace[ch.place()] {
			if t.gone.IsZero() {
				t.gone, t.cleared = ch.At, true
			} else if t.emptied.IsZero() {
				t.emptied = ch.At
			}
		}
		return nil
	case Vanish:
		c.gaps.vanished = append(c.gaps.vanished, vanished{ch.Change, ch.At})
		return nil
	case Contact, Room:
		c.people.change(ch.Change)
		return nil
	case Drift:
		c.drifts++
		return nil
	case Recreate:
		c.again[ch.File] = true
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
		t.ServerID, t.answered = ch.ServerID, true
		c.byServer[[2]string{t.Conversation, t.ServerID}] = t
	case Amend:
		t.amended = &ch.Change
	case Delete:
		t.gone, t.last = ch.At, true
		for _, o := range c.byPlace[ch.place()] {
			if o.gone.IsZero() && ch.At.Sub(o.inserted) > min(c.Grace, glance) {
				t.last = false
			}
		}
	}
	return nil
}

func (ch *Change) place() place {
	k := ch.key()
	return place{k.conversation, k.file, k.table}
}

// latest is what stands, or stood last, at a key.
func (c *comparison) latest(k key) *truth {
	if ts := c.truths[k]; len(ts) > 0 {
		return ts[len(ts)-1]
	}
	return nil
}

// match is the message that a record is of. Where several had the same key one after
// the other, server id, time and text tell them apart.
func (c *comparison) match(r *record) *truth {
	ts := c.truths[r.key()]
	if len(ts) == 0 {
		return nil
	}
	sum := sha256.Sum256([]byte(r.Text))
	best, bestScore := ts[0], -1
	for _, t := range ts {
		score := 0
		if r.hasServerID() && r.ServerID == t.ServerID {
			score += 4
		}
		if r.SentAt.Unix() == t.CreateTime {
			score += 2
		}
		if sum == t.textSum {
			score++
		}
		if score > bestScore {
			best, bestScore = t, score
		}
	}
	return best
}

// insert keeps t, with a digest in place of what was said: there may be millions.
func (c *comparison) insert(k key, t *truth) {
	t.textSum = sha256.Sum256([]byte(t.Text))
	if !c.Verbose {
		t.Text = ""
	}
	c.truths[k] = append(c.truths[k], t)
	c.counts.insert(&t.Change)
	p := place{k.conversation, k.file, k.table}
	c.byPlace[p] = append(c.byPlace[p], t)
	if t.ServerID != "0" {
		c.byServer[[2]string{t.Conversation, t.ServerID}] = t
	}
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
	t := c.match(r)
	if t == nil {
		if c.judged(r.SentAt) {
			c.fault(k.fault(Invented, ""), r)
		}
		return
	}
	if t.found != nil {
		if t.found.ID == r.ID && c.again[k.file] {
			c.rep.Again++ // the same record, of a row that stands anew
		} else {
			c.fault(k.fault(Doubled, ""), r)
		}
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
	if t.promisesText() && sha256.Sum256([]byte(r.Text)) != t.textSum {
		c.differs(k, r, "text", t.Text, r.Text)
	}
	if !isNotice(t.Type) { // who sends a line of the client's own is anybody's guess
		if r.Sender.ID != t.Sender {
			c.differs(k, r, "sender.id", t.Sender, r.Sender.ID)
		}
		if r.Sender.Self != t.Self {
			c.differs(k, r, "sender.self", fmt.Sprint(t.Self), fmt.Sprint(r.Sender.Self))
		}
	}
	if r.Native.Type != t.Type&0xffffffff {
		c.differs(k, r, "native.type", fmt.Sprint(t.Type), fmt.Sprint(r.Native.Type))
	}
	if sub := t.Type >> 32; sub != 0 && r.Native.Subtype != sub && (t.amended == nil || r.Native.Subtype != t.amended.Type>>32) {
		c.differs(k, r, "native.subtype", fmt.Sprint(sub), fmt.Sprint(r.Native.Subtype))
	}
	c.body(k, t, r)
	if t.exact && r.CapturedAt.After(t.inserted) && t.inserted.After(c.LateStart) {
		c.delays = append(c.delays, r.CapturedAt.Sub(t.inserted))
	}
}

// notice judges a message record that shows a recall only.
func (c *comparison) notice(k key, t *truth, r *record) {
	switch {
	case t.recalled.IsZero() && !t.maybeTaken:
		c.differs(k, r, "native.type", fmt.Sprint(t.Type), fmt.Sprint(r.Native.Type))
	case !t.recalled.IsZero() && c.excused(t, t.recalled):
		c.rep.LateNotice++
	default:
		c.fault(k.fault(OriginalLost, ""), r)
	}
}

// excused reports whether what happened to t then was too early or too soon to be seen.
func (c *comparison) excused(t *truth, then time.Time) bool {
	return c.LateStart.After(then) || c.Grace > 0 && then.Sub(t.inserted) <= c.Grace
}

// revision judges a later state of a message.
func (c *comparison) revision(t *truth, r *record) {
	c.rep.Revisions++
	k := t.key()
	if !slices.Contains(c.truths[r.key()], t) {
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
	if !t.answered && t.amended == nil && t.maybeID == "" {
		c.fault(k.fault(Invented, "revision"), r) // nothing happened to the message that means something
		return
	}
	if t.amended != nil && r.Change == t.amended.Change {
		c.expected(k, t.amended.Expect, r)
		return
	}
	// Whatever else changed in the row, nobody edits what was said.
	if t.promisesText() && sha256.Sum256([]byte(r.Text)) != t.textSum {
		f := k.fault(Invented, "text")
		if c.Verbose {
			f.Want, f.Got = t.Text, r.Text
		}
		c.fault(f, r)
	}
}

// wholes judges what can be judged only when all records have been seen.
func (c *comparison) wholes() {
	for _, t := range c.each() {
		if t.undecided && t.found == nil || !c.judged(time.Unix(t.CreateTime, 0)) {
			continue
		}
		k := t.key()
		c.rep.Messages++
		if !t.recalled.IsZero() {
			c.rep.Recalls++
		}
		if !t.gone.IsZero() {
			c.rep.Deletions++
		}
		if t.found == nil {
			if !t.gone.IsZero() && c.excused(t, t.gone) {
				c.rep.LateGone++
			} else if !t.maybeGone {
				c.fault(k.fault(Missing, ""), nil)
			}
			continue
		}
		c.rep.Records++
		c.serverID(k, t)
		c.amended(k, t)
		c.deleted(k, t)
		c.files(k, t)
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

// each is every message, each once.
func (c *comparison) each() []*truth {
	var all []*truth
	for _, ts := range c.byPlace {
		all = append(all, ts...)
	}
	return all
}

// glance is how long whoever watches may take to look again, where there is grace.
const glance = 5 * time.Second

// deleted judges what is said of a message's going away.
func (c *comparison) deleted(k key, t *truth) {
	switch {
	case t.gone.IsZero() && !t.maybeGone && len(t.deletions) > 0:
		c.fault(k.fault(Invented, "deletion"), t.deletions[0])
	case !t.gone.IsZero() && len(t.deletions) == 0:
		c.fault(k.fault(DeletionMissing, ""), t.found)
	case len(t.deletions) > 1:
		c.fault(k.fault(Doubled, "deletion"), t.deletions[1])
	case len(t.deletions) == 1 && !t.gone.IsZero():
		want := "deleted"
		if t.cleared {
			want = "cleared"
		}
		got := t.deletions[0].Change
		// Whoever finds nothing left, or looks only after both, cannot tell these apart.
		alike := t.last || !t.emptied.IsZero() && t.emptied.Sub(t.gone) <= c.Grace
		if got != want && !(got == "cleared" && alike) {
			c.differs(k, t.deletions[0], "change", want, got)
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
	for _, t := range c.each() {
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
