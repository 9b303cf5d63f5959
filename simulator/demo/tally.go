package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tidemark/simulator/oracle"
)

// key names a message: where the client stored it.
type key struct{ conversation, file, table, localID string }

// archiveRecord is what the demo reads of an archive's record.
type archiveRecord struct {
	Kind         string
	ID           string
	Of           string
	Change       string
	Type         string
	Text         string
	Conversation party
	Sender       party
	SentAt       time.Time `json:"sent_at"`
	LocalID      string    `json:"local_id"`
	Source       struct{ File, Table string }
	Archive      struct {
		ReceivedAt time.Time `json:"received_at"`
	}
}

type party struct{ ID, Name string }

// says is what a person is shown of the message: its text, or its type where it has none.
func (r *archiveRecord) says() string {
	if r.Text == "" {
		return "[" + r.Type + "]"
	}
	return r.Text
}

func (r *archiveRecord) key() key {
	return key{r.Conversation.ID, r.Source.File, r.Source.Table, r.LocalID}
}

// label is the name, or what stands for it when nobody has told the client one.
func (p party) label() string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// recall is one recalled message from both sides.
type recall struct {
	key                key
	original, revision archiveRecord
	now                string // what the client's database has now
}

// waiting is a committed change that has not been seen in the archive.
type waiting struct {
	sent      time.Time // by the client's clock, in seconds: what records are selected by
	committed time.Time
	exact     bool // committed is the time of the commit
}

// Limits of what a tally keeps, beside the changes that wait.
const (
	recentDelays   = 100
	recentMessages = 32
)

// tally matches what the client committed with what the archive has. Memory grows
// with what is not archived yet, and by a delay for each message. It is safe for
// concurrent use.
type tally struct {
	mu       sync.Mutex
	messages map[key]waiting
	recalls  map[key]waiting

	written, recalled int
	kept              int // recalls whose revision and original are both archived
	found             int // messages
	late              int // recalled before they could be captured
	delays            []time.Duration
	last              []archiveRecord
	agent             agentStatus
	ready             time.Time // when the agent had read all for the first time
	pending           *recall   // newest that was not shown
	shown             *recall
	err               error // of the last look
}

func newTally() *tally {
	return &tally{messages: map[key]waiting{}, recalls: map[key]waiting{}}
}

// committed notes a change of the client's.
func (t *tally) committed(c oracle.Committed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{c.Conversation, c.File, c.Table, c.LocalID}
	w := waiting{time.Unix(c.CreateTime, 0), c.At, !c.Recovered}
	switch c.Op {
	case oracle.Insert:
		t.written++
		t.messages[k] = w
	case oracle.Recall:
		t.recalled++
		t.recalls[k] = w
	}
}

// waitsSince is when the oldest change that is not known to be archived was sent.
// Records sent then or later have all that is of interest.
func (t *tally) waitsSince() (since time.Time, waits bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range []map[key]waiting{t.messages, t.recalls} {
		for _, w := range m {
			if !waits || w.sent.Before(since) {
				since, waits = w.sent, true
			}
		}
	}
	return since, waits
}

// read takes records as the archive prints them. Those that were seen before,
// and those whose commit has not been read yet, change nothing.
func (t *tally) read(records io.Reader) error {
	originals := map[string]archiveRecord{} // of this reading: those that may be of a recall
	dec := json.NewDecoder(records)
	for {
		var r archiveRecord
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		t.record(&r, originals)
	}
}

func (t *tally) record(r *archiveRecord, originals map[string]archiveRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := r.key()
	_, taken := t.recalls[k]
	switch {
	case r.Kind == "message":
		if w, ok := t.messages[k]; ok {
			delete(t.messages, k)
			t.found++
			if t.last = append(t.last, *r); len(t.last) > recentMessages {
				t.last = slices.Delete(t.last, 0, 1)
			}
			// What was there before the agent was waited for the agent, not for the way.
			if w.exact && !t.ready.IsZero() && w.committed.After(t.ready) {
				t.delays = append(t.delays, max(r.Archive.ReceivedAt.Sub(w.committed), 0))
			}
		}
		switch {
		case taken && r.Type == "recall":
			delete(t.recalls, k)
			t.late++
		case taken:
			originals[r.ID] = *r
		}
	case r.Kind == "revision" && r.Change == "recall" && taken:
		original, ok := originals[r.Of]
		if !ok {
			return
		}
		delete(t.recalls, k)
		t.kept++
		t.pending = &recall{key: k, original: original, revision: *r}
	}
}

// status notes how the agent is.
func (t *tally) status(s agentStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.agent = s
	if s.Capture == nil || !t.ready.IsZero() {
		return
	}
	for _, a := range s.Capture.Accounts {
		if a.Account == owner {
			t.ready = a.LastRead
		}
	}
}

// isReady reports whether the agent has read the whole account once.
func (t *tally) isReady() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.ready.IsZero()
}

// trouble notes whether the last look went well; to have been told to stop is no
// trouble.
func (t *tally) trouble(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !errors.Is(err, context.Canceled) {
		t.err = err
	}
}

// nextRecall is the newest recalled message that was not shown.
func (t *tally) nextRecall() (recall, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == nil {
		return recall{}, false
	}
	return *t.pending, true
}

func (t *tally) showRecall(r recall) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shown, t.pending = &r, nil
}

// quantiles are the delay that half of ds, and that 95 of 100, do not exceed.
func quantiles(ds []time.Duration) (p50, p95 time.Duration) {
	if len(ds) == 0 {
		return 0, 0
	}
	ds = slices.Sorted(slices.Values(ds))
	return ds[(len(ds)-1)/2], ds[(len(ds)-1)*95/100]
}
