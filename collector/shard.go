package collector

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// errDatabase marks an error that is the database's, and so a state, apart from one
// that is the spool's or the context's.
var errDatabase = errors.New("the database's error")

// Limits of a pass.
const (
	historyFrom = 4096           // more new rows than this are history, read by several goroutines
	windowAge   = 24 * time.Hour // how long after it was sent a captured row is looked at again
	windowMax   = 2048           // captured rows of one table that are looked at again
	sweepEvery  = 10 * time.Minute
)

// shard is one message database. It belongs to the goroutine of the pass; history
// lends its tables to workers, each table to one at a time.
type shard struct {
	*database
	a *account

	id         string             // names the database in cursors; "" until its salt is known
	identity   sqlcipher.Identity // of the file that id names
	shardID    string             // the salt in hex, for identities of messages without a server id
	prior      string             // the id of the database that was last read to its end here
	former     map[string]*former // of that one, when it was another, by table hash
	appeared   bool               // it was not there when capture began
	schema     int64
	loaded     bool // schema and tables are known
	tables     map[string]*table
	gone       []*table            // dropped with their conversations, whose days are still to be counted
	undecided  map[string]struct{} // tables that wait for their usernames to be told from what is out of scope
	unnumbered []*table            // of which sqlite_sequence says nothing
	sequences  wechat.Sequences
	watch      watch // where the rows stand that may still change
	names      wechat.Names
	namesPages []uint32 // where they stand
	digests    digester
	check      [4]byte
	odd        drift          // what is unfamiliar about the schema
	form       string         // the schema's fingerprint
	formKept   string         // as the spool has it
	holesTried time.Time      // when the holes of the tables were last read again
	holesMark  sqlcipher.Mark // and at which commit
}

// table is one table of messages.
type table struct {
	wechat.Table
	sql     string
	cursor  int64
	window  map[int64]*windowRow
	inner   map[uint32]struct{}    // pages above the rows' leaves, met so far
	swept   time.Time              // when rows past their age were last dropped from the window
	holes   []idRange              // rows before the cursor that damage kept from being read
	buckets map[bucketKey]bucket   // months in use
	dirty   map[bucketKey]struct{} // months of which some day is to be recorded
	kept    []keptDirty            // the same, from an earlier run, by hashes
	gone    bool                   // dropped, and its days not counted yet
	dropped bool                   // the database has it no longer, see tellDropped
	barred  bool                   // damage stands among captured rows: they are not looked at again until it heals
}

func newShard(a *account, d *database) *shard {
	s := &shard{database: d, a: a}
	s.digests.secret = a.c.opts.Secret
	s.check = s.digests.check()
	s.forget()
	return s
}

// forget drops what was known of the file: another one took its place.
func (s *shard) forget() {
	s.id, s.loaded, s.mark = "", false, sqlcipher.Mark{}
	s.tables, s.names, s.holesMark = map[string]*table{}, nil, sqlcipher.Mark{}
	s.sequences.Forget()
	s.prior, s.former = "", nil
	s.watch, s.gone, s.undecided = watch{}, nil, map[string]struct{}{}
}

// state is how the shard stands after a pass that had no error.
func (s *shard) state() State {
	switch {
	case s.damaged() > 0:
		return StateCorrupt
	case len(s.odd.what) > 0:
		return StateUnfamiliar
	}
	return StateCurrent
}

// pass reads what is new and commits it. An error that wraps errDatabase is the
// database's state; any other is the spool's or the context's.
func (s *shard) pass(ctx context.Context) error {
	changed, err := s.db.Changed(ctx, s.mark)
	if err != nil {
		return s.fault(ctx, err)
	}
	if changed {
		if err := s.readNew(ctx); err != nil {
			return err
		}
	}
	if s.damaged() > 0 {
		return s.fault(ctx, s.retryDamage(ctx))
	}
	return nil
}

