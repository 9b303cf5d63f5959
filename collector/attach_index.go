package collector

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tidemark/collector/media"
	"tidemark/collector/sqlcipher"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// indexDB is one of the client's databases that lead to files or hold voices. It
// belongs to the worker.
type indexDB struct {
	file string // relative to the folder of databases, forward slashes
	kind string // what it is read for
	db   *sqlcipher.DB
	mark sqlcipher.Mark
	from media.Positions // how far its tables were read
}

// The kinds of index databases.
const (
	indexLinks     = "links"
	indexResources = "resources"
	indexVoices    = "voices"
)

// The index databases of each layout [A; OpenIMMedia and the places of M3 B].
var indexFiles = map[string][]struct {
	folder string
	name   *regexp.Regexp
	kind   string
}{
	media.V4: {
		{"hardlink", regexp.MustCompile(`^hardlink\.db$`), indexLinks},
		{"message", regexp.MustCompile(`^message_resource\.db$`), indexResources},
		{"message", regexp.MustCompile(`^media_[0-9]+\.db$`), indexVoices},
	},
	media.W3: {
		{"", regexp.MustCompile(`^HardLink(Image|Video|File)\.db$`), indexLinks},
		{"Multi", regexp.MustCompile(`^MediaMSG[0-9]+\.db$`), indexVoices},
		{"", regexp.MustCompile(`^(OpenIMMedia|Media)\.db$`), indexVoices},
	},
	media.M3: {
		{"", regexp.MustCompile(`^hldata\.db$`), indexLinks},
		{"Hardlink", regexp.MustCompile(`^hldata\.db$`), indexLinks},
		{"Message", regexp.MustCompile(`^hldata\.db$`), indexLinks},
	},
}

// overlap is how many rows before the last one read are read again: the row of a new
// message may have been written before the message was known.
const overlap = 2048

