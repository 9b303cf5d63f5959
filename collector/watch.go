package collector

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a burst of notifications is gathered: a commit writes
// several frames and then syncs, and only its last frame makes it one.
const settleTime = 8 * time.Millisecond

// watcher turns the system's notifications into hints that something changed. It
// never says what: a hint that is lost costs a poll interval, no record.
type watcher struct {
	changes chan bool // true: folders or databases came or went, search again
	notify  *fsnotify.Watcher
	log     *slog.Logger
	done    chan struct{}
}

func newWatcher(log *slog.Logger) *watcher {
	w := &watcher{changes: make(chan bool), log: log, done: make(chan struct{})}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no notifications, going by the poll alone", "err", err)
		return w
	}
	w.notify = n
	go w.run()
	return w
}

func (w *watcher) close() {
	if w.notify == nil {
		return
	}
	close(w.done)
	w.notify.Close()
}

// watch adds folders that are not watched yet.
func (w *watcher) watch(folders []string) {
	if w.notify == nil {
		return
	}
	watched := w.notify.WatchList() // without folders that were removed since
	for _, f := range folders {
		if slices.Contains(watched, f) {
			continue
		}
		if err := w.notify.Add(f); err != nil {
			w.log.Debug("folder is not watched, going by the poll", "source", f, "err", err)
		}
	}
}

func (w *watcher) run() {
	for {
		relevant, look := false, false
		note := func(e fsnotify.Event) {
			name := filepath.Base(e.Name)
			database := strings.HasSuffix(name, ".db") || strings.HasSuffix(name, ".db-wal")
			came := e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)
			relevant = relevant || database
			look = look || came && (database || !strings.Contains(name, "."))
		}
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			note(e)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// An overflow means that hints were lost: look at everything.
			w.log.Debug("notifications were lost", "err", err)
			relevant, look = true, true
		}
		settled := time.After(settleTime)
	gather:
		for {
			select {
			case e, ok := <-w.notify.Events:
				if !ok {
					return
				}
				note(e)
			case <-settled:
				break gather
			}
		}
		if !relevant && !look {
			continue
		}
		// While the pass is busy with an earlier hint, this one waits and the system
		// queues the next ones.
		select {
		case w.changes <- look:
		case <-w.done:
			return
		}
	}
}