// readNew reads what was committed since the last pass, and commits it.
func (s *shard) readNew(ctx context.Context) error {
	for {
		var b batch
		err := s.read(ctx, &b, nil)
		if err == nil {
			if err := s.tellDropped(ctx); err != nil {
				return err
			}
		}
		if err == nil && !b.history {
			return s.commit(ctx, &b)
		}
		if err == nil {
			if err = s.history(ctx, &b); err == nil {
				continue // the mark has not moved: what came meanwhile is due at once
			}
		}
		switch {
		case errors.Is(err, sqlcipher.ErrReplaced):
			if err := s.replaced(ctx); err != nil {
				return err
			}
		case damaged(err) && s.loaded:
			return s.isolate(ctx)
		default:
			return s.fault(ctx, err)
		}
	}
}

// fault tells the database's errors from the context's.
func (s *shard) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var c committed
	if errors.As(err, &c) {
		return c.error
	}
	return databaseError{err}
}

type databaseError struct{ error }

func (e databaseError) Unwrap() error        { return e.error }
func (e databaseError) Is(target error) bool { return target == errDatabase }

// committed wraps an error of the spool so that it is not taken for the database's.
type committed struct{ error }

// read takes one snapshot and reads into b what is new in it: in all tables, or in
// only alone.
func (s *shard) read(ctx context.Context, b *batch, only *table) error {
	return sqlcipher.Retry(ctx, attempts, func() error {
		*b = batch{at: s.a.c.now()}
		err := s.db.View(ctx, func(v *sqlcipher.View) error { return s.readView(ctx, v, b, only) })
		if errors.Is(err, sqlcipher.ErrMoved) {
			// What was learnt of schema and names may mix two states.
			s.loaded, s.names = false, nil
			s.sequences.Forget()
		}
		return err
	})
}

func (s *shard) readView(ctx context.Context, v *sqlcipher.View, b *batch, only *table) error {
	b.mark = v.Commit()
	if err := s.load(v); err != nil {
		return err
	}
	pages, known := v.ChangedSince(s.mark)
	if err := s.readNames(v, pages, known); err != nil {
		return err
	}
	work, rows, err := s.due(v, b, pages, known, only)
	if err != nil {
		return err
	}
	if len(b.recreated) > 0 {
		return nil
	}
	if err := s.resolve(ctx, work); err != nil {
		return err
	}
	if rows > historyFrom {
		b.history, b.work, b.rows = true, work, rows
		return nil
	}
	r := s.newReader(b)
	defer r.tellBefore()
	for _, w := range work {
		if err := r.table(v, w, math.MaxInt64); err != nil {
			return err
		}
	}
	if b.complete = only == nil; b.complete {
		r.lostTables()
	}
	return nil
}

// due finds what there is to read: tables that have grown, and captured rows that may
// have changed. Its cost is that of the change, not of the number of tables.
func (s *shard) due(v *sqlcipher.View, b *batch, pages map[uint32]struct{}, known bool, only *table) (due []work, rows int64, err error) {
	hits := s.watch.hits(s.tables, pages, known)
	candidates, last := map[string]*table{}, map[string]int64{}
	if only != nil {
		candidates[only.Name] = only
		if last[only.Name], err = only.greatest(v); err != nil {
			return nil, 0, err
		}
	} else if candidates, last, err = s.grown(v, pages, known); err != nil {
		return nil, 0, err
	}
	for t := range hits {
		if only == nil {
			candidates[t.Name] = t
		}
	}
	for name := range s.undecided {
		if t := s.tables[name]; t != nil && !t.dropped && candidates[name] == nil && (only == nil || only == t) {
			candidates[name] = t
			if last[name], err = t.greatest(v); err != nil {
				return nil, 0, err
			}
		}
	}
	for _, name := range sortedKeys(candidates) {
		t := candidates[name]
		delete(s.undecided, name)
		if t.dropped {
			continue
		}
		ids, hit := hits[t]
		w := t.plan(ids, hit, b.at)
		if !s.inScope(t) {
			if undecided(s.talker(t)) {
				s.undecided[name] = struct{}{}
				continue
			}
			w = work{table: t, passed: true}
		}
		last, numbered := last[name]
		if numbered && last < t.cursor && only == nil {
			b.recreated = append(b.recreated, t)
		}
		if last > t.cursor {
			w.upTo = last
			rows += last - t.cursor
		}
		if w.upTo > 0 || len(w.ranges) > 0 {
			due = append(due, w)
		}
	}
	return due, rows, nil
}

