package collector

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// A contact or room becomes a record when it has to do with what is captured: whose
// conversation has a captured message, who sent one in a captured room, who is a
// member of one. It becomes another when its state is a different one. Nobody else of
// the address book does.
//
// peopleFile is a database of people and rooms.
type peopleFile struct {
	*database
	pages  []uint32 // where what was read of it stands; nil before
	schema int64
	odd    []string  // what is unfamiliar about it
	since  time.Time // when that began
}

// touched says whether a page was written of what is read of the file. Windows'
// generation 3 keeps the list of conversations in the same file, which changes with
// every message.
func (f *peopleFile) touched(v *sqlcipher.View) (bool, error) {
	version, err := wechat.SchemaVersion(v)
	if err != nil || f.pages == nil || version != f.schema {
		f.schema = version
		return true, err
	}
	pages, known := v.ChangedSince(f.mark)
	hit := func(p uint32) bool { _, hit := pages[p]; return hit }
	return !known || slices.ContainsFunc(f.pages, hit), nil
}

// readPeople reads people and rooms again when their databases changed. Without them
// messages are captured all the same, under usernames.
func (a *account) readPeople(ctx context.Context) error {
	changed := false
	for _, f := range a.people {
		var touched bool
		err := f.view(ctx, func(v *sqlcipher.View) (err error) { touched, err = f.touched(v); return err })
		if err == nil && touched {
			changed = true // what state it is in shows when it is read
			continue
		}
		if err := a.settlePeople(ctx, f, err); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	known := wechat.NewPeople()
	for _, f := range a.people {
		f.mark = sqlcipher.Mark{}
		err := f.view(ctx, func(v *sqlcipher.View) error {
			stop := v.Trace()
			err := known.Read(f.file, v)
			if err == nil {
				var odd []string
				if odd, err = wechat.MissingPeople(v, f.file); !slices.Equal(odd, f.odd) {
					f.odd, f.since = odd, a.c.now()
				}
			}
			// Page 1 is in every trace and changes with the size of the file.
			f.pages = slices.DeleteFunc(stop(), func(p uint32) bool { return p == 1 })
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // not every account has each of them
		}
		if err != nil {
			f.pages = nil // to be read again; what was known so far stays
			return a.settleNames(ctx, f.file, err)
		}
		if err := a.settlePeople(ctx, f, nil); err != nil {
			return err
		}
	}
	known.Usernames(a.learn)
	a.known, a.name = known, known.Name(a.id)
	a.book.all = true
	return a.moveScope(ctx)
}

// settlePeople takes the state of a database of people. A client that creates it makes
// one table after the other, so one that is missing is so after a while.
func (a *account) settlePeople(ctx context.Context, f *peopleFile, err error) error {
	read := err == nil || errors.Is(err, errUnchanged)
	creating := a.c.now().Sub(f.since) < time.Minute && slices.ContainsFunc(f.odd, func(what string) bool { return strings.HasPrefix(what, "-table ") })
	if read && len(f.odd) > 0 && !creating {
		return a.settle(ctx, f.file, StateUnfamiliar, drift{what: f.odd})
	}
	return a.settleNames(ctx, f.file, err)
}

// What is remembered of somebody.
const (
	metConversation = "conversation" // has a captured message
	metSender       = "sender"       // sent one in a room
	metOutside      = "outside"      // has a message that was out of scope
	toldState       = "state"        // what was recorded last: see succeedState
)

// book is who has been met. Nobody is named in it: people stand under keyed digests of
// their usernames. Its methods may be called concurrently.
type book struct {
	secret []byte
	prefix string

	mu    sync.Mutex
	marks map[string]string   // by person and mark, such as 0123456789abcdef/sender
	fresh map[string]struct{} // usernames met since people were last recorded
	all   bool                // everybody's state may be another
}

func (b *book) key(username, mark string) string {
	sum := sha256.Sum256(slices.Concat(b.secret, []byte("person\x00"), []byte(username)))
	return hex.EncodeToString(sum[:8]) + "/" + mark
}

// load reads what the spool has of the book.
func (b *book) load(s Spool) error {
	return s.Cursors(b.prefix, func(key string, value []byte) error {
		b.marks[strings.TrimPrefix(key, b.prefix)] = string(value)
		return nil
	})
}

// meeting is somebody, and what for.
type meeting struct{ username, mark string }

// cursors are what is to be committed with a batch in which these were met.
func (b *book) cursors(met map[meeting]struct{}) (out []spool.Cursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range met {
		if key := b.key(m.username, m.mark); b.marks[key] == "" {
			out = append(out, spool.Cursor{Key: b.prefix + key, Value: []byte{1}})
		}
	}
	return out
}

// apply takes in what has been committed.
func (b *book) apply(met map[meeting]struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range met {
		if key := b.key(m.username, m.mark); b.marks[key] == "" {
			b.marks[key] = "\x01"
			b.fresh[m.username] = struct{}{}
		}
	}
}

// peopleBatch is how many contacts and rooms are committed at once.
const peopleBatch = 500

// recordPeople records the contacts and rooms that have to do with what is captured
// and are not as they were recorded last, each with the cursor that says so.
func (a *account) recordPeople(ctx context.Context) error {
	fresh, all := a.book.fresh, a.book.all
	if len(fresh) == 0 && !all {
		return nil
	}
	var records []*record.Record
	var told []spool.Cursor
	flush := func() error {
		if len(records) == 0 {
			return nil
		}
		if err := a.c.emit(ctx, records, told...); err != nil {
			return err
		}
		for _, c := range told {
			a.book.marks[strings.TrimPrefix(c.Key, a.book.prefix)] = string(c.Value)
		}
		records, told = nil, nil
		return nil
	}
	for _, username := range a.relevant(fresh, all) {
		r := a.person(username)
		if r == nil {
			continue
		}
		key := a.book.key(username, toldState)
		value, news := a.succeedState(r, username, a.book.marks[key])
		if !news {
			continue
		}
		records = append(records, r)
		told = append(told, spool.Cursor{Key: a.book.prefix + key, Value: []byte(value)})
		if len(records) >= peopleBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	clear(a.book.fresh)
	a.book.all = false
	return nil
}

// relevant lists the usernames that are to be recorded if their state is news: of
// those met since the last time and their rooms' members, or of all.
func (a *account) relevant(fresh map[string]struct{}, all bool) []string {
	out := map[string]struct{}{}
	conversation := func(username string) {
		if a.book.marks[a.book.key(username, metConversation)] == "" || !a.inScope(username) {
			return
		}
		out[username] = struct{}{}
		if r := a.known.Room(username); r != nil {
			for _, m := range r.Members {
				out[m.ID] = struct{}{}
			}
		}
	}
	for username := range fresh {
		conversation(username)
		// Who is not a member any more is recorded once, as they were when they wrote.
		if a.book.marks[a.book.key(username, metSender)] != "" && a.book.marks[a.book.key(username, toldState)] == "" {
			out[username] = struct{}{}
		}
	}
	if all {
		a.known.Usernames(conversation)
		out[a.id] = struct{}{}
	}
	return slices.Sorted(maps.Keys(out))
}

// succeedState makes the record of somebody's state the successor of what was told of
// them last, and returns what is to be kept as told: a keyed digest of the state and,
// hidden under a key stream, the record's id, which is derived from the state. It is no
// news when the state is the same.
func (a *account) succeedState(r *record.Record, username, told string) (value string, news bool) {
	stream := func(state string) []byte {
		sum := sha256.Sum256(slices.Concat(a.book.secret, []byte("told\x00"), []byte(username), []byte{0}, []byte(state)))
		return sum[:]
	}
	hide := func(id, state string) string {
		b := []byte(id)
		subtle.XORBytes(b, b, stream(state))
		return string(b)
	}
	state := a.stateOf(r)
	if strings.HasPrefix(told, state) {
		return "", false
	}
	const idSize = 28
	if len(told) == len(state)+idSize { // earlier versions kept no id
		r.Of = hide(told[len(state):], told[:len(state)])
	}
	switch {
	case r.Room != nil:
		r.ID = record.RoomID(a.id, r.Of, r.Room)
	default:
		r.ID = record.ContactID(a.id, r.Of, r.Contact)
	}
	return state + hide(r.ID, state), true
}

// person makes the record of a contact or room in the state that is known, which has no
// predecessor yet, or nil when nothing is known.
func (a *account) person(username string) *record.Record {
	r := &record.Record{
		V: record.Version, Device: a.c.opts.Device.String(), CapturedAt: a.c.now(), Account: a.party(), Client: a.client(),
	}
	if room := a.known.Room(username); room != nil {
		r.Kind, r.Room, r.ID = record.KindRoom, room, record.RoomID(a.id, "", room)
		return r
	}
	c := a.known.Contact(username)
	if c == nil {
		return nil
	}
	r.Kind, r.Contact, r.ID = record.KindContact, c, record.ContactID(a.id, "", c)
	return r
}

// stateOf is a keyed digest of what a record of somebody says, by the id that it has
// without a predecessor, which is derived from all of it.
func (a *account) stateOf(r *record.Record) string {
	sum := sha256.Sum256(slices.Concat(a.book.secret, []byte("state\x00"), []byte(r.ID)))
	return string(sum[:8])
}
