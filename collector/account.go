package collector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/collector/discover"
	"tidemark/collector/media"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// account is one account folder. It belongs to the goroutine of the pass.
type account struct {
	c    *Collector
	disc discover.Account
	id   string // username
	name string
	gone bool // the folder is not found any more

	keys     []sqlcipher.Key // what the sources gave at the last pass
	images   media.Keys      // the same, for pictures
	schema   *wechat.Schema
	known    *wechat.People    // who is who; never nil, replaced as a whole
	book     *book             // who has been met
	hashes   map[string]string // table hash -> username, of all usernames met so far
	learned  map[string]bool   // usernames that are in hashes
	people   []*peopleFile     // databases of people and rooms
	sessions []*database       // databases of lists of conversations
	shards   map[string]*shard // message databases, by file

	named    map[string]*namedState // by file, "" for the account: what an event has named
	found    map[string]namedState  // by file: this pass's state, kept while it lasts
	lastRead time.Time

	messages, revisions int64
	unknown             map[[2]int64]int64 // messages of types that this version does not know, by type and sub-type
}

// database is one encrypted file of the account, besides what shard adds.
type database struct {
	file   string // relative to the folder of databases, forward slashes
	db     *sqlcipher.DB
	mark   sqlcipher.Mark
	looked sqlcipher.Mark // where it stood when the account was last looked at as a whole
	since  time.Time      // when that look was first made
}

// silent says whether nothing was read from the database since the last look.
func (d *database) silent(now time.Time) bool {
	silent := d.mark == d.looked
	if !silent {
		d.looked, d.since = d.mark, now
	}
	return silent
}

const accountFile = "" // the state of the account as a whole

func newAccount(c *Collector, d discover.Account) *account {
	a := &account{
		c: c, disc: d, id: d.ID, schema: wechat.For(d.Layout), known: wechat.NewPeople(), hashes: map[string]string{}, learned: map[string]bool{}, shards: map[string]*shard{},
		named: map[string]*namedState{}, found: map[string]namedState{},
	}
	a.book = &book{secret: c.opts.Secret, prefix: "p/" + a.folder() + "/", marks: map[string]string{}, fresh: map[string]struct{}{}}
	a.unknown = map[[2]int64]int64{}
	a.learnPatterns()
	return a
}

func (a *account) folder() string { return short(a.disc.Path) }

func (a *account) open(file string) *database {
	db, err := sqlcipher.Open(filepath.Join(a.disc.DBDir, filepath.FromSlash(file)), sqlcipher.Options{
		Params: a.schema.Params, Keys: func([16]byte) []sqlcipher.Key { return a.keys }, Derived: a.c.derived, Logger: a.c.log,
		Unseen: a.schema.Unseen,
	})
	if err != nil {
		panic(err) // only for an empty path or parameter sets of our own making
	}
	return &database{file: file, db: db}
}

func (a *account) close() {
	for d := range a.databases() {
		d.db.Close()
	}
}

// databases yields every database that is open.
func (a *account) databases() iter.Seq[*database] {
	return func(yield func(*database) bool) {
		for _, f := range a.people {
			if !yield(f.database) {
				return
			}
		}
		for _, d := range a.sessions {
			if !yield(d) {
				return
			}
		}
		for _, s := range a.shards {
			if !yield(s.database) {
				return
			}
		}
	}
}

// announce records an account that was never seen before, and restores the states
// that events have named.
func (a *account) announce(ctx context.Context) error {
	prefix := "s/" + a.folder() + "/"
	err := a.c.opts.Spool.Cursors(prefix, func(key string, value []byte) error {
		var n namedState
		if json.Unmarshal(value, &n) == nil {
			a.named[strings.TrimPrefix(key, prefix)] = &n
		}
		return nil
	})
	if err := errors.Join(err, a.book.load(a.c.opts.Spool)); err != nil {
		return err
	}
	key := "a/" + a.folder()
	if known, err := a.c.opts.Spool.Cursor(key); err != nil || known != nil {
		return err
	}
	if !a.c.opts.Scope.Accounts.In(a.id) {
		return nil
	}
	e := a.c.event(record.EventAccountFound, record.SeverityInfo)
	e.Account, e.Client = a.party(), a.client()
	return a.c.emit(ctx, []*record.Record{e}, spool.Cursor{Key: key, Value: []byte{1}})
}

