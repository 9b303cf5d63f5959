package collector

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"tidemark/collector/media"
)

// maxMediaFolders is how many folders of files are watched: those where the newest
// messages' files are expected. Others are looked at by the poll.
const maxMediaFolders = 64

// mediaWatcher turns changes below folders of files into hints.
type mediaWatcher struct {
	notify *fsnotify.Watcher
	log    *slog.Logger
}

func newMediaWatcher(log *slog.Logger, hint func()) *mediaWatcher {
	w := &mediaWatcher{log: log}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no notifications of files, going by the poll alone", "err", err)
		return w
	}
	w.notify = n
	go func() {
		for {
			select {
			case _, ok := <-n.Events:
				if !ok {
					return
				}
			case _, ok := <-n.Errors: // hints were lost, so this is one
				if !ok {
					return
				}
			}
			hint()
		}
	}()
	return w
}

func (w *mediaWatcher) close() {
	if w.notify != nil {
		w.notify.Close()
	}
}

// watch makes the folders those that are watched.
func (w *mediaWatcher) watch(folders []string) {
	if w.notify == nil {
		return
	}
	watched := w.notify.WatchList()
	for _, f := range watched {
		if !slices.Contains(folders, f) {
			w.notify.Remove(f) // fails when the folder went by itself
		}
	}
	for _, f := range folders {
		if slices.Contains(watched, f) {
			continue
		}
		if err := w.notify.Add(f); err != nil {
			w.log.Debug("folder is not watched, going by the poll", "err", err)
		}
	}
}

// places are the folders where files of young messages are expected: for each the
// nearest above it that is there.
func (at *attachments) places() []string {
	wall := at.c.opts.Now()
	at.mu.Lock()
	type place struct {
		sent   time.Time
		root   string
		folder string
	}
	var all []place
	for _, a := range at.accounts {
		for _, it := range a.items {
			if wall.Sub(it.Want.Sent) > betterFor {
				continue
			}
			for _, p := range media.Places(&it.Want) {
				all = append(all, place{it.Want.Sent, a.facts.path, filepath.FromSlash(p)})
			}
		}
	}
	at.mu.Unlock()
	slices.SortFunc(all, func(x, y place) int { return y.sent.Compare(x.sent) })
	var out []string
	for _, p := range all {
		if len(out) == maxMediaFolders {
			break
		}
		for folder := p.folder; ; folder = filepath.Dir(folder) {
			full := filepath.Join(p.root, folder)
			if info, err := os.Stat(full); err == nil && info.IsDir() {
				if !slices.Contains(out, full) {
					out = append(out, full)
				}
				break
			}
			if folder == "." || folder == string(filepath.Separator) {
				break
			}
		}
	}
	return out
}
