package collector

import (
	"errors"
	"slices"
	"time"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// batch is what one snapshot gave: records and the changes of cursors that go with
// them. Nothing in it counts before the snapshot has proved valid.
type batch struct {
	at     time.Time // of capture
	mark   sqlcipher.Mark
	ndjson []byte
	count  int

	messages, revisions int
	before              before
	met                 map[meeting]struct{} // who has to do with them
	unknown             map[[2]int64]int64   // types of messages that this version does not know
	marked              map[string][]marked  // by cursor: messages without server ids, see firstKey

	items []*item // files that new messages have
	known []*item // of messages captured before, as their rows have it now

	tables    []*tableChange
	recreated []*table // tables whose ids went down; nothing else was read then

	history bool // too much for one snapshot: work says what there is
	work    []work
	rows    int64

	complete bool // everything was looked at
}

// tableChange is how a table's capture moves on.
type tableChange struct {
	table   *table
	cursor  int64
	rows    map[int64]*windowRow
	expired []int64   // ids that leave the window
	gone    []int64   // captured rows that are not there any more
	last    lastRow   // the greatest row met beyond the cursor
	missing []idRange // ids beyond the cursor that no row has
	lacks   []lack    // what of them is told
	present []int64   // ids before the cursor that were read as new: reader.all
	scanned int64     // rows looked at
	tallies map[tallyKey]*tally
	buckets map[bucketKey]bucket // what tallies make of the table's months
	first   int64                // id of the first of them
	met     []string             // records of the former database's rows among them
	ended   bool                 // the table was read to its end
	swept   time.Time            // when expired was made
	whole   bool                 // every captured row that is young enough was looked at, and its pages noted
}

// position is where the change leaves the table.
func (c *tableChange) position() position {
	p := position{max(c.table.cursor, c.cursor), c.table.last}
	if c.last.id > p.last.id {
		p.last = c.last
	}
	return p
}

// reader reads tables of one snapshot into a batch. It belongs to one goroutine.
type reader struct {
	s         *shard
	b         *batch
	notBefore int64
	oldest    int64 // rows sent before are past the window
	digests   digester
	columns   []string
	row       record.Row
	account   *record.Party
	client    *record.Client
	source    record.Source
	rec       record.Record
	device    string
	trace     bool // note the pages of rows: live passes only
	first     bool // the database was there before capture began and was never read to its end
	all       bool // take rows before the cursor for new ones: they are a hole's

	media         []record.Media                  // of the current row
	conversations map[string]*record.Conversation // met in rows; nil: out of scope
	lastMet       *record.Conversation
	lastTally     *tally // that of lastKey in lastChange
	lastChange    *tableChange
	lastKey       tallyKey
	sendersMet    map[*record.Sender]struct{}
}

func (s *shard) newReader(b *batch) *reader {
	return &reader{
		s: s, b: b, notBefore: s.a.c.notBefore(), oldest: b.at.Add(-windowAge).Unix(), digests: digester{secret: s.a.c.opts.Secret},
		account: s.a.party().Freeze(), client: s.a.client(), source: record.Source{File: s.file}, device: s.a.c.opts.Device.String(), trace: true, first: s.prior == "" && !s.appeared,
		conversations: map[string]*record.Conversation{}, sendersMet: map[*record.Sender]struct{}{},
	}
}

// table reads one table's work: captured rows to look at again, then new ones, in
// the order of ids, at most limit rows.
func (r *reader) table(v *sqlcipher.View, w work, limit int64) error {
	if err := r.s.same(v); err != nil {
		return err
	}
	change := &tableChange{table: w.table, cursor: w.cursor, rows: map[int64]*windowRow{}, whole: w.whole && r.trace}
	rows := &wechat.Rows{
		Schema: r.s.a.schema, Owner: r.s.a.id, Conversation: r.s.conversation(w.table), Names: r.s.names,
	}
	rows.Name = func(username string) string { return r.s.a.known.NameIn(rows.Conversation.ID, username) }
	r.source.Table = w.Name
	if !slices.Equal(r.columns, w.Columns) {
		r.columns, r.row = w.Columns, record.NewRow(w.Columns)
	}
	ranges := w.ranges
	if w.upTo > 0 {
		// New rows end on the page where the last captured ones stand: one search.
		if n := len(ranges); n > 0 && w.cursor-ranges[n-1].to <= 8 {
			ranges[n-1].to = w.upTo
		} else {
			ranges = append(ranges, idRange{w.cursor + 1, w.upTo})
		}
	}
	// Attached first: when a page turns out damaged, what came before it counts.
	r.b.tables = append(r.b.tables, change)
	return errors.Join(r.rows(v, w, change, rows, ranges, limit), r.s.settleTallies(change))
}

// rows reads the rows of the ranges, and what became of captured ones.
func (r *reader) rows(v *sqlcipher.View, w work, change *tableChange, rows *wechat.Rows, ranges []idRange, limit int64) error {
	if w.passed {
		return r.pass(v, w, change, limit)
	}
	for _, ids := range ranges {
		if err := r.span(v, w, change, rows, ids, limit); err != nil {
			r.gaps(change)
			return err
		}
	}
	change.expire(r.b.at)
	r.gaps(change)
	if f := r.s.former[w.Key]; f != nil && w.upTo > 0 && change.cursor >= w.upTo && !r.all {
		change.ended = true
		r.lost(w.table, f, change.met)
	}
	return r.deletions(v, change)
}

// pass counts the rows of a conversation that is out of scope and reads nothing else
// of them. Its captured rows are not looked at again.
func (r *reader) pass(v *sqlcipher.View, w work, change *tableChange, limit int64) error {
	for id := range w.window {
		change.expired = append(change.expired, id)
	}
	stmt, err := v.Prepare(w.SelectTimes())
	if err != nil {
		return err
	}
	defer stmt.Reset()
	for i, n := range []int64{w.cursor + 1, w.upTo, limit} {
		if err := stmt.BindInt64(i+1, n); err != nil {
			return err
		}
	}
	talker := r.s.talker(w.table)
	r.b.met = addMeeting(r.b.met, meeting{talker, metOutside})
	for stmt.Step() {
		change.scanned++
		change.cursor = max(change.cursor, stmt.ColumnInt64(0))
		change.last = lastRow{id: stmt.ColumnInt64(0), created: stmt.ColumnInt64(1)}
		r.tally(change, talker, stmt.ColumnInt64(1)).outside++
	}
	return stmt.Err()
}

func addMeeting(met map[meeting]struct{}, m meeting) map[meeting]struct{} {
	if met == nil {
		met = map[meeting]struct{}{}
	}
	met[m] = struct{}{}
	return met
}

// span reads the rows of one range of ids, at most limit, and finds out which of those
// that should be there are not.
func (r *reader) span(v *sqlcipher.View, w work, change *tableChange, rows *wechat.Rows, ids idRange, limit int64) error {
	stmt, err := v.Prepare(w.sql)
	if err != nil {
		return err
	}
	defer stmt.Reset()
	for i, n := range []int64{ids.from, ids.to, limit} {
		if err := stmt.BindInt64(i+1, n); err != nil {
			return err
		}
	}
	if r.trace {
		stop := v.Trace()
		defer stop()
	}
	next, read := ids.from, int64(0) // the first id of which nothing is known yet
	for stmt.Step() {
		read++
		wechat.ReadRow(stmt, r.row)
		id, row, err := r.message(w.table, change, rows)
		if err != nil {
			return err
		}
		if r.trace {
			r.place(v, w.table, row)
		}
		r.absent(w, change, idRange{next, id - 1})
		next = id + 1
		change.cursor = max(change.cursor, id)
		if r.all {
			change.present = append(change.present, id)
		}
		if change.scanned++; change.scanned == 1 {
			change.first = id
		}
	}
	if err := stmt.Err(); err != nil || read == limit {
		return err // what follows is another read's to tell
	}
	r.absent(w, change, idRange{next, ids.to})
	return nil
}

// absent takes in that a table has no row with these ids.
func (r *reader) absent(w work, change *tableChange, ids idRange) {
	if ids.from > ids.to || r.all {
		return
	}
	i, _ := slices.BinarySearch(w.ids, ids.from)
	for ; i < len(w.ids) && w.ids[i] <= ids.to; i++ {
		change.gone = append(change.gone, w.ids[i])
	}
	if ids.to > w.cursor {
		change.cursor = max(change.cursor, ids.to)
	}
	known := w.cursor
	if f := r.s.former[w.Key]; f != nil {
		known = max(known, f.cursor) // told when the former database was read
	}
	if ids.from = max(ids.from, known+1); ids.from <= ids.to {
		change.missing = append(change.missing, ids)
	}
}

// place notes where the current row stands: on its leaf, which an earlier row may have
// brought in, and on the pages that it overflows to.
func (r *reader) place(v *sqlcipher.View, t *table, row *windowRow) {
	pages, inner := v.Traced(), v.Inner()
	for _, p := range inner {
		r.s.watch.above(t, p)
	}
	if row == nil {
		return
	}
	row.pages = []uint32{v.Leaf()}
	for _, p := range pages {
		if p != 1 && p != row.pages[0] && !slices.Contains(inner, p) {
			row.pages = append(row.pages, p)
		}
	}
}

// meet notes who has to do with a captured message.
func (r *reader) meet(rec *record.Record) {
	if rec.Conversation != r.lastMet {
		r.lastMet = rec.Conversation
		r.b.met = addMeeting(r.b.met, meeting{rec.Conversation.ID, metConversation})
	}
	if rec.Sender == nil || rec.Conversation.Kind != "room" {
		return
	}
	if _, ok := r.sendersMet[rec.Sender]; !ok {
		r.sendersMet[rec.Sender] = struct{}{}
		r.b.met[meeting{rec.Sender.ID, metSender}] = struct{}{}
	}
}

// conversation is the one of a row that names its own, nil when it is out of scope.
func (r *reader) conversation(username string) *record.Conversation {
	c, met := r.conversations[username]
	if !met {
		if r.s.a.inScope(username) {
			c = r.s.a.conversation(username)
		}
		r.conversations[username] = c
	}
	return c
}

func (r *reader) append(rec *record.Record) {
	if take := r.s.a.c.decoded; take != nil {
		take(rec)
		return
	}
	r.b.ndjson = append(rec.AppendJSON(r.b.ndjson), '\n')
	r.b.count++
}

// expire drops rows that are past their age, now and then, and the oldest above the
// limit.
func (c *tableChange) expire(now time.Time) {
	size := len(c.table.window)
	for id := range c.rows {
		if c.table.window[id] == nil {
			size++
		}
	}
	if size <= windowMax && now.Sub(c.table.swept) < sweepEvery || len(c.rows) == 0 {
		return
	}
	c.swept = now
	oldest := now.Add(-windowAge).Unix()
	var least []int64
	for id, row := range c.table.window {
		if row.seen < oldest {
			c.expired = append(c.expired, id)
			size--
		} else {
			least = append(least, id)
		}
	}
	if size <= windowMax {
		return
	}
	for id := range c.rows {
		if c.table.window[id] == nil {
			least = append(least, id)
		}
	}
	slices.Sort(least)
	for _, id := range least[:size-windowMax] {
		delete(c.rows, id)
		c.expired = append(c.expired, id)
	}
}
