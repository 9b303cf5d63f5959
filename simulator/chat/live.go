package chat

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"tidemark/simulator/kinds"
	"tidemark/simulator/media"
	"tidemark/simulator/oracle"
)

// ChatOptions say how Chat talks.
type ChatOptions struct {
	Seed        uint64
	Rate        float64       // messages per second on average; 0 is as fast as it goes
	Count       int           // stop after so many messages; 0 means no such limit
	For         time.Duration // stop after so long; 0 means no such limit
	Recall      float64       // part of the messages that are recalled
	RecallAfter time.Duration // how long after the message; 0 means 1 to 20 s
	Compress    float64       // part of the rows that are compressed: half at once, half later
	Changes     Changes       // what else happens to rows, and how often
	Drift       []string      // what is new in this client, see Drifts; from the third message on
	Kinds       bool          // say messages of every kind
	Fates       bool          // of each kind, recall the second message, delete the third, and so on
	Images      media.Keys    // of the pictures among them
}

// Stats counts what Chat did.
type Stats struct {
	Messages, Recalls, ServerIDs, Recompressed, Amended int
	Changes                                             map[string]int // by name, of those that ChatOptions name
}

// How the client and its server behave, where the seed leaves it to the clock.
const (
	answerMin, answerMax     = 100 * time.Millisecond, 400 * time.Millisecond
	recallMin, recallMax     = time.Second, 20 * time.Second
	compressMin, compressMax = 2 * time.Second, 6 * time.Second
	sessionEvery             = 500 * time.Millisecond
	// At the end, what is due within this time is still awaited: every server answer,
	// and the recalls and compressions that are near.
	lingers = time.Second
)

// Chat talks until a limit is reached or ctx ends, then finishes what is nearly due.
// The end of ctx is not an error.
func (c *Client) Chat(ctx context.Context, o ChatOptions) (Stats, error) {
	seed := o.Seed + c.spoken()
	l := &live{Client: c, ChatOptions: o, pace: generator(seed, streamPace), late: map[*message]bool{}, told: map[string]int{}}
	l.speaker = newSpeaker(generator(seed, streamTexts), c.acct.Name, c.convs, o.Compress, o.Recall)
	l.changer = &changer{live: l, r: generator(seed, streamChanges), done: map[string]int{}, waiting: map[string]bool{}}
	l.stats.Changes = l.changer.done
	if o.Kinds {
		var err error
		if l.repertoire, err = c.newRepertoire(seed, o.Images); err != nil {
			return l.stats, err
		}
	}
	start := time.Now()
	if err := l.adopt(start); err != nil {
		return l.stats, err
	}
	end := time.Time{}
	if o.For > 0 {
		end = start.Add(o.For)
	}
	l.at(start.Add(sessionEvery), l.sessionsDue)
	next := start
	for o.Count == 0 || l.stats.Messages < o.Count {
		due := next
		if len(l.due) > 0 && l.due[0].when.Before(next) {
			due = l.due[0].when
		}
		if !end.IsZero() && !due.Before(end) {
			sleep(ctx, time.Until(end))
			break
		}
		if !sleep(ctx, time.Until(due)) {
			break
		}
		if err := l.runDue(time.Now()); err != nil {
			return l.stats, err
		}
		if now := time.Now(); !next.After(now) {
			if err := l.speak(now); err != nil {
				return l.stats, err
			}
			next = l.after(next, now)
		}
	}
	wait := lingers
	if l.Fates {
		wait += l.changer.settled() + answerMax
	}
	if err := l.finish(time.Now().Add(wait)); err != nil {
		return l.stats, err
	}
	for m := range l.late {
		if err := l.arrive(m); err != nil {
			return l.stats, err
		}
	}
	if err := l.changer.rest(); err != nil {
		return l.stats, err
	}
	return l.stats, l.writeSessions()
}

// spoken differs for each state of the account, so that a client that goes on with
// the same seed says something new under new server ids, as a server would see to.
func (c *Client) spoken() (n uint64) {
	for _, conv := range c.convs {
		n += uint64(conv.lastSeq)
	}
	return n
}

// sleep waits for d or ctx, and reports whether ctx is still going.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// live is one run of Chat.
type live struct {
	*Client
	ChatOptions
	speaker *speaker
	changer *changer

	repertoire *repertoire       // nil when only texts are said
	late       map[*message]bool // files that are still to come
	told       map[string]int    // messages of each kind, for their fates

	pace  *rand.Rand // times
	due   agenda
	stats Stats
}

// after is when the message after the one planned for last is due.
func (l *live) after(last, now time.Time) time.Time {
	if l.Rate <= 0 {
		return now
	}
	mean := float64(time.Second) / l.Rate
	next := last.Add(time.Duration(min(l.pace.ExpFloat64(), 5) * mean))
	if behind := now.Add(-time.Second); next.Before(behind) { // too slow for the rate: forget the debt
		return behind
	}
	return next
}

func (l *live) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(l.pace.Int64N(int64(hi-lo)))
}

