package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"tidemark/collector/media"
	"tidemark/record"
	"tidemark/spool"
)

// How old a file must be to be taken in spite of something.
const (
	notWhole   = time.Minute      // it does not end as files of its kind do
	unreadable = 10 * time.Minute // it cannot be decoded
)

// round looks for the files of some items of one account. It belongs to the worker.
type round struct {
	at    *attachments
	a     *mediaAccount
	facts mediaFacts
	ctx   context.Context
	due   []*item

	outside map[string]bool // conversations

	consulted bool             // the index databases were read
	faults    map[string]error // of them

	out      batchOut
	contents map[string]bool // captured by this round's unwritten batch
}

func (r *round) rules() *MediaRules { return &r.at.c.opts.Media }

// run looks for each item's files; for what is not found by the message's row alone, in
// the index databases once for all, and then again.
func (r *round) run() error {
	r.a.files.Next()
	var rest []*item
	for _, it := range r.due {
		found, err := r.look(it, false)
		if err != nil {
			return errors.Join(err, r.flush())
		}
		if !found {
			rest = append(rest, it)
		}
	}
	if len(rest) > 0 {
		if err := r.consult(rest); err != nil {
			return errors.Join(err, r.flush())
		}
		for _, it := range rest {
			if _, err := r.look(it, true); err != nil {
				return errors.Join(err, r.flush())
			}
		}
	}
	return r.flush()
}

// findings are what looking for one item has given so far.
type findings struct {
	next    item // as it is to be
	media   []record.Media
	took    bool  // an original
	large   int64 // bytes of one that is too large
	waiting bool
	cause   string // why a file that is there was not taken
}

// look looks for one item's files and captures them. Found is false when there is
// reason to ask the index databases; final says that they were.
func (r *round) look(it *item, final bool) (found bool, err error) {
	r.at.mu.Lock()
	f := findings{next: *it}
	r.at.mu.Unlock()
	f.next.why = ""
	if cause := r.excluded(it); cause != "" {
		f.media = append(f.media, record.Media{Role: f.next.role(record.RoleOriginal), State: record.MediaExcluded, Cause: cause, Item: it.Want.Item})
		return true, r.say(it, &f, true)
	}
	if it.Want.Type == record.TypeVoice && len(it.voices) > 0 {
		err = r.voice(&f)
	} else {
		err = r.files(&f)
	}
	if err != nil {
		return false, err
	}
	if !final && f.next.Best == 0 && !f.waiting {
		return false, nil // what was captured of it so far is said in the end
	}
	return true, r.conclude(it, &f)
}

// excluded says why an item that waited is not to be captured any more: the
// configuration may be another than when its message was.
func (r *round) excluded(it *item) string {
	switch {
	case r.outside[it.Conversation]:
		return "the conversation is not captured any more, by configuration"
	case !r.rules().takes(it.Want.Type):
		return notTaken
	}
	return ""
}

func (r *round) files(f *findings) error {
	for _, c := range r.a.files.Find(&f.next.Want, f.next.links) {
		original := c.Role == record.RoleOriginal
		if original && (f.took || c.Rank <= f.next.Best) || !original && f.next.Small {
			continue
		}
		if err := r.file(f, c); err != nil {
			return err
		}
	}
	return nil
}