// consult asks the index databases for the items. One reading of a table serves all;
// what was read before is read again only when an item is new that may be further back.
func (r *round) consult(items []*item) error {
	r.consulted, r.faults = true, map[string]error{}
	w := newWanted(items)
	// The row of a message that was sent just now is among the last; of an older one it
	// may be anywhere.
	old := func(it *item) bool { return r.at.c.opts.Now().Sub(it.Want.Sent) > freshFor }
	full := slices.ContainsFunc(items, func(it *item) bool { return !it.looked && old(it) })
	fresh := slices.ContainsFunc(items, func(it *item) bool { return !it.asked })
	for _, f := range indexFiles[r.facts.layout] {
		if f.kind == indexVoices && !w.voices || f.kind != indexVoices && !w.files {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(r.facts.dbDir, filepath.FromSlash(f.folder)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.faults[path.Join(f.folder, mediaFile)] = err
		}
		for _, e := range entries {
			if !f.name.MatchString(e.Name()) {
				continue
			}
			file := path.Join(f.folder, e.Name())
			x, err := r.index(file, f.kind)
			if err == nil {
				err = r.ask(x, w, full, fresh)
			}
			if r.ctx.Err() != nil {
				return r.ctx.Err()
			}
			r.faults[file] = err
		}
	}
	for _, it := range items {
		ok := !r.faulty(it)
		it.asked, it.looked = it.asked || ok, it.looked || ok && full
	}
	return nil
}

// index opens a database once.
func (r *round) index(file, kind string) (*indexDB, error) {
	if x := r.a.indexes[file]; x != nil {
		return x, nil
	}
	db, err := sqlcipher.Open(filepath.Join(r.facts.dbDir, filepath.FromSlash(file)), sqlcipher.Options{
		Params: r.facts.params, Derived: r.at.c.derived, Logger: r.at.c.log,
		Keys: func([16]byte) []sqlcipher.Key {
			r.at.mu.Lock()
			defer r.at.mu.Unlock()
			return r.a.facts.keys
		},
	})
	if err != nil {
		return nil, err
	}
	x := &indexDB{file: file, kind: kind, db: db}
	r.a.indexes[file] = x
	return x, nil
}

// ask reads one database for what is wanted: what is new in it, with fresh its last
// rows too, with full everything. A snapshot that keeps moving is the next round's.
func (r *round) ask(x *indexDB, w *wanted, full, fresh bool) error {
	changed, err := x.db.Changed(r.ctx, x.mark)
	if err != nil || !changed && !full && !fresh {
		return err
	}
	from := media.Positions{}
	if !full {
		for table, n := range x.from {
			from[table] = max(0, n-overlap)
		}
	}
	var mark sqlcipher.Mark
	var after media.Positions
	err = sqlcipher.Retry(r.ctx, attempts, func() error {
		w.reset()
		return x.db.View(r.ctx, func(v *sqlcipher.View) (err error) {
			mark = v.Commit()
			after, err = w.read(v, x, r.facts.layout, from)
			return err
		})
	})
	if errors.Is(err, sqlcipher.ErrReplaced) {
		x.mark, x.from = sqlcipher.Mark{}, nil // its row ids mean nothing any more
	}
	if err != nil {
		return err
	}
	r.at.mu.Lock()
	w.keep()
	r.at.mu.Unlock()
	x.mark, x.from = mark, after
	x.db.Rest()
	return nil
}

// wanted is what some items ask the index databases for.
type wanted struct {
	files, voices bool
	byMD5         map[string][]*item
	byServer      map[int64][]*item
	byPlace       map[[2]int64][]*item // local id and time, for messages that the server has not numbered

	found []func() // what the snapshot that is being read gave
}

func newWanted(items []*item) *wanted {
	w := &wanted{byMD5: map[string][]*item{}, byServer: map[int64][]*item{}, byPlace: map[[2]int64][]*item{}}
	for _, it := range items {
		if it.Want.Type == record.TypeVoice {
			w.voices = true
		} else {
			w.files = true
		}
		for _, m := range it.Want.MD5 {
			m = strings.ToLower(m)
			w.byMD5[m] = append(w.byMD5[m], it)
		}
		if it.Want.Item != "" {
			continue // its message's row is not the item's
		}
		if it.Want.Server != 0 {
			w.byServer[it.Want.Server] = append(w.byServer[it.Want.Server], it)
		}
		at := [2]int64{it.Want.Local, it.Want.Sent.Unix()}
		w.byPlace[at] = append(w.byPlace[at], it)
	}
	return w
}

func (w *wanted) has(server, local, created int64) bool {
	return len(w.byServer[server])+len(w.byPlace[[2]int64{local, created}]) > 0
}

// of are the items that a row means: by the server's id, or, while the message had none,
// by its place in its conversation.
func (w *wanted) of(server, local, created int64, chat string) []*item {
	out := slices.Clone(w.byServer[server])
	for _, it := range w.byPlace[[2]int64{local, created}] {
		if it.Want.Server == 0 && chat != "" && wechat.Hash(chat) == it.Want.Chat {
			out = append(out, it)
		}
	}
	return out
}

func (w *wanted) reset() { w.found = w.found[:0] }

// keep makes what the snapshot gave count, now that it held. The caller holds
// attachments.mu.
func (w *wanted) keep() {
	for _, f := range w.found {
		f()
	}
	w.reset()
}

func (w *wanted) read(v *sqlcipher.View, x *indexDB, layout string, from media.Positions) (media.Positions, error) {
	switch x.kind {
	case indexResources:
		return media.Resources(v, from, w.has, func(m media.Resource) {
			w.found = append(w.found, func() {
				for _, it := range w.of(m.Server, m.Local, m.Created, m.Chat) {
					if !slices.Contains(it.Want.Stems, m.Stem) {
						it.Want.Stems = append(it.Want.Stems, m.Stem)
					}
				}
			})
		})
	case indexVoices:
		return media.Voices(v, layout, from, w.has, func(p media.Voice) {
			w.found = append(w.found, func() {
				for _, it := range w.of(p.Server, p.Local, p.Created, p.Chat) {
					if it.Want.Type == record.TypeVoice {
						it.voices = append(it.voices, p)
					}
				}
			})
		})
	}
	return media.Links(v, layout, from, func(md5 string) bool { return len(w.byMD5[md5]) > 0 }, func(l media.Link) {
		w.found = append(w.found, func() {
			for _, it := range w.byMD5[l.MD5] {
				if (l.Kind == "" || l.Kind == it.Want.Type) && (it.Want.Item != "") == (l.Record != "") && !slices.Contains(it.links, l) {
					it.links = append(it.links, l)
				}
			}
		})
	})
}
