package chat

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// Changes says how often each kind of change happens, as a part of the messages said.
// Whichever is named happens at least once before Chat ends, where the generation has
// it.
type Changes map[string]float64

// changeRates is every kind of change, and how often it happens unless told.
var changeRates = map[string]float64{
	oracle.Delete:   0.02,
	oracle.Clear:    0.004,
	oracle.Recreate: 0.002,
	oracle.Vanish:   0.01,
	changeShard:     0.002,
	changeImport:    0.002,
	oracle.Status:   0.05,
	oracle.Contact:  0.01,
	oracle.Room:     0.01,
}

// Changes that the oracle tells as the inserts they bring.
const (
	changeShard  = "shard"  // a new shard, in which conversations go on
	changeImport = "import" // old messages appear, in a shard of a higher number where there are shards
)

// ParseChanges reads a list such as "delete,clear=0.01"; "all" is every one.
func ParseChanges(s string) (Changes, error) {
	c := Changes{}
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if name == "all" {
			maps.Copy(c, changeRates)
			continue
		}
		name, rate, given := strings.Cut(name, "=")
		usual, ok := changeRates[name]
		if !ok {
			return nil, fmt.Errorf("parse changes: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(changeRates)), ", "))
		}
		if given {
			var err error
			if usual, err = strconv.ParseFloat(rate, 64); err != nil || usual < 0 || usual > 1 {
				return nil, fmt.Errorf("parse changes: the rate of %s is not a number from 0 to 1", name)
			}
		}
		c[name] = usual
	}
	return c, nil
}

// changer does the changes of one run of Chat.
type changer struct {
	*live
	r       *rand.Rand
	kept    []*message // said in this run and still there, oldest first
	done    map[string]int
	waiting map[string]bool // planned and not yet possible
}

// mostKept bounds what a changer remembers.
const mostKept = 2000

// settled is how old a message must be before something takes it away: whoever watches
// has had the time to see it.
func (ch *changer) settled() time.Duration {
	if ch.RecallAfter > 0 {
		return ch.RecallAfter
	}
	return recallMin
}

// said notes a message and plans what changes with it.
func (ch *changer) said(m *message, now time.Time) {
	m.spoken = now
	if !m.recall {
		ch.kept = append(ch.kept, m)
	}
	if len(ch.kept) > mostKept {
		ch.kept = ch.kept[mostKept/2:]
	}
	for _, name := range slices.Sorted(maps.Keys(ch.Changes)) {
		if ch.r.Float64() < ch.Changes[name] && !ch.waiting[name] {
			ch.plan(name, now)
		}
	}
}

// plan does a change, now or as soon as it is possible.
func (ch *changer) plan(name string, now time.Time) {
	ch.waiting[name] = true
	ch.at(now, func(now time.Time) error {
		ok, err := ch.do(name, now)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !ok {
			ch.at(now.Add(100*time.Millisecond), func(now time.Time) error { ch.plan(name, now); return nil })
			return nil
		}
		ch.waiting[name] = false
		ch.done[name]++
		return nil
	})
}