// file captures one file, or notes why not.
func (r *round) file(f *findings, c media.Candidate) error {
	if err := wait(r.ctx, r.at.c.opts.Pace); err != nil {
		return err
	}
	file, err := r.a.files.Open(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went in between
	}
	if err != nil {
		f.cause = "it can not be opened: " + fault(err)
		return nil
	}
	defer file.Close()
	size, age := file.Info.Size(), r.at.c.opts.Now().Sub(file.Info.ModTime())
	if size == 0 || !r.settled(c.Path, file.Info) {
		f.wait(whyWritten)
		return nil
	}
	content, err := r.decode(f, c, file)
	switch {
	case errors.Is(err, media.ErrImageKey) && r.at.c.opts.Now().Sub(f.next.Added) < r.at.giveUp():
		f.wait(whyKey)
		return nil
	case errors.Is(err, media.ErrTail) && r.at.c.opts.Now().Sub(f.next.Added) < r.at.giveUp():
		f.wait(whyTail)
		return nil
	case err != nil && age < unreadable:
		f.wait(whyWritten)
		return nil
	case err != nil:
		return r.raw(f, c, file, err)
	case !content.Whole && age < notWhole:
		f.wait(whyWritten)
		return nil
	case !c.Sure && f.next.Want.Size > 0 && content.Size != f.next.Want.Size:
		f.cause = "a file of that name has another size"
		return nil
	}
	return r.take(f, c, content, record.MediaCaptured, "")
}

// decode makes of a file what is to be captured.
func (r *round) decode(f *findings, c media.Candidate, file *media.File) (*media.Content, error) {
	size := file.Info.Size()
	if f.next.Want.Type != record.TypeImage && c.Role == record.RoleOriginal {
		return media.AsIs(file, size, f.next.Want.Name), nil
	}
	content, err := media.Decode(file, size, r.facts.images)
	if err == nil && content.Tail != nil {
		r.a.tails[*content.Tail]++
	}
	if !errors.Is(err, media.ErrTail) {
		return content, err
	}
	b, ok := r.a.files.Vote(c.Path, r.facts.images)
	if !ok {
		b, ok = majority(r.a.tails)
	}
	if ok {
		return media.Decode(file, size, media.Keys{AES: r.facts.images.AES, Tail: &b})
	}
	return nil, err
}

// majority is what more than half of three or more votes are for.
func majority(votes map[byte]int) (byte, bool) {
	cast := 0
	for _, n := range votes {
		cast += n
	}
	for b, n := range votes {
		if n >= 3 && 2*n > cast {
			return b, true
		}
	}
	return 0, false
}

// raw captures a file that cannot be decoded as it is stored, so that whoever learns
// how can do it later.
func (r *round) raw(f *findings, c media.Candidate, file *media.File, cause error) error {
	content := media.AsIs(file, file.Info.Size(), "")
	content.Format = ""
	return r.take(f, c, content, record.MediaUnreadable, cause.Error())
}

// take captures a content and notes what is to be said of it.
func (r *round) take(f *findings, c media.Candidate, content *media.Content, state, cause string) error {
	if limit := r.rules().MaxBytes; limit > 0 && content.Size > limit {
		if c.Role == record.RoleOriginal {
			f.large = content.Size
		}
		return nil
	}
	begun := r.a.begun
	if begun == nil || begun.path != c.Path || begun.format != content.Format || begun.size != content.Size {
		sums, err := r.hash(content)
		if err != nil {
			f.cause = "it can not be read: " + fault(err)
			f.wait(whyWritten)
			return nil
		}
		begun = &begunContent{c.Path, content.Format, content.Size, sums}
	}
	sums := begun.sums
	if want := f.next.Want.MD5; !c.Sure && len(want) > 0 && !sums.is(want) {
		f.cause = "a file of that name has another content"
		return nil
	}
	err := r.capture(content, sums)
	r.a.begun = nil
	switch {
	case errors.Is(err, errChanged):
		f.wait(whyWritten)
		return nil
	case errors.Is(err, spool.ErrFull) && c.Path != "" && content.Size > pieceSize:
		r.a.begun = begun
		return err
	case err != nil:
		return err
	}
	f.media = append(f.media, record.Media{
		Role: f.next.role(c.Role), SHA256: sums.sha256, Size: content.Size, MIME: content.MIME, Name: f.next.name(c.Role),
		State: state, Cause: cause, Item: f.next.Want.Item, Path: c.Path, Format: content.Format,
	})
	if c.Role == record.RoleOriginal {
		f.took, f.next.Best, f.next.Said = true, c.Rank, ""
	} else {
		f.next.Small = true
	}
	return nil
}

