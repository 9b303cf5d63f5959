package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidemark/collector/media"
	"tidemark/collector/sqlcipher"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

// MediaRules say which files of messages are captured. The zero value takes all.
type MediaRules struct {
	NoImages, NoVoice, NoVideo, NoFiles bool

	MaxBytes int64         // a larger file is left out, with a record that says so; 0 means no limit
	GiveUp   time.Duration // after a message was sent, its file counts as never downloaded; 0 means 7 days
}

func (m *MediaRules) takes(kind string) bool {
	switch kind {
	case record.TypeImage:
		return !m.NoImages
	case record.TypeVoice:
		return !m.NoVoice
	case record.TypeVideo:
		return !m.NoVideo
	}
	return !m.NoFiles
}

// How long and how often files are looked for.
const (
	defaultGiveUp = 7 * 24 * time.Hour
	watchFor      = 30 * 24 * time.Hour // after this no file of a message that was given up is looked for any more
	betterFor     = 24 * time.Hour      // how long a better copy of a captured picture is looked for
	freshFor      = 10 * time.Minute    // younger messages' files are looked for at every hint
	onceWait      = 15 * time.Second    // how long a single pass waits for files that are being written
	roundMax      = 256                 // messages whose files one round looks for
)

// attachments captures the files of messages: it looks for what the messages' rows
// name, and puts what it finds into the media lane, and a record that links it to its
// message into the other. It works beside the pass, which tells it of messages and is
// never held up by it.
//
// A message's file is an [item] from the transaction that captures the message until
// the one that captures its file, or the word that there is none. The pieces of a
// content are captured before the record that links it: a crash in between goes on at
// the piece where it stopped.
type attachments struct {
	c      *Collector
	settle time.Duration // how long a file must be left alone before it counts as written
	wait   time.Duration // how long a single pass waits for such files
	wake   chan struct{}

	mu       sync.Mutex // guards what follows, items, and the fields of accounts that say so
	accounts map[string]*mediaAccount
	touched  bool // a folder where files of young messages are expected changed
}

// mediaAccount is an account as the files of its messages see it.
type mediaAccount struct {
	folder string // its name in cursors

	// Guarded by attachments.mu.
	items  map[string]*item // by cursor key
	facts  mediaFacts
	state  State // of the account's files; see states
	detail string
	faults map[string]error // by index database: why it is not read
	// Conversations of items that are out of scope; nil until the pass has said.
	outside map[string]bool

	// The worker's own.
	files   *media.Files
	indexes map[string]*indexDB
	seen    map[string]sighting // files that may be being written
	tails   map[byte]int        // what pictures told of the byte that their ends are XORed with
	begun   *begunContent       // a large one of which the spool could not take all pieces yet
}

// begunContent is a content whose pieces wait for room: it is not hashed again for each
// that can go. Every piece is still held against its own sum.
type begunContent struct {
	path, format string
	size         int64
	sums         *sums
}

// mediaFacts are what the pass knows of an account, for the worker to go by.
type mediaFacts struct {
	path, dbDir, layout string
	party               *record.Party
	client              *record.Client
	params              []sqlcipher.Params
	keys                []sqlcipher.Key
	images              media.Keys
	gone                bool
}

// sighting is how a file was when it was seen to be new or changed.
type sighting struct {
	size     int64
	modified time.Time
	at       time.Time
}

func newAttachments(c *Collector) *attachments {
	return &attachments{c: c, settle: 2 * time.Second, wait: onceWait, wake: make(chan struct{}, 1), accounts: map[string]*mediaAccount{}}
}

func (at *attachments) giveUp() time.Duration {
	if g := at.c.opts.Media.GiveUp; g > 0 {
		return g
	}
	return defaultGiveUp
}

