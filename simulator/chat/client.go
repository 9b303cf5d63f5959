// Package chat is the desktop client at work: people talk, messages get their
// server ids, are recalled and compressed, and the oracle hears of every commit.
//
// Fill writes history in large transactions. Chat writes one message per commit,
// at a pace. What is said, by whom and where depends on the seed alone; when the
// server answers, who recalls how soon and when the background compression comes by
// depends on the clock.
//
// A Client belongs to one goroutine. An error from any method leaves it useless: the
// caller ends, and the next start resolves what is open, as after a crash.
package chat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"tidemark/simulator/account"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// Client writes into one account.
type Client struct {
	acct       *account.Account
	form       form
	log        *oracle.Log
	convs      []*conversation
	shards     map[string]*shard // by file
	growing    []string          // the shards that grow in number, the one that is written to last
	nicks      map[string]string // what people are called
	zstd       *zstd.Encoder
	unzstd     *zstd.Decoder
	packedInfo []byte
	sessions   map[*conversation]*message // whose session row is out of date
}

// New is a client on acct. It first settles the changes an earlier client left
// undecided, by looking into the database.
func New(acct *account.Account, log *oracle.Log, undecided []oracle.Change) (*Client, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	c := &Client{
		acct: acct, form: formOf(acct.Generation), log: log, shards: map[string]*shard{}, zstd: enc, unzstd: dec, packedInfo: account.PackedInfo(),
		nicks: map[string]string{}, sessions: map[*conversation]*message{},
	}
	if err := c.sortShards(); err != nil {
		return nil, fmt.Errorf("order shards: %w", err)
	}
	if err := c.settle(undecided); err != nil {
		return nil, fmt.Errorf("settle the oracle: %w", err)
	}
	for _, p := range acct.People {
		c.nicks[p.Username] = p.Nick
		if p.Type != 3 {
			c.convs = append(c.convs, &conversation{username: p.Username})
		}
	}
	for _, r := range acct.Rooms {
		conv := &conversation{username: r.Username, members: []string{}}
		for _, m := range r.Members {
			if m.Username != acct.Name {
				conv.members = append(conv.members, m.Username)
			}
		}
		if len(conv.members) > 0 {
			c.convs = append(c.convs, conv)
		}
	}
	// The order must not hang on how the database returns its rows.
	slices.SortFunc(c.convs, func(a, b *conversation) int {
		return strings.Compare(account.Hash(a.username), account.Hash(b.username))
	})
	for _, conv := range c.convs {
		if err := c.resume(conv); err != nil {
			return nil, fmt.Errorf("resume conversation: %w", err)
		}
	}
	return c, nil
}

// resume learns where a conversation stands.
func (c *Client) resume(conv *conversation) error {
	return c.said(conv, func(s *shard, table string) error {
		last, err := c.form.last(s, table, conv)
		conv.lastSeq = max(conv.lastSeq, last)
		return err
	})
}

