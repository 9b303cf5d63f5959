package collector

import (
	"context"
	"slices"
	"strings"
	"time"

	"tidemark/collector/media"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// files notes the files that a message has: what its record says of them at first goes
// into r.media, and the items that wait for them are returned.
func (r *reader) files(rec *record.Record, of string, m *wechat.Message) []*item {
	r.media = r.media[:0]
	h := m.Hints
	if h == nil {
		return nil
	}
	var items []*item
	note := func(w media.Want) {
		w.Layout, w.Sent, w.Server, w.Local = string(r.s.a.disc.Layout), time.Unix(m.Created, 0).UTC(), m.ServerID, m.LocalID
		if w.Chat = strings.TrimPrefix(rec.Conversation.ID, wechat.UnresolvedPrefix); w.Chat == rec.Conversation.ID {
			w.Chat = wechat.Hash(rec.Conversation.ID)
		}
		it := &item{
			Of: of, Conversation: strings.Clone(rec.Conversation.ID), Want: w, Added: r.b.at, key: itemKey(r.s.a.folder(), of, w.Item),
		}
		first := it.first(&r.s.a.c.opts.Media)
		r.media = append(r.media, first)
		if first.State == record.MediaPending {
			items = append(items, it)
		}
	}
	switch rec.Type {
	case record.TypeImage, record.TypeVideo:
		w := media.Want{Type: rec.Type, Path: m.Extra.Original, Thumb: m.Extra.Thumbnail, MD5: slices.Clone(h.MD5)}
		stem := h.Packed.Image
		if rec.Type == record.TypeVideo {
			stem = h.Packed.Video
		}
		for _, s := range []string{stem, h.Packed.Resource, strings.TrimSuffix(h.Packed.Thumbnail, "_t.dat")} {
			if s != "" && !slices.Contains(w.Stems, s) {
				w.Stems = append(w.Stems, s)
			}
		}
		note(w)
	case record.TypeVoice:
		note(media.Want{Type: rec.Type})
	case record.TypeFile:
		w := media.Want{Type: rec.Type, Path: m.Extra.Original, MD5: slices.Clone(h.MD5), Name: h.Name}
		if rec.Body != nil && rec.Body.File != nil {
			w.Size = rec.Body.File.Bytes
		}
		note(w)
	}
	for _, i := range h.Items {
		switch i.Type {
		case record.TypeImage, record.TypeVideo, record.TypeFile, record.TypeVoice:
			w := media.Want{Type: i.Type, Item: i.ID, Name: i.Name, Size: i.Bytes}
			if i.MD5 != "" {
				w.MD5 = []string{i.MD5}
			}
			if i.ID == "" || i.Type == record.TypeVoice && i.MD5 == "" {
				continue // nothing names its file; the record's body has the item
			}
			note(w)
		}
	}
	return items
}

// refresh takes in what the rows of captured messages say of their files by now: the
// client fills some of it in after the message.
func (at *attachments) refresh(folder string, items []*item) {
	at.mu.Lock()
	defer at.mu.Unlock()
	a := at.accounts[folder]
	if a == nil {
		return
	}
	for _, now := range items {
		it := a.items[now.key]
		if it == nil || it.known(&now.Want) {
			continue
		}
		it.later = &now.Want
		it.next = time.Time{}
		at.hint()
	}
}

// known says whether a want has no hint that the item lacks.
func (it *item) known(w *media.Want) bool {
	has := func(all, some []string) bool {
		return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
	}
	have := &it.Want
	if it.later != nil {
		have = it.later
	}
	return has(have.Stems, w.Stems) && has(have.MD5, w.MD5) && (w.Path == "" || have.Path == w.Path) && (w.Server == 0 || have.Server == w.Server) &&
		(w.Size == 0 || have.Size == w.Size)
}

// learn merges what the row said later into what is wanted. The worker calls it.
func (it *item) learn() {
	w := it.later
	if w == nil {
		return
	}
	it.later = nil
	for _, s := range it.Want.Stems {
		if !slices.Contains(w.Stems, s) {
			w.Stems = append(w.Stems, s)
		}
	}
	for _, s := range it.Want.MD5 {
		if !slices.Contains(w.MD5, s) {
			w.MD5 = append(w.MD5, s)
		}
	}
	it.Want, it.looked, it.asked = *w, false, false
}

// attachFacts tells the worker what the pass knows of the account.
func (a *account) attachFacts(ctx context.Context) error {
	facts := mediaFacts{
		path: a.disc.Path, dbDir: a.disc.DBDir, layout: string(a.disc.Layout), party: a.party().Freeze(), client: a.client(),
		params: a.schema.Params, keys: a.keys,
	}
	if ask := a.c.opts.ImageKeys; ask != nil {
		images, err := ask(ctx, a.id)
		if err == nil && len(images.AES) == 0 && a.disc.Alternative != "" {
			images, err = ask(ctx, a.disc.Alternative)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.c.log.Warn("key source failed for image keys, going on with those known", "source", a.disc.Path, "err", err)
			images = a.images
		}
		a.images = images
	}
	facts.images = a.images
	return a.c.attach.update(ctx, a.folder(), facts)
}

// scopeFiles tells the worker which conversations are out of scope by now.
func (a *account) scopeFiles() {
	outside := map[string]bool{}
	for username := range a.c.attach.conversations(a.folder()) {
		if !a.inScope(username) {
			outside[username] = true
		}
	}
	a.c.attach.scope(a.folder(), outside)
}