func (a *account) party() *record.Party { return &record.Party{ID: a.id, Name: a.name} }

func (a *account) client() *record.Client {
	return &record.Client{App: a.disc.App, Generation: a.disc.Generation, OS: a.disc.OS}
}

// folders lists the folders whose files the client writes.
func (a *account) folders() []string {
	out := []string{filepath.Dir(a.disc.Path), a.disc.DBDir}
	for _, folder := range a.schema.Folders() {
		out = append(out, filepath.Join(a.disc.DBDir, filepath.FromSlash(folder)))
	}
	return out
}

// pass reads what is new in every database of the account. Its error is the
// spool's or the context's.
func (a *account) pass(ctx context.Context, look bool) error {
	if !a.c.opts.Scope.Accounts.In(a.id) {
		a.found = map[string]namedState{}
		return a.settle(ctx, accountFile, StateExcluded, nil)
	}
	if a.gone {
		return a.settle(ctx, accountFile, StateGone, nil)
	}
	if a.c.opts.Held != nil && a.c.opts.Held(a.disc) {
		a.found = map[string]namedState{}
		return a.settle(ctx, accountFile, StateNotice, nil)
	}
	if look {
		usable, err := a.refreshKeys(ctx)
		if err != nil || !usable {
			return err
		}
		if err := a.attachFacts(ctx); err != nil {
			return err
		}
		if err := a.list(ctx); err != nil {
			return err
		}
		if err := a.settleMedia(ctx); err != nil {
			return err
		}
	}
	if len(a.keys) == 0 {
		return nil
	}
	if err := a.readPeople(ctx); err != nil {
		return err
	}
	if look {
		if err := a.readSessions(ctx); err != nil {
			return err
		}
		a.scopeFiles()
	}
	current := true
	for _, file := range sortedKeys(a.shards) {
		s := a.shards[file]
		err := s.pass(ctx)
		if errors.Is(err, errDatabase) {
			current = false
			err = a.settle(ctx, file, stateOf(err), err)
		} else if err == nil {
			err = a.settle(ctx, file, s.state(), s.drifted())
			if err == nil && look {
				if err = s.keepForm(ctx); err == nil {
					err = s.countDays(ctx)
				}
			}
			if errors.Is(err, errDatabase) {
				err = nil // counting waits; the next pass names what is wrong
			}
		}
		if err != nil {
			return err
		}
	}
	if current {
		a.lastRead = a.c.now()
	}
	if err := errors.Join(a.settleTypes(ctx), a.recordPeople(ctx)); err != nil {
		return err
	}
	if look {
		a.rest()
	}
	return nil
}

// A connection takes megabytes, and opening one again some milliseconds; but seconds where
// SQLite reads a schema of thousands of tables. These stay for a while.
const (
	largeSchema = 512 << 10 // bytes: of some 300 conversations
	largeMost   = 2         // connections of an account
	largeFor    = time.Hour // after the last change
)

// rest gives memory back while the client is silent.
func (a *account) rest() {
	var silent, large []*database
	now := a.c.now()
	for d := range a.databases() {
		switch {
		case !d.silent(now):
		case d.db.Schema() >= largeSchema && now.Sub(d.since) < largeFor:
			large = append(large, d)
		default:
			silent = append(silent, d)
		}
	}
	slices.SortStableFunc(large, func(x, y *database) int { return y.since.Compare(x.since) })
	silent = append(silent, large[min(len(large), largeMost):]...)
	freed := false
	for _, d := range silent {
		freed = d.db.Rest() || freed
	}
	if freed {
		debug.FreeOSMemory()
	}
}

