package chat

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/kinds"
	"tidemark/simulator/media"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// ImageKeys are the secrets of an account's pictures, by its name and the seed.
func ImageKeys(name string, seed uint64) media.Keys {
	r := rand.New(rand.NewPCG(seed, uint64(len(name))<<8|streamKinds))
	const printable = "0123456789abcdef"
	k := media.Keys{XOR: byte(1 + r.IntN(255))}
	for i := range k.AES {
		k.AES[i] = printable[r.IntN(len(printable))]
	}
	return k
}

// repertoire is every kind of message, in one conversation with a person and one room
// after the other.
type repertoire struct {
	*Client
	r      *rand.Rand
	keys   media.Keys
	peers  []kinds.Person
	rooms  []*conversation
	extra  map[string]*conversation // that nobody talks in otherwise
	items  []kinds.Item
	rounds int
}

func (c *Client) newRepertoire(seed uint64, keys media.Keys) (*repertoire, error) {
	p := &repertoire{Client: c, r: generator(seed, streamKinds), keys: keys, extra: map[string]*conversation{}}
	for _, conv := range c.convs {
		switch {
		case len(conv.members) >= 3:
			p.rooms = append(p.rooms, conv)
		case !conv.room() && !conv.official() && conv.username != account.FileHelper:
			p.peers = append(p.peers, kinds.Person{Username: conv.username, Name: c.nicks[conv.username]})
		}
	}
	if len(p.peers) == 0 || len(p.rooms) == 0 {
		return nil, fmt.Errorf("say every kind: the account needs a friend and a room of four")
	}
	return p, nil
}

// next is the next message. The first round says every kind and nothing else; after it
// there is talk between, for which next returns nil. The last of a round is sent about
// now, the others before, a second apart.
func (p *repertoire) next(now time.Time) *message {
	if len(p.items) == 0 {
		p.compose(now)
	} else if p.rounds > 1 && p.r.IntN(2) == 0 {
		return nil
	}
	it := p.items[0]
	p.items = p.items[1:]
	m := &message{
		conv: p.conversation(it.Conversation), serverID: it.ServerID, sender: it.Sender, self: it.Sender == p.acct.Name,
		localType: it.Sub<<32 | it.Base, content: it.Content, source: it.Source, item: &it, createTime: it.Time.Unix(),
	}
	m.packed = p.r.IntN(4) == 0
	return m
}

// compose makes the messages of a round.
func (p *repertoire) compose(now time.Time) {
	room := p.rooms[p.rounds%len(p.rooms)]
	env := kinds.Env{
		Gen: media.Generation(p.acct.Generation), Rand: p.r, Owner: kinds.Person{Username: p.acct.Name, Name: p.nicks[p.acct.Name]},
		Folder: filepath.Base(p.acct.Dir()), Peer: p.peers[p.rounds%len(p.peers)], Room: room.username,
		NextID: func() int64 { return p.r.Int64N(1<<63-1) + 1 }, Time: now,
	}
	for _, m := range room.members {
		env.Members = append(env.Members, kinds.Person{Username: m, Name: p.nicks[m]})
	}
	p.items = kinds.All(env)
	if early := p.items[len(p.items)-1].Time.Sub(now); early > 0 {
		// Composed again rather than moved: names of folders and rows hang on the time.
		env.Time = now.Add(-early)
		p.items = kinds.All(env)
	}
	p.rounds++
}

func (p *repertoire) conversation(username string) *conversation {
	if i := slices.IndexFunc(p.convs, func(c *conversation) bool { return c.username == username }); i >= 0 {
		return p.convs[i]
	}
	if p.extra[username] == nil {
		p.extra[username] = &conversation{username: username}
	}
	return p.extra[username]
}

// say inserts a message with the files that are there, and the rows that lead to them.
func (p *repertoire) say(m *message) error {
	m.order(m.createTime)
	if err := p.Client.say(m, func() error { return p.bring(m) }); err != nil {
		return err
	}
	return p.index(m)
}

// bring writes the files that come with a message whose row is about to be committed.
func (p *repertoire) bring(m *message) error {
	numbered := m.item.Numbered(m.localID)
	m.item = &numbered
	return p.store(m, false)
}

// store writes the files of a message that come with it, or those that come late.
func (p *repertoire) store(m *message, late bool) error {
	for i := range m.item.Media {
		f := &m.item.Media[i]
		if (f.Delay > 0) != late || !f.OnDisk() {
			continue
		}
		if err := f.Store(p.acct.Dir(), p.keys); err != nil {
			return fmt.Errorf("store file of a message: %w", err)
		}
	}
	return nil
}

// delay is how long after its message the last file comes.
func (m *message) delay() (d time.Duration) {
	for _, f := range m.item.Media {
		d = max(d, f.Delay)
	}
	return d
}

// index writes the rows of index databases.
func (p *repertoire) index(m *message) error {
	rows := map[string][]media.Row{}
	for _, r := range m.item.Rows {
		rows[r.Database] = append(rows[r.Database], r)
	}
	for file, rs := range rows {
		db, err := p.acct.DB(file)
		if err != nil {
			return err
		}
		err = db.Update(func(tx writer.Tx) error {
			var last int64
			for _, r := range rs {
				statement, args, err := r.Insert(func(v any) (any, error) { return resolve(tx, v, m.localID, last) })
				if err != nil {
					return err
				}
				res, err := tx.Exec(statement, args...)
				if err != nil {
					return err
				}
				if last, err = res.LastInsertId(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index of files: %w", err)
		}
	}
	return nil
}

// resolve is what a placeholder of a row stands for.
func resolve(tx writer.Tx, v any, local, last int64) (any, error) {
	switch v := v.(type) {
	case media.LocalID:
		return local, nil
	case media.LastID:
		return last, nil
	case media.NameID:
		if _, err := tx.Exec(`INSERT OR IGNORE INTO `+v.Table+`(`+v.Column+`) VALUES(?)`, v.Name); err != nil {
			return nil, err
		}
		var id int64
		err := tx.QueryRow(`SELECT rowid FROM `+v.Table+` WHERE `+v.Column+` = ?`, v.Name).Scan(&id)
		return id, err
	}
	return v, nil
}

// describe adds to a change what a message of any kind must become.
func (m *message) describe(ch *oracle.Change) {
	it := m.item
	if it == nil {
		return
	}
	ch.Kind, ch.Text, ch.Expect, ch.Mentions, ch.QuoteOf = it.Type, it.Text, it.Expect, it.Mentions, it.QuoteOf
	if it.Type != "text" {
		ch.Content = m.content
	}
	for _, f := range it.Media {
		ch.Media = append(ch.Media, oracle.Media{Role: f.Role, State: f.State, Item: f.Item, SHA256: f.SHA256, Size: f.Size, Name: f.Name})
	}
}

// amend makes m's row what it becomes when the client goes on with it, in place.
func (c *Client) amend(m *message, later kinds.Item, change string) error {
	if m.gone() {
		return nil
	}
	return c.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		m.item, m.content, m.localType, m.packed = &later, later.Content, later.Sub<<32|later.Base, false
		ch := m.change(oracle.Amend)
		ch.Change = change
		return []oracle.Change{ch}, c.form.rewrite(tx, m)
	})
}