// update tells the worker of an account, and restores what waits for its files when the
// account is new. It is called by the pass.
func (at *attachments) update(ctx context.Context, folder string, facts mediaFacts) error {
	at.mu.Lock()
	a := at.accounts[folder]
	at.mu.Unlock()
	if a == nil {
		a = &mediaAccount{folder: folder, files: media.NewFiles(facts.path), indexes: map[string]*indexDB{}, seen: map[string]sighting{}, tails: map[byte]int{}, faults: map[string]error{}}
		var err error
		if a.items, err = at.restore(ctx, folder, facts); err != nil {
			return err
		}
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	late := len(a.facts.images.AES) == 0 && len(facts.images.AES) > 0
	a.facts = facts
	at.accounts[folder] = a
	if late { // a key opens what waited for it
		for _, it := range a.items {
			it.next = time.Time{}
		}
		at.hint()
	}
	return nil
}

// add tells of messages that are captured now, with cursors that say so.
func (at *attachments) add(folder string, items []*item) {
	if len(items) == 0 {
		return
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	if a := at.accounts[folder]; a != nil {
		for _, it := range items {
			a.items[it.key] = it
		}
	}
	at.hint()
}

// touch has the worker look soon for the files of all young messages.
func (at *attachments) touch() {
	at.mu.Lock()
	at.touched = true
	at.mu.Unlock()
	at.hint()
}

// pending counts the files of an account that are not captured for good.
func (at *attachments) pending(folder string) int {
	at.mu.Lock()
	defer at.mu.Unlock()
	if a := at.accounts[folder]; a != nil {
		return len(a.items)
	}
	return 0
}

// conversations are those of an account's items, each once.
func (at *attachments) conversations(folder string) map[string]bool {
	at.mu.Lock()
	defer at.mu.Unlock()
	out := map[string]bool{}
	if a := at.accounts[folder]; a != nil {
		for _, it := range a.items {
			out[it.Conversation] = true
		}
	}
	return out
}

// scope tells which of them are out of scope. Nothing is looked for before.
func (at *attachments) scope(folder string, outside map[string]bool) {
	at.mu.Lock()
	defer at.mu.Unlock()
	if a := at.accounts[folder]; a != nil {
		a.outside = outside
	}
	at.hint()
}

// hint has the worker look soon.
func (at *attachments) hint() {
	select {
	case at.wake <- struct{}{}:
	default:
	}
}

// stands gives the state of an account's files, and of the index databases that could
// not be read, for the pass to make events of.
func (at *attachments) stands(folder string) (s State, detail string, faults map[string]error) {
	at.mu.Lock()
	defer at.mu.Unlock()
	a := at.accounts[folder]
	if a == nil || a.state == "" {
		return StateCurrent, "", nil
	}
	faults = map[string]error{}
	for file, err := range a.faults {
		faults[file] = err
	}
	return a.state, a.detail, faults
}

// run looks for files until ctx ends: when told to, when something changed in a folder
// where one is expected, and every poll.
func (at *attachments) run(ctx context.Context) {
	w := newMediaWatcher(at.c.log, at.touch)
	defer w.close()
	defer at.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-at.wake:
		case <-timer.C:
		}
		started := time.Now()
		next, _, err := at.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, spool.ErrFull) {
			at.c.log.Warn("files of messages could not be captured, trying again", "err", err)
		}
		w.watch(at.places())
		// Hints must not make the search for many that are not there the only thing that
		// is done: it may take a twentieth of the time.
		rest := min(20*time.Since(started), at.c.opts.Poll)
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		wait := at.c.opts.Poll
		switch {
		case errors.Is(err, spool.ErrFull):
			wait = min(wait, roomWait)
		case err == nil && !next.IsZero():
			wait = min(wait, max(time.Until(next), 0))
		}
		timer.Reset(wait)
	}
}

// once captures what is there now. It waits a little for files that are being written.
// Its error wraps spool.ErrFull when there was no room for all.
func (at *attachments) once(ctx context.Context) error {
	deadline := time.Now().Add(at.wait)
	at.mu.Lock()
	for _, a := range at.accounts {
		for _, it := range a.items {
			it.next = time.Time{}
		}
	}
	at.mu.Unlock()
	for {
		next, more, err := at.round(ctx)
		if err != nil || next.IsZero() || !more && next.After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(time.Until(next), 0)):
		}
	}
}

func (at *attachments) close() {
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, a := range at.accounts {
		for _, x := range a.indexes {
			x.db.Close()
		}
		clear(a.indexes)
	}
}

// round looks once for the files that are due. It returns when the next are, zero when
// none is soon, and whether some were due that it did not come to.
func (at *attachments) round(ctx context.Context) (next time.Time, more bool, err error) {
	at.mu.Lock()
	accounts := sortedKeys(at.accounts)
	young := time.Duration(0)
	if at.touched {
		at.touched, young = false, betterFor
	}
	at.mu.Unlock()
	var errs []error
	for _, folder := range accounts {
		soon, left, err := at.account(ctx, folder, young)
		if ctx.Err() != nil {
			return time.Time{}, false, ctx.Err()
		}
		more = more || left
		if err != nil {
			errs = append(errs, err)
		}
		if !soon.IsZero() && (next.IsZero() || soon.Before(next)) {
			next = soon
		}
	}
	return next, more, errors.Join(errs...)
}