// voice captures a voice message that stands in the databases.
func (r *round) voice(f *findings) error {
	data := media.Join(f.next.voices)
	if len(data) == 0 || f.next.Best > 0 {
		return nil
	}
	content := media.AsIs(bytes.NewReader(data), int64(len(data)), "")
	return r.take(f, media.Candidate{Role: record.RoleOriginal, Rank: media.RankFull, Sure: true}, content, record.MediaCaptured, "")
}

func (f *findings) wait(why string) {
	f.waiting = true
	if f.next.why == "" || f.next.why == whyWritten {
		f.next.why = why
	}
}

// conclude says what became of an item, and when it is looked for again, if ever.
func (r *round) conclude(it *item, f *findings) error {
	now, wall := time.Now(), r.at.c.opts.Now()
	sent := it.Want.Sent
	if sent.Unix() <= 0 || sent.After(wall) { // not known, or another clock's
		sent = it.Added
	}
	age := wall.Sub(sent)
	say := func(state, cause string, size int64) {
		if f.next.Said != state {
			f.next.Said = state
			f.media = append(f.media, record.Media{Role: f.next.role(record.RoleOriginal), State: state, Cause: cause, Size: size,
				Name: f.next.name(record.RoleOriginal), Item: it.Want.Item})
		}
	}
	switch {
	case f.next.Best > 0:
	case f.large > 0 && !f.waiting:
		say(record.MediaTooLarge, tooLarge(r.rules()), f.large)
	case f.waiting:
	case r.faulty(it): // whether it is there is not known
	case f.next.Small:
		say(record.MediaThumbnail, f.cause, 0)
	case age > r.at.giveUp():
		say(record.MediaNeverDownloaded, f.cause, 0)
	}
	over := false
	switch {
	case f.waiting || r.faulty(it):
	case f.next.Best > 0:
		small := f.next.Small || it.Want.Type == record.TypeVoice || it.Want.Type == record.TypeFile
		best := f.next.Best >= media.RankFull || it.Want.Type != record.TypeImage || it.Want.Layout == media.W3
		over = small && best || age > betterFor
	case f.next.Said == record.MediaTooLarge:
		over = age > betterFor
	default:
		over = age > max(watchFor, r.at.giveUp())
	}
	f.next.next = it.after(now, wall, sent)
	if f.waiting {
		f.next.next = now.Add(r.at.settle)
		if f.next.why == whyKey || f.next.why == whyTail && wall.Sub(it.Added) > time.Minute {
			f.next.next = now.Add(time.Minute)
		}
	}
	changed := len(f.media) > 0 || over
	if !changed {
		r.at.mu.Lock()
		defer r.at.mu.Unlock()
		it.next, it.why = f.next.next, f.next.why
		return nil
	}
	return r.say(it, f, over)
}

// faulty says whether the index databases, which might have told of the item, could not
// all be read.
func (r *round) faulty(it *item) bool {
	if it.Best > 0 {
		return false
	}
	for _, err := range r.faults {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// settled says whether a file has been left alone for long enough to count as written.
// Its time alone does not tell: that of an open file may lag.
func (r *round) settled(path string, info fs.FileInfo) bool {
	if r.at.c.opts.Now().Sub(info.ModTime()) > unreadable {
		return true
	}
	now := time.Now()
	was, ok := r.a.seen[path]
	if !ok || was.size != info.Size() || !was.modified.Equal(info.ModTime()) {
		if len(r.a.seen) > 4*roundMax {
			clear(r.a.seen) // costs those in it another moment of waiting
		}
		r.a.seen[path] = sighting{info.Size(), info.ModTime(), now}
		return false
	}
	return now.Sub(was.at) >= r.at.settle
}

// fault is an error of the system without the path, which may hold a file's name.
func fault(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ended early"
	}
	return fmt.Sprint(err)
}