// refreshKeys asks the sources. Without any key the account is blind, which is said
// once; nothing else is tried.
func (a *account) refreshKeys(ctx context.Context) (usable bool, err error) {
	keys, err := KeysFor(ctx, a.c.opts.Keys, a.id, a.disc.ID, a.disc.Alternative)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil && len(a.keys) == 0 {
		return false, a.settle(ctx, accountFile, StateNoSource, err)
	}
	if err != nil {
		a.c.log.Warn("key source failed, going on with the keys known", "source", a.disc.Path, "err", err)
		return true, nil
	}
	a.keys = keys
	if len(keys) == 0 {
		return false, a.settle(ctx, accountFile, StateKeyMissing, nil)
	}
	return true, a.settle(ctx, accountFile, StateCurrent, nil)
}

// list finds the account's databases. A shard appears while the client runs; one
// that is gone stays on the list, as gone.
func (a *account) list(ctx context.Context) error {
	var fresh []*sqlcipher.DB
	folder := StateCurrent
	var cause error
	for _, f := range a.schema.Messages {
		entries, err := os.ReadDir(filepath.Join(a.disc.DBDir, filepath.FromSlash(f.Path)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a client that has not written a message yet has none
			folder, cause = stateOf(err), err
		}
		for _, e := range entries {
			if file, ok := f.File(e.Name()); ok && a.shards[file] == nil {
				a.shards[file] = newShard(a, a.open(file))
				a.shards[file].appeared = a.people != nil // people are listed once
				fresh = append(fresh, a.shards[file].db)
			}
		}
	}
	if folder == StateCurrent && len(a.shards) == 0 {
		folder = StateNoMessages
	}
	if err := a.settle(ctx, a.messageFolder(), folder, cause); err != nil {
		return err
	}
	if a.people == nil {
		for _, file := range a.schema.Contacts {
			a.people = append(a.people, &peopleFile{database: a.open(file)})
			fresh = append(fresh, a.people[len(a.people)-1].db)
		}
		for _, file := range a.schema.Sessions {
			a.sessions = append(a.sessions, a.open(file))
			fresh = append(fresh, a.sessions[len(a.sessions)-1].db)
		}
	}
	// Deriving keys takes a tenth of a second for each file, on one core. What comes of
	// it is the passes' to find out.
	var g errgroup.Group
	g.SetLimit(a.c.opts.Workers)
	for _, db := range fresh {
		g.Go(func() error { _ = db.Check(ctx); return nil })
	}
	return g.Wait()
}

// messageFolder names the folder of message databases among the account's states.
func (a *account) messageFolder() string { return a.schema.Messages[0].Path }

// readSessions learns the usernames of the lists of conversations when they changed.
// They change with every message, so they are read when a table needs it, and now and
// then.
func (a *account) readSessions(ctx context.Context) error {
	for _, d := range a.sessions {
		var usernames []string
		err := d.view(ctx, func(v *sqlcipher.View) (err error) { usernames, err = a.schema.ReadSessions(v); return err })
		if err == nil {
			for _, username := range usernames {
				a.learn(username)
			}
		}
		if err := a.settleNames(ctx, d.file, err); err != nil {
			return err
		}
	}
	return nil
}

// settleNames takes the state of a database of names. Not every account has one; names
// are missing then, no message is.
func (a *account) settleNames(ctx context.Context, file string, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errUnchanged), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return a.settle(ctx, file, stateOf(err), err)
}

// learn makes a username known to the resolution of tables, and of the account's own
// folder, where that is a hash.
func (a *account) learn(username string) {
	if a.learned[username] {
		return
	}
	a.learned[username] = true
	hash := wechat.Hash(username)
	a.hashes[hash] = username
	if a.disc.Hashed && strings.EqualFold(hash, filepath.Base(a.disc.Path)) {
		a.id = username
	}
}

var errUnchanged = errors.New("nothing was committed since the last read")

// view runs fn on a snapshot if the database changed since the last time, and
// returns errUnchanged otherwise.
func (d *database) view(ctx context.Context, fn func(*sqlcipher.View) error) error {
	if changed, err := d.db.Changed(ctx, d.mark); err != nil {
		return err
	} else if !changed {
		return errUnchanged
	}
	var mark sqlcipher.Mark
	err := sqlcipher.Retry(ctx, attempts, func() error {
		return d.db.View(ctx, func(v *sqlcipher.View) error {
			mark = v.Commit()
			return fn(v)
		})
	})
	if err == nil {
		d.mark = mark
	}
	return err
}