// account looks for the files of one account that are due, and of those messages that
// are younger than young.
func (at *attachments) account(ctx context.Context, folder string, young time.Duration) (next time.Time, more bool, err error) {
	now, wall := time.Now(), at.c.opts.Now()
	at.mu.Lock()
	a := at.accounts[folder]
	r := &round{at: at, a: a, facts: a.facts, outside: a.outside, ctx: ctx, contents: map[string]bool{}}
	if r.outside == nil {
		at.mu.Unlock()
		return time.Time{}, false, nil
	}
	for _, it := range a.items {
		if !it.next.After(now) || wall.Sub(it.Want.Sent) < young {
			it.learn()
			r.due = append(r.due, it)
		}
	}
	at.mu.Unlock()
	// The newest first: they are what a person is about to recall.
	slices.SortFunc(r.due, func(x, y *item) int { return y.Want.Sent.Compare(x.Want.Sent) })
	more = len(r.due) > roundMax && !r.facts.gone
	r.due = r.due[:min(len(r.due), roundMax)]
	if r.facts.gone {
		r.due = nil
	}
	err = r.run()
	at.mu.Lock()
	defer at.mu.Unlock()
	at.stand(a, r, err)
	if err != nil {
		return time.Time{}, false, err
	}
	if more {
		return now, true, nil
	}
	for _, it := range a.items {
		if next.IsZero() || it.next.Before(next) {
			next = it.next
		}
	}
	return next, false, nil
}

// stand notes how the account's files stand after a round.
func (at *attachments) stand(a *mediaAccount, r *round, err error) {
	keyless := 0
	for _, it := range a.items {
		if it.why == whyKey {
			keyless++
		}
	}
	a.state, a.detail = StateCurrent, ""
	switch {
	case errors.Is(err, spool.ErrFull):
		a.state = StateSpoolFull
	case keyless > 0:
		a.state, a.detail = StateImageKey, fmt.Sprintf("image key: %d pictures wait for it", keyless)
	}
	switch {
	case r.consulted:
		a.faults = r.faults
	case len(a.items) == 0: // nobody asks any more
		for file := range a.faults {
			a.faults[file] = nil
		}
	}
}

// mediaFile names the files of messages among an account's states.
const mediaFile = "media"

// settleMedia makes the states that the worker found the account's. It is called by the
// pass.
func (a *account) settleMedia(ctx context.Context) error {
	state, detail, faults := a.c.attach.stands(a.folder())
	if state != StateCurrent || a.named[mediaFile] != nil {
		var cause error
		if detail != "" {
			cause = errors.New(detail)
		}
		if err := a.settle(ctx, mediaFile, state, cause); err != nil {
			return err
		}
	}
	if state == StateCurrent {
		delete(a.found, mediaFile)
	}
	for file, err := range faults {
		if err == nil && a.named[file] == nil {
			delete(a.found, file)
			continue
		}
		if err := a.settle(ctx, file, stateOf(err), err); err != nil {
			return err
		}
	}
	return nil
}

// roomWait is how soon it is asked again whether the spool has room: often enough for the
// media lane not to run dry meanwhile.
const roomWait = time.Second

// roomy says whether the spool has room for files: above four fifths of its quota, what
// is left is for messages.
func (at *attachments) roomy() error {
	s, ok := at.c.opts.Spool.(interface{ Stats() (spool.Stats, error) })
	if !ok {
		return nil
	}
	st, err := s.Stats()
	if err == nil && st.MaxBytes > 0 && st.Bytes > st.MaxBytes/5*4 {
		return fmt.Errorf("files of messages wait, %d of %d bytes are taken: %w", st.Bytes, st.MaxBytes, spool.ErrFull)
	}
	return err
}

// append commits to a lane.
func (at *attachments) append(ctx context.Context, lane seal.Lane, ndjson []byte, count int, cursors ...spool.Cursor) error {
	return at.c.opts.Spool.Append(ctx, lane, spool.Records{NDJSON: ndjson, Count: count}, cursors...)
}