// rest does what is still to be done once, when nobody says anything any more.
func (ch *changer) rest() error {
	for _, name := range slices.Sorted(maps.Keys(ch.Changes)) {
		for deadline := time.Now().Add(ch.settled() + 5*time.Second); ch.done[name] == 0 && time.Now().Before(deadline); {
			ok, err := ch.do(name, time.Now())
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if ok {
				ch.done[name]++
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// do does a change, if it is possible now. What a generation does not have is done.
func (ch *changer) do(name string, now time.Time) (bool, error) {
	switch name {
	case oracle.Delete:
		return ch.onOld(now, ch.deleteRow)
	case oracle.Status:
		return ch.onOld(now, ch.rewriteStatus)
	case oracle.Clear:
		return ch.clear(now)
	case oracle.Vanish:
		return true, ch.vanish()
	case oracle.Recreate:
		return ch.recreate()
	case changeShard:
		return true, ch.newShard(now, true)
	case changeImport:
		return true, ch.importOld(now)
	case oracle.Contact:
		return true, ch.contact()
	case oracle.Room:
		return true, ch.join()
	}
	return true, nil
}

// onOld does something to a settled message.
func (ch *changer) onOld(now time.Time, do func(*message) error) (bool, error) {
	ch.kept = slices.DeleteFunc(ch.kept, (*message).gone)
	old := 0
	for old < len(ch.kept) && now.Sub(ch.kept[old].spoken) >= ch.settled() && ch.kept[old].known {
		old++
	}
	if old == 0 {
		return false, nil
	}
	return true, do(ch.kept[ch.r.IntN(old)])
}

func (ch *changer) deleteRow(m *message) error {
	return ch.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		m.removed = true
		return []oracle.Change{m.change(oracle.Delete)}, ch.form.remove(tx, m)
	})
}

func (ch *changer) rewriteStatus(m *message) error {
	return ch.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		return []oracle.Change{m.change(oracle.Status)}, ch.form.status(tx, m)
	})
}

// clear empties the conversation that has been silent longest.
func (ch *changer) clear(now time.Time) (bool, error) {
	latest := map[*conversation]time.Time{}
	for _, m := range ch.kept {
		if m.conv.spoken.After(latest[m.conv]) {
			latest[m.conv] = m.conv.spoken
		}
	}
	var conv *conversation
	for _, c := range ch.convs {
		if at, ok := latest[c]; ok && c.pending == 0 && (conv == nil || at.Before(latest[conv])) {
			conv = c
		}
	}
	if conv == nil || now.Sub(latest[conv]) < ch.settled() {
		return false, nil
	}
	drop := ch.r.IntN(2) == 0
	err := ch.Client.said(conv, func(s *shard, table string) error {
		return ch.commit(s, func(tx writer.Tx) ([]oracle.Change, error) {
			dropped, err := ch.form.clear(tx, s, table, conv, drop)
			if dropped {
				delete(s.made, table)
			}
			return []oracle.Change{{Op: oracle.Clear, File: s.file, Table: table, Conversation: conv.username}}, err
		})
	})
	conv.epoch++
	delete(ch.sessions, conv)
	if err == nil {
		err = ch.form.forget(ch.Client, conv, now.Unix())
	}
	return true, err
}

// vanish inserts rows and takes them away before anyone can see them.
func (ch *changer) vanish() error {
	var ms []*message
	for range 1 + ch.r.IntN(3) {
		m := ch.speaker.next()
		if len(ms) > 0 {
			m.conv, m.self, m.sender = ms[0].conv, ms[0].self, ms[0].sender
		}
		m.known = true
		m.stamp(time.Now().Unix())
		if err := ch.place(m); err != nil {
			return err
		}
		ms = append(ms, m)
	}
	return ch.commit(ms[0].shard, func(tx writer.Tx) ([]oracle.Change, error) {
		for _, m := range ms {
			if err := ch.form.insert(ch.Client, tx, m); err != nil {
				return nil, err
			}
		}
		for _, m := range ms {
			if err := ch.form.remove(tx, m); err != nil {
				return nil, err
			}
		}
		change := ms[0].change(oracle.Vanish)
		change.Through, change.Text = strconv.FormatInt(ms[len(ms)-1].localID, 10), ""
		return []oracle.Change{change}, nil
	})
}

// recreate makes a message database anew, with the same rows under another salt, when
// none of its rows waits for an answer of the server.
func (ch *changer) recreate() (bool, error) {
	var files []string
	for file, s := range ch.shards {
		if len(s.made) > 0 || ch.acct.Generation == account.W3 {
			files = append(files, file)
		}
	}
	for _, conv := range ch.convs {
		if conv.pending > 0 {
			return false, nil
		}
	}
	if len(files) == 0 {
		return false, nil
	}
	slices.Sort(files)
	s := ch.shards[files[ch.r.IntN(len(files))]]
	first, err := ch.log.Begin(oracle.Change{Op: oracle.Recreate, File: s.file})
	if err != nil {
		return false, err
	}
	if s.db, err = ch.acct.Recreate(s.file); err != nil {
		return false, err
	}
	clear(s.names)
	return true, ch.log.Commit(first, 1, time.Now())
}