// attempts is how often a small read is repeated within a pass before the database
// counts as moving; the next pass tries again.
const attempts = 20

// settle takes a file's state at this pass. A state that names an event becomes a
// record when it begins, and another when it ends.
func (a *account) settle(ctx context.Context, file string, s State, cause error) error {
	a.note(file, s, causeOf(cause))
	was := a.named[file]
	info := states[s]
	same := was != nil && was.State == s && (s != StateUnfamiliar || was.Detail == causeOf(cause)) // what is unfamiliar may be more
	if same || was == nil && info.event == "" || info.passing {
		return nil
	}
	if a.c.now().Sub(a.found[file].Since) < info.patience {
		return nil // a client that is about to create its database leaves it so for a moment
	}
	var events []*record.Record
	key := "s/" + a.folder() + "/" + file
	cursor := spool.Cursor{Key: key}
	if was != nil {
		e := a.c.event(record.EventRecovered, record.SeverityInfo)
		e.Of, e.Since = was.Event, was.Since
		e.Detail = map[string]string{"state": string(was.State)}
		events = append(events, e)
	}
	var now *namedState
	if info.event != "" {
		e := a.c.event(info.event, info.severity)
		e.Since = a.found[file].Since
		e.Detail = map[string]string{"state": string(s)}
		if d := causeOf(cause); d != "" {
			e.Detail["cause"] = d
		}
		if what := driftOf(cause); what != "" {
			e.Detail["what"] = what
		}
		now = &namedState{State: s, Since: e.Since, Event: e.ID, Detail: e.Detail["cause"]}
		cursor = now.cursor(key)
		events = append(events, e)
	}
	for _, e := range events {
		e.Account, e.Client = a.party(), a.client()
		if file != accountFile {
			e.Detail["file"] = file
		}
	}
	if err := a.c.emit(ctx, events, cursor); err != nil {
		return err
	}
	if now == nil {
		delete(a.named, file)
		a.c.log.Info("database recovered", "source", a.disc.Path, "db", file, "state", s)
		return nil
	}
	a.named[file] = now
	a.c.log.Warn("database is not captured", "source", a.disc.Path, "db", file, "state", s, "err", causeOf(cause))
	return nil
}

// note keeps a state for Status, with the time it began.
func (a *account) note(file string, s State, detail string) {
	if was, ok := a.found[file]; ok && was.State == s {
		was.Detail = detail
		a.found[file] = was
		return
	}
	since := a.c.now()
	if n := a.named[file]; n != nil && n.State == s {
		since = n.Since
	}
	a.found[file] = namedState{State: s, Since: since, Detail: detail}
}

func (a *account) status() AccountStatus {
	out := AccountStatus{
		Account: a.id, Name: a.name, Generation: a.disc.Generation, Path: a.disc.Path, State: StateCurrent,
		LastRead: a.lastRead, Messages: a.messages, Revisions: a.revisions,
		Files:   a.c.attach.pending(a.folder()),
		Unknown: typeCounts(a.unknown),
	}
	captured, shards := false, 0
	worst := -1
	for _, file := range sortedKeys(a.found) {
		f := a.found[file]
		if file != accountFile && file != a.messageFolder() || states[f.State].severity != record.SeverityInfo {
			out.Databases = append(out.Databases, DatabaseStatus{File: file, State: f.State, Since: f.Since, Detail: f.Detail})
		}
		if a.shards[file] != nil {
			shards++
			captured = captured || states[f.State].severity != record.SeverityBlind
		}
		if rank := states[f.State].rank; rank > worst {
			worst, out.State, out.Since = rank, f.State, f.Since
		}
	}
	out.Severity = states[out.State].severity
	if out.Severity == record.SeverityBlind && captured && a.found[accountFile].State.Severity() != record.SeverityBlind {
		out.Severity = record.SeverityDegraded // one file of several
	}
	if shards > 0 && !captured {
		out.Severity = record.SeverityBlind
	}
	return out
}

// causeOf gives an error's text for records and status. The errors of this program
// hold paths, sizes and reasons, never content or keys.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	return cause(err)
}

func cause(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", "; ")
	return s[:min(len(s), 300)]
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), cmp.Compare[string])
}