// grown gives the tables that may have got rows, and the greatest id each has had.
func (s *shard) grown(v *sqlcipher.View, pages map[uint32]struct{}, known bool) (map[string]*table, map[string]int64, error) {
	last, all, err := s.sequences.Read(v, pages, known)
	if err != nil {
		return nil, nil, err
	}
	if last == nil {
		last = map[string]int64{}
	}
	grown := map[string]*table{}
	for name := range last {
		if t := s.tables[name]; t != nil {
			grown[name] = t
		}
	}
	rest := s.unnumbered
	if all { // a table without a sequence has no row, unless a repair left it so
		rest = rest[:0:0]
		for name, t := range s.tables {
			if grown[name] == nil && !t.dropped {
				rest = append(rest, t)
			}
		}
	}
	for _, t := range rest {
		grown[t.Name] = t
		if last[t.Name], err = t.MaxID(v); err != nil {
			return nil, nil, err
		}
	}
	return grown, last, nil
}

// readNames reads the shard's usernames when a page of theirs was written: there may
// be thousands, and most commits add none.
func (s *shard) readNames(v *sqlcipher.View, pages map[uint32]struct{}, known bool) error {
	if s.names != nil && known && !slices.ContainsFunc(s.namesPages, func(p uint32) bool { _, hit := pages[p]; return hit }) {
		return nil
	}
	stop := v.Trace()
	names, err := s.a.schema.ReadNames(v)
	read := stop()
	if err != nil {
		return err
	}
	// Page 1 is in every trace and changes with the size of the file.
	s.namesPages = slices.DeleteFunc(read, func(p uint32) bool { return p == 1 })
	s.takeNames(names)
	return nil
}

// resolve looks for the usernames of tables that nobody met so far could name: somebody
// who was met since the pass began, or the list of conversations, may.
func (s *shard) resolve(ctx context.Context, all []work) error {
	if s.a.schema.PerRow {
		return nil
	}
	for _, w := range all {
		if _, ok := s.a.hashes[w.Key]; !ok {
			err := s.a.readPeople(ctx)
			if err == nil {
				err = s.a.readSessions(ctx)
			}
			if err != nil {
				return committed{err}
			}
			return nil
		}
	}
	return nil
}

// greatest is the greatest id that the table has had, by the sequence that numbers
// its rows, or by what is there when that does not tell.
func (t *table) greatest(v *sqlcipher.View) (int64, error) {
	last, numbered, err := wechat.Sequence(v, t.Name)
	if err != nil || numbered {
		return last, err
	}
	return t.MaxID(v)
}

// load learns the schema when it is new or changed, and restores cursors when the
// file is.
func (s *shard) load(v *sqlcipher.View) error {
	if err := s.same(v); err != nil {
		return err
	}
	version, err := wechat.SchemaVersion(v)
	if err != nil {
		return err
	}
	if s.loaded && version == s.schema {
		return nil
	}
	tables, err := s.a.schema.Tables(v)
	if err != nil {
		return err
	}
	s.names = nil // their table may be another now
	if s.id == "" {
		s.identity = v.Identity()
		s.shardID = hex.EncodeToString(s.identity.Salt[:])
		s.id = short(s.a.disc.Path, s.file, s.shardID)
		if err := s.succeed(); err != nil {
			s.id = ""
			return committed{err}
		}
	}
	dirty, err := s.restoreDirty()
	if err != nil {
		return committed{err}
	}
	odd := map[string]bool{}
	known := map[string]bool{}
	for _, t := range tables {
		for _, o := range t.Unfamiliar() {
			odd[o] = true
		}
		known[t.Name] = true
		if have := s.tables[t.Name]; have != nil {
			have.Table, have.sql, have.dropped = t, t.SelectRange(), false
			continue
		}
		if !t.Usable() {
			continue
		}
		restored, err := s.restore(t)
		if err != nil {
			return committed{err}
		}
		restored.kept = dirty[t.Key]
		s.gone = slices.DeleteFunc(s.gone, func(gone *table) bool { return gone.Key == t.Key }) // made anew
		s.tables[t.Name] = restored
		s.watch.restored(restored)
	}
	for name, t := range s.tables {
		if !known[name] {
			t.dropped = true // with its conversation, see tellDropped
		}
	}
	s.unnumbered = s.unnumbered[:0]
	for _, t := range s.tables {
		if !t.Numbered && !t.dropped {
			s.unnumbered = append(s.unnumbered, t)
		}
	}
	strange, notes, err := s.a.schema.Strange(v)
	if err != nil {
		return err
	}
	shapes, err := wechat.Shapes(v, false)
	if err != nil {
		return err
	}
	s.form = wechat.Fingerprint(shapes)
	s.odd = drift{append(sortedKeys(odd), strange...), append(notes, "fingerprint "+s.form)}
	s.schema, s.loaded = version, true
	return nil
}