// newShard adds a shard that begins at a time. The newest one is written to.
func (ch *changer) newShard(begin time.Time, current bool) error {
	file := ch.acct.NextShard()
	if file == "" {
		return nil // this generation has a fixed number
	}
	s, err := ch.shard(file)
	if err != nil {
		return err
	}
	if err := ch.form.begin(ch.Client, s, begin); err != nil {
		return err
	}
	if current {
		ch.growing = append(ch.growing, file)
	} else {
		ch.growing = append([]string{file}, ch.growing...)
	}
	return nil
}

// importOld brings messages of long ago, as a migration from a phone does.
func (ch *changer) importOld(now time.Time) error {
	begin := now.AddDate(-2, 0, -ch.r.IntN(300))
	if err := ch.newShard(begin, false); err != nil {
		return err
	}
	batch := map[*shard][]*message{}
	for i := range 5 + ch.r.IntN(15) {
		m := ch.speaker.next()
		m.known, m.recall = true, false
		m.createTime = begin.Add(time.Duration(i) * time.Minute).Unix()
		m.sortSeq = m.createTime * 1000
		homes := ch.form.homes(ch.Client, m.conv)
		s, err := ch.shard(homes[0])
		if err != nil {
			return err
		}
		m.shard, m.table = s, ch.form.table(s.file, m.conv)
		batch[s] = append(batch[s], m)
	}
	for s, ms := range batch {
		if err := ch.write(s, ms, nil); err != nil {
			return err
		}
	}
	return nil
}

// contact gives a person another remark, or a label.
func (ch *changer) contact() error {
	var friends []account.Person
	for _, p := range ch.acct.People {
		if p.Type != 3 && p.Username != account.FileHelper {
			friends = append(friends, p)
		}
	}
	if len(friends) == 0 {
		return nil
	}
	p := friends[ch.r.IntN(len(friends))]
	i := slices.IndexFunc(ch.acct.People, func(o account.Person) bool { return o.Username == p.Username })
	p.Remark = fmt.Sprintf("%s (%d)", p.Nick, ch.r.IntN(1000))
	state := &oracle.ContactState{Remark: p.Remark, Nick: p.Nick}
	if ch.r.IntN(2) == 0 && p.Type == 1 && ch.acct.Generation != account.M3 {
		p.Label = pick(ch.r, account.Labels())
	}
	if p.Label != "" { // also one that an earlier change gave
		state.Labels = []string{p.Label}
	}
	return ch.note(oracle.Change{Op: oracle.Contact, Conversation: p.Username, Contact: state}, func() error {
		ch.acct.People[i] = p
		return ch.acct.ChangePerson(p)
	})
}

// join brings a friend into a room.
func (ch *changer) join() error {
	if len(ch.acct.Rooms) == 0 {
		return nil
	}
	room := &ch.acct.Rooms[ch.r.IntN(len(ch.acct.Rooms))]
	for _, p := range ch.acct.People {
		if p.Type != 1 || p.Official() || slices.ContainsFunc(room.Members, func(m account.Member) bool { return m.Username == p.Username }) {
			continue
		}
		room.Members = append(room.Members, account.Member{Username: p.Username})
		var names []string
		for _, m := range room.Members {
			names = append(names, m.Username)
		}
		return ch.note(oracle.Change{Op: oracle.Room, Conversation: room.Username,
			Room: &oracle.RoomState{Name: room.Name, Owner: room.Owner, Members: names}}, func() error { return ch.acct.ChangeRoom(*room) })
	}
	return nil
}

// note tells the oracle of a change that is no message's.
func (c *Client) note(change oracle.Change, do func() error) error {
	first, err := c.log.Begin(change)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return c.log.Commit(first, 1, time.Now())
}
