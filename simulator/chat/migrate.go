package chat

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

// Migrate imports what an oracle tells of another generation's account into this one,
// as a client does on request after it was upgraded: what is left of the messages, with
// their server ids and without their files, in a shard of a higher number. A message
// that had no server id stays behind. It returns how many it imported.
func (c *Client) Migrate(told io.Reader) (int, error) {
	messages, err := remaining(told)
	if err != nil {
		return 0, err
	}
	begin := time.Now().AddDate(-1, 0, 0)
	if len(messages) > 0 {
		begin = time.Unix(messages[0].CreateTime, 0)
	}
	s, err := c.shard(c.acct.NextShard())
	if err != nil {
		return 0, err
	}
	if err := c.form.begin(c, s, begin); err != nil {
		return 0, err
	}
	if err := c.sortShards(); err != nil {
		return 0, err
	}
	noise := generator(uint64(len(messages)), streamHistory)
	conversations := map[string]*conversation{}
	for _, conv := range c.convs {
		conversations[conv.username] = conv
	}
	return len(messages), c.commit(s, func(tx writer.Tx) ([]oracle.Change, error) {
		var changes []oracle.Change
		for _, ch := range messages {
			conv := conversations[ch.Conversation]
			if conv == nil {
				conv = &conversation{username: ch.Conversation}
				conversations[ch.Conversation] = conv
			}
			m := &message{conv: conv, shard: s, table: c.form.table(s.file, conv), known: true, createTime: ch.CreateTime, sender: ch.Sender,
				self: ch.Self, localType: ch.Type, content: ch.Text, source: messageSource(noise, len(conv.members))}
			if ch.Content != "" {
				m.content = ch.Content
			}
			if m.serverID, err = strconv.ParseInt(ch.ServerID, 10, 64); err != nil {
				return nil, fmt.Errorf("change %d: server id: %w", ch.N, err)
			}
			if m.sortSeq, err = strconv.ParseInt(ch.SortSeq, 10, 64); err != nil {
				return nil, fmt.Errorf("change %d: order: %w", ch.N, err)
			}
			if err := c.form.insert(c, tx, m); err != nil {
				return nil, fmt.Errorf("import message: %w", err)
			}
			changes = append(changes, m.change(oracle.Migrate))
		}
		return changes, nil
	})
}

// remaining is what is left of the messages that an oracle tells of, in their order and
// their last state.
func remaining(told io.Reader) ([]oracle.Change, error) {
	type key struct{ file, table, id string }
	last := map[key]*oracle.Change{}
	_, err := oracle.Read(told, func(ch oracle.Committed) error {
		k := key{ch.File, ch.Table, ch.LocalID}
		switch ch.Op {
		case oracle.Insert:
			last[k] = &ch.Change
		case oracle.ServerID:
			last[k].ServerID = ch.ServerID
		case oracle.Recall:
			last[k].Type, last[k].Text, last[k].Content = ch.Type, ch.Text, ""
		case oracle.Amend:
			last[k].Type, last[k].Content = ch.Type, ch.Content
		case oracle.Delete:
			delete(last, k)
		case oracle.Clear:
			for k, m := range last {
				if m.File == ch.File && m.Table == ch.Table && m.Conversation == ch.Conversation {
					delete(last, k)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var left []oracle.Change
	for _, m := range last {
		if m.ServerID != "0" {
			left = append(left, *m)
		}
	}
	slices.SortFunc(left, func(a, b oracle.Change) int { return int(a.N - b.N) })
	return left, nil
}