// same reports a view of another file than the one whose cursors are loaded. The
// database says ErrReplaced to one reader only, which may have been another.
func (s *shard) same(v *sqlcipher.View) error {
	if s.id != "" && v.Identity() != s.identity {
		return fmt.Errorf("%s: %w", s.file, sqlcipher.ErrReplaced)
	}
	return nil
}

// restore reads a table's cursor and window from the spool.
func (s *shard) restore(t wechat.Table) (*table, error) {
	out := &table{Table: t, sql: t.SelectRange(), window: map[int64]*windowRow{}, inner: map[uint32]struct{}{}}
	b, err := s.a.c.opts.Spool.Cursor(tableKey(s.id, t.Key))
	if err != nil || b == nil {
		return out, err
	}
	if out.cursor, err = decodeID(b); err != nil {
		return nil, fmt.Errorf("cursor of %s: %w", s.file, err)
	}
	if out.holes, err = s.restoreHoles(t.Key); err != nil {
		return nil, err
	}
	prefix := "w/" + s.id + "/" + t.Key + "/"
	err = s.a.c.opts.Spool.Cursors(prefix, func(key string, value []byte) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 64)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		w, ours, err := decodeWindowRow(value, s.check)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", s.file, err)
		}
		if ours {
			out.window[int64(id)] = w
		}
		return nil
	})
	return out, err
}

// takeNames makes the shard's usernames known and settles the owner's username: the
// folder's whole name, when that stands here and the name without suffix does not.
func (s *shard) takeNames(names wechat.Names) {
	s.names = names
	alternative := s.a.disc.Alternative
	isID, isAlternative := false, false
	for _, u := range names {
		s.a.learn(u)
		isID, isAlternative = isID || u == s.a.disc.ID, isAlternative || u == alternative
	}
	if isAlternative && !isID && alternative != "" {
		s.a.id = alternative
	}
}

// talker is the username of a table's conversation, or what stands for it.
func (s *shard) talker(t *table) string {
	if username, ok := s.a.hashes[t.Key]; ok {
		return username
	}
	return wechat.UnresolvedPrefix + t.Key
}

// inScope says whether anything of a table may be.
func (s *shard) inScope(t *table) bool {
	return s.a.schema.PerRow || s.a.inScope(s.talker(t))
}

// conversation is one as records show it.
func (a *account) conversation(username string) *record.Conversation {
	c := &record.Conversation{ID: username, Kind: wechat.ConversationKind(username), Name: a.known.Name(username)}
	return c.Freeze()
}

// conversation is a table's, nil where rows have one each.
func (s *shard) conversation(t *table) *record.Conversation { return s.conversationOf(t, 0) }

// conversationOf is a table's or, where rows have one each, that of a name's id; nil
// when that is not known.
func (s *shard) conversationOf(t *table, talker int64) *record.Conversation {
	if !s.a.schema.PerRow {
		return s.a.conversation(s.talker(t))
	}
	if username := s.names[talker]; username != "" {
		return s.a.conversation(username)
	}
	return nil
}

// commit puts what was read into the spool together with its cursors, and makes it
// the state of memory once that is durable. The cursor and the records that it
// passes are one transaction of the spool: see spool.Append.
func (s *shard) commit(ctx context.Context, b *batch) error {
	if len(b.recreated) > 0 {
		return s.recreate(ctx, b)
	}
	cursors, err := s.cursors(b)
	settles := b.complete && s.prior != s.id
	if err == nil && settles {
		var last []spool.Cursor
		last, err = s.settle()
		cursors = append(cursors, last...)
	}
	if err != nil {
		return err
	}
	if b.count > 0 || len(b.tables) > 0 || settles {
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: b.ndjson, Count: b.count}, cursors...); err != nil {
			return err
		}
	}
	s.apply(b)
	if settles {
		s.prior, s.former = s.id, nil
	}
	s.mark = b.mark
	return nil
}