// speak says the next message and plans what follows from it.
func (l *live) speak(now time.Time) error {
	m, err := l.utter(now)
	if err != nil {
		return err
	}
	l.stats.Messages++
	committed := time.Now()
	if m.self {
		l.planAnswer(m, committed)
	}
	if m.packLater {
		l.at(committed.Add(l.between(compressMin, compressMax)), func(time.Time) error {
			l.stats.Recompressed++
			return l.compress(m)
		})
	}
	if m.recall {
		wait := l.between(recallMin, recallMax)
		if l.RecallAfter > 0 {
			wait = l.RecallAfter
		}
		l.at(committed.Add(wait), func(now time.Time) error { return l.recallDue(m, now) })
	}
	if m.item != nil && !m.recall {
		if later, change := kinds.Later(*m.item); change != "" {
			l.planAmend(m, later, change, committed)
		}
	}
	if l.stats.Messages == 3 {
		for _, kind := range l.Drift {
			if err := l.drift(kind, m); err != nil {
				return err
			}
		}
	}
	l.changer.said(m, committed)
	return nil
}

// planAmend has the client go on with m, once the server knows it.
func (l *live) planAmend(m *message, later kinds.Item, change string, from time.Time) {
	l.at(from.Add(l.changer.settled()), func(now time.Time) error {
		if !m.known && !m.gone() {
			l.planAmend(m, later, change, now)
			return nil
		}
		l.stats.Amended++
		return l.amend(m, later, change)
	})
}

// utter says the next message, of whatever kind.
func (l *live) utter(now time.Time) (*message, error) {
	if l.repertoire != nil {
		if m := l.repertoire.next(now); m != nil {
			m.known = !m.self
			m.recall = !m.notice() && l.pace.Float64() < l.Recall
			fate := l.fate(m)
			m.recall = m.recall || fate == oracle.Recall
			if err := l.repertoire.say(m); err != nil {
				return nil, err
			}
			if fate == oracle.Delete {
				l.planDeletion(m, now)
			}
			if d := m.delay(); d > 0 {
				l.late[m] = true
				l.at(now.Add(d), func(time.Time) error { return l.arrive(m) })
			}
			return m, nil
		}
	}
	m := l.speaker.next()
	m.known = !m.self
	m.stamp(now.Unix())
	return m, l.say(m, nil)
}

// fate is what is to become of m: with Fates, of each kind the first message stays, the
// second is recalled, if its kind can be, and the third deleted, and so on. A message
// that the client goes on with stays for that.
func (l *live) fate(m *message) string {
	if !l.Fates {
		return ""
	}
	if _, change := kinds.Later(*m.item); change != "" {
		return ""
	}
	n := l.told[m.item.Type]
	l.told[m.item.Type]++
	switch {
	case n%3 == 1 && !m.notice():
		return oracle.Recall
	case n%3 == 2:
		return oracle.Delete
	}
	return ""
}

// planDeletion deletes m once it is settled and the server knows it.
func (l *live) planDeletion(m *message, from time.Time) {
	l.at(from.Add(l.changer.settled()), func(now time.Time) error {
		switch {
		case m.gone():
			return nil
		case !m.known:
			l.planDeletion(m, now)
			return nil
		}
		return l.changer.deleteRow(m)
	})
}

// arrive brings the late files of m.
func (l *live) arrive(m *message) error {
	if !l.late[m] {
		return nil
	}
	delete(l.late, m)
	return l.repertoire.store(m, true)
}

// recallDue recalls m, once the server knows it.
func (l *live) recallDue(m *message, now time.Time) error {
	if m.gone() {
		return nil
	}
	if !m.known {
		l.at(now.Add(answerMin), func(now time.Time) error { return l.recallDue(m, now) })
		return nil
	}
	l.stats.Recalls++
	return l.takeBack(m, l.pace)
}

func (l *live) planAnswer(m *message, from time.Time) {
	m.conv.pending++
	l.at(from.Add(l.between(answerMin, answerMax)), func(time.Time) error {
		l.stats.ServerIDs++
		return l.confirm(m)
	})
}

func (l *live) sessionsDue(now time.Time) error {
	l.at(now.Add(sessionEvery), l.sessionsDue)
	return l.writeSessions()
}

// adopt takes over own messages that an earlier client left without the server's answer.
func (l *live) adopt(now time.Time) error {
	for _, conv := range l.convs {
		err := l.said(conv, func(s *shard, table string) error {
			found, err := l.form.unanswered(l.Client, s, table, conv)
			for _, m := range found {
				m.serverID, m.epoch = l.pace.Int64N(1<<63-1)+1, conv.epoch
				l.planAnswer(m, now)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// runDue does what is due at now.
func (l *live) runDue(now time.Time) error {
	for len(l.due) > 0 && !l.due[0].when.After(now) {
		e := heap.Pop(&l.due).(event)
		if err := e.do(now); err != nil {
			return err
		}
	}
	return nil
}

// finish does what is due until end, each at its time, and leaves the rest undone.
func (l *live) finish(end time.Time) error {
	for len(l.due) > 0 && !l.due[0].when.After(end) {
		time.Sleep(time.Until(l.due[0].when))
		if err := l.runDue(time.Now()); err != nil {
			return err
		}
	}
	return l.writeSessions()
}

// event is something to do at a time.
type event struct {
	when time.Time
	do   func(now time.Time) error
}

func (l *live) at(when time.Time, do func(time.Time) error) {
	heap.Push(&l.due, event{when, do})
}

// agenda is a heap of events.
type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a agenda) Less(i, j int) bool { return a[i].when.Before(a[j].when) }
func (a *agenda) Push(x any)        { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	old := *a
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*a = old[:len(old)-1]
	return e
}
