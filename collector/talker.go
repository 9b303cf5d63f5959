package collector

import (
	"tidemark/collector/wechat"
	"tidemark/record"
)

// talker is the username of a table's conversation, or what stands for it.
func (s *shard) talker(t *table) string {
	if username, ok := s.a.hashes[t.Key]; ok {
		return username
	}
	return wechat.UnresolvedPrefix + t.Key
}

// inScope says whether anything of a table may be.
func (s *shard) inScope(t *table) bool {
	return s.a.schema.PerRow || s.a.inScope(s.talker(t))
}

// conversation is one as records show it.
func (a *account) conversation(username string) *record.Conversation {
	c := &record.Conversation{ID: username, Kind: wechat.ConversationKind(username), Name: a.known.Name(username)}
	return c.Freeze()
}

// conversation is a table's, nil where rows have one each.
func (s *shard) conversation(t *table) *record.Conversation { return s.conversationOf(t, 0) }

// conversationOf is a table's or, where rows have one each, that of a name's id; nil
// when that is not known.
func (s *shard) conversationOf(t *table, talker int64) *record.Conversation {
	if !s.a.schema.PerRow {
		return s.a.conversation(s.talker(t))
	}
	if username := s.names[talker]; username != "" {
		return s.a.conversation(username)
	}
	return nil
}