// said calls fn for each place where something has been said in a conversation.
func (c *Client) said(conv *conversation, fn func(s *shard, table string) error) error {
	for _, file := range c.form.homes(c, conv) {
		s, err := c.shard(file)
		if err != nil {
			return err
		}
		table := c.form.table(file, conv)
		switch exists, err := c.form.exists(s, table); {
		case err != nil:
			return err
		case exists:
			if err := fn(s, table); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle decides each undecided change.
func (c *Client) settle(undecided []oracle.Change) error {
	for _, ch := range undecided {
		happened, err := c.happened(ch)
		if err != nil {
			return err
		}
		if err := c.log.Recovered(ch.N, happened, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// happened reports whether the database shows a change.
func (c *Client) happened(ch oracle.Change) (bool, error) {
	switch ch.Op {
	case oracle.Contact, oracle.Room, oracle.Recreate, oracle.Drift:
		return true, nil // whether or not, what is said of it later holds
	}
	s, err := c.shard(ch.File)
	if err != nil {
		return false, err
	}
	if exists, err := c.form.exists(s, ch.Table); err != nil || !exists {
		return ch.Op == oracle.Clear, err
	}
	if ch.Op == oracle.Vanish || ch.Op == oracle.Status || ch.Op == oracle.Clear {
		return false, nil // cannot be seen; a conversation that is still there was not cleared
	}
	localID, err := strconv.ParseInt(ch.LocalID, 10, 64)
	if err != nil {
		return false, fmt.Errorf("change %d: local id: %w", ch.N, err)
	}
	r, ok, err := c.form.row(s, ch.Table, localID)
	if ch.Op == oracle.Delete {
		return !ok, err
	}
	if err != nil || !ok {
		return false, err
	}
	switch ch.Op {
	case oracle.Insert, oracle.Migrate: // a number that was rolled back may have been given out again
		return strconv.FormatInt(r.order, 10) == ch.SortSeq, nil
	case oracle.Recall:
		return r.localType&baseMask == ch.Type&baseMask, nil
	case oracle.ServerID:
		return strconv.FormatInt(r.serverID, 10) == ch.ServerID, nil
	case oracle.Recompress:
		return r.compressed, nil
	case oracle.Amend: // what a row of the same type says is not looked at: whether or not, it may say either
		return r.localType == ch.Type, nil
	}
	return false, fmt.Errorf("change %d: unknown op", ch.N)
}

// commit runs fn in a transaction on a message database and tells the oracle:
// what is about to be committed just before COMMIT, and that it was just after.
func (c *Client) commit(s *shard, fn func(writer.Tx) ([]oracle.Change, error)) error {
	var first int64
	var count int
	err := s.db.Update(func(tx writer.Tx) error {
		changes, err := fn(tx)
		if err != nil {
			return err
		}
		if first, err = c.log.Begin(changes...); err == nil {
			count = len(changes)
		}
		return err
	})
	at := time.Now()
	if err != nil {
		return errors.Join(err, c.log.Abort(first, count, at))
	}
	return c.log.Commit(first, count, at)
}

// say inserts one message. before runs when its row is there and not committed; it may
// be nil.
func (c *Client) say(m *message, before func() error) error {
	if err := c.place(m); err != nil {
		return err
	}
	err := c.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		if err := c.form.insert(c, tx, m); err != nil {
			return nil, fmt.Errorf("insert message: %w", err)
		}
		if before != nil {
			if err := before(); err != nil {
				return nil, err
			}
		}
		return []oracle.Change{m.change(oracle.Insert)}, nil
	})
	m.epoch, m.conv.spoken = m.conv.epoch, time.Now()
	c.touch(m)
	return err
}

// touch notes that the session row of m's conversation is out of date.
func (c *Client) touch(m *message) {
	c.sessions[m.conv] = m
	if !m.self {
		m.conv.unread++
	}
}

// confirm is the server's answer to an own message.
func (c *Client) confirm(m *message) error {
	m.conv.pending--
	if m.gone() {
		return nil
	}
	return c.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		m.known = true
		if err := c.form.confirm(tx, m); err != nil {
			return nil, fmt.Errorf("write server id: %w", err)
		}
		return []oracle.Change{m.change(oracle.ServerID)}, nil
	})
}

// takeBack rewrites the row of m as the notice of its recall. What it said is gone
// from the message database; of own messages a 4.x client keeps it for "re-edit".
func (c *Client) takeBack(m *message, r *rand.Rand) error {
	if m.gone() {
		return nil
	}
	notice := noticeText(r, c.nicks[m.sender], m.self)
	localType, content := int64(typeNotice), notice
	if r.IntN(4) == 0 {
		content = noticeXML(m.conv.username, m.serverID, notice)
		if c.acct.Generation == account.V4 {
			localType = typeControl
		}
	}
	err := c.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		if err := c.form.takeBack(tx, m, localType, content); err != nil {
			return nil, fmt.Errorf("recall message: %w", err)
		}
		ch := m.change(oracle.Recall)
		ch.Type, ch.Text = localType, content
		return []oracle.Change{ch}, nil
	})
	if err != nil || !m.self {
		return err
	}
	if f, ok := c.form.(v4); ok {
		if err := f.noteRecall(c, m, time.Now().Unix()); err != nil {
			return fmt.Errorf("note own recall: %w", err)
		}
	}
	return nil
}

// compress rewrites a plain row as zstd. Only 4.x does so.
func (c *Client) compress(m *message) error {
	f, ok := c.form.(v4)
	if !ok || m.gone() {
		return nil
	}
	return c.commit(m.shard, func(tx writer.Tx) ([]oracle.Change, error) {
		switch done, err := f.compress(c, tx, m); {
		case err != nil:
			return nil, fmt.Errorf("compress message: %w", err)
		case !done:
			return nil, nil
		}
		return []oracle.Change{m.change(oracle.Recompress)}, nil
	})
}

// writeSessions brings the conversation list up to date.
func (c *Client) writeSessions() error {
	if len(c.sessions) == 0 {
		return nil
	}
	if err := c.form.sessions(c, c.sessions); err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	clear(c.sessions)
	return nil
}