// cursors are a batch's changes of the collector's state.
func (s *shard) cursors(b *batch) ([]spool.Cursor, error) {
	out, err := s.markCursors(b)
	if err != nil {
		return nil, err
	}
	out = append(out, s.a.book.cursors(b.met)...)
	for _, it := range b.items {
		out = append(out, s.a.c.itemCursor(it))
	}
	for _, c := range b.tables {
		if c.cursor > c.table.cursor {
			out = append(out, spool.Cursor{Key: tableKey(s.id, c.table.Key), Value: encodeID(c.cursor)})
		}
		for id, row := range c.rows {
			if was := c.table.window[id]; was != nil && was.digest == row.digest && was.record == row.record {
				continue // only its pages are news, and they are memory's alone
			}
			out = append(out, spool.Cursor{Key: windowKey(s.id, c.table.Key, id), Value: row.encode(s.check)})
		}
		for _, id := range c.expired {
			out = append(out, spool.Cursor{Key: windowKey(s.id, c.table.Key, id)})
		}
		out = append(out, s.bucketCursors(c)...)
	}
	return out, nil
}

// apply brings memory up to a batch that is durable. History's workers call it for
// tables that are theirs alone, under the shard's counters' lock.
func (s *shard) apply(b *batch) {
	s.a.book.apply(b.met)
	for n, count := range b.unknown {
		s.a.unknown[n] += count
	}
	for _, c := range b.tables {
		c.table.cursor = max(c.table.cursor, c.cursor)
		c.applyBuckets()
		if !c.swept.IsZero() {
			c.table.swept = c.swept
		}
		for id, row := range c.rows {
			s.watch.set(c.table, id, row)
		}
		for _, id := range c.expired {
			s.watch.remove(c.table, id)
		}
		if c.whole {
			delete(s.watch.untraced, c.table)
		}
		if f := s.former[c.table.Key]; f != nil {
			for _, id := range c.met {
				f.met[f.rows[id].talker] = true
				delete(f.rows, id)
			}
			if c.ended {
				clear(f.rows)
			}
		}
	}
	s.a.c.attach.add(s.a.folder(), b.items)
	s.a.c.attach.refresh(s.a.folder(), b.known)
	s.a.messages += int64(b.messages)
	s.a.revisions += int64(b.revisions)
}

// replaced records that another database took the file's place, and begins anew.
func (s *shard) replaced(ctx context.Context) error {
	e := s.a.c.event(record.EventDatabaseReplaced, record.SeverityInfo)
	e.Account, e.Client = s.a.party(), s.a.client()
	e.Detail = map[string]string{"file": s.file}
	s.forget()
	return s.a.c.emit(ctx, []*record.Record{e})
}

// recreate handles tables whose greatest id went down: they were made anew, as after
// a conversation was cleared. They are read from their beginning, and what may have
// vanished in between is a record.
func (s *shard) recreate(ctx context.Context, b *batch) error {
	for _, t := range b.recreated {
		e := s.a.c.event(record.EventDatabaseRecreated, record.SeverityDegraded)
		e.Account, e.Client, e.Conversation = s.a.party(), s.a.client(), s.conversation(t)
		e.Detail = map[string]string{"file": s.file, "table": t.Name, "captured_to": strconv.FormatInt(t.cursor, 10)}
		gone := batch{at: b.at}
		cursors := append(s.leave(t, &gone), spool.Cursor{Key: tableKey(s.id, t.Key), Value: encodeID(0)})
		if s.inScope(t) { // of another conversation nobody is to hear
			gone.ndjson, gone.count = append(e.AppendJSON(gone.ndjson), '\n'), gone.count+1
		}
		if err := s.a.c.opts.Spool.Append(ctx, seal.Messages, spool.Records{NDJSON: gone.ndjson, Count: gone.count}, cursors...); err != nil {
			return err
		}
		t.cursor = 0
		s.watch.drop(t)
	}
	return nil // the mark has not moved, so the next pass reads the tables
}
