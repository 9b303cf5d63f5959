package collector

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// A message that was captured before the server had numbered it has an identity made of
// the place where it stood. When it is met again, because the database or its table was
// made anew or its messages were imported into another generation's, that place is
// another one and the message may have its server id. So a mark of each such message is
// kept with the identity it was captured under: one of its place and content at once, one
// of its server id when that is seen. Both go into the spool with the records that they
// belong to.

// mark tells a message among those of its conversation and day. It is keyed as digests
// are.
type mark [8]byte

const (
	markServer = 's' // of the server id
	markLocal  = 'l' // of local id, time and content
	markSize   = len(mark{}) + 28
	marksMax   = 4096 // of a conversation's day; more than anybody sends
)

// marked is a message's mark and the identity under which it was first captured.
type marked struct {
	mark   mark
	record string
}

// firstKey is where the marks of a conversation's day are kept: by usernames, so that
// another folder, generation or file finds them.
func firstKey(account, conversation string, created int64) string {
	return "i/" + short(account, conversation) + "/" + strconv.FormatInt(created/(24*3600), 10)
}

// mark digests what identifies a message in one of the two ways.
func (d *digester) mark(kind byte, m *wechat.Message) mark {
	b := append(append(d.buf[:0], d.secret...), kind)
	if kind == markServer {
		b = binary.BigEndian.AppendUint64(b, uint64(m.ServerID))
	} else {
		b = binary.BigEndian.AppendUint64(b, uint64(m.LocalID))
		b = binary.BigEndian.AppendUint64(b, uint64(m.Created))
		b = append(b, m.Content...)
	}
	d.buf = b
	sum := sha256.Sum256(b)
	return mark(sum[:8])
}

// recorded looks for the identity under which a message was first captured, by its marks of
// the kinds given, and says which of them told; "" when none did.
func (r *reader) recorded(key string, m *wechat.Message, kinds ...byte) (id string, kind byte, err error) {
	kept, err := r.s.a.c.opts.Spool.Cursor(key)
	if err != nil || len(kept) == 0 && len(r.b.marked[key]) == 0 {
		return "", 0, err // as of nearly all messages of history
	}
	for _, kind := range kinds {
		wanted := r.digests.mark(kind, m)
		for _, have := range r.b.marked[key] {
			if have.mark == wanted {
				return have.record, kind, nil
			}
		}
		for rest := kept; len(rest) >= markSize; rest = rest[markSize:] {
			if mark(rest[:len(wanted)]) == wanted {
				return string(rest[len(wanted):markSize]), kind, nil
			}
		}
	}
	return "", 0, nil
}

// mark keeps the identity under which a message is captured.
func (r *reader) mark(key string, m *wechat.Message, kind byte, id string) {
	if r.b.marked == nil {
		r.b.marked = map[string][]marked{}
	}
	r.b.marked[key] = append(r.b.marked[key], marked{r.digests.mark(kind, m), id})
}

// identify gives a row that was not captured from this place its identity. late is true
// of a message that was captured before it had the server id that it has now, and of
// which nobody saw it come.
func (r *reader) identify(rec *record.Record, t *table, m *wechat.Message) (late bool, err error) {
	key := firstKey(r.s.a.id, rec.Conversation.ID, m.Created)
	kind := byte(0)
	switch {
	case m.ServerID == 0:
		if rec.ID, _, err = r.recorded(key, m, markLocal); err != nil || rec.ID != "" {
			return false, err
		}
		rec.ID = record.LocalMessageID(r.s.a.id, r.s.shardID, t.Name, rec.LocalID, strconv.FormatInt(m.Created, 10))
		r.mark(key, m, markLocal, rec.ID)
		return false, nil
	case rec.Sender != nil && rec.Sender.Self || wechat.System(rec.Native):
		// Only what the owner sent was ever without; as a notice it may not show who sent it.
		if rec.ID, kind, err = r.recorded(key, m, markServer, markLocal); err != nil || rec.ID != "" {
			return kind == markLocal, err
		}
	}
	rec.ID = record.MessageID(r.s.a.id, rec.Conversation.ID, rec.ServerID)
	return false, nil
}

// numbered keeps the server id of a message that was captured without.
func (r *reader) numbered(rec *record.Record, m *wechat.Message) {
	r.mark(firstKey(r.s.a.id, rec.Conversation.ID, m.Created), m, markServer, rec.Of)
}

// markCursors are a batch's marks, added to those of their days. No two batches that are
// read at the same time have messages of one conversation.
func (s *shard) markCursors(b *batch) (out []spool.Cursor, err error) {
	for key, add := range b.marked {
		value, err := s.a.c.opts.Spool.Cursor(key)
		if err != nil {
			return nil, err
		}
		if len(value)%markSize != 0 {
			return nil, fmt.Errorf("marks of messages without server ids: %d bytes", len(value))
		}
		for _, m := range add {
			value = append(append(value, m.mark[:]...), m.record...)
		}
		value = value[max(0, len(value)-marksMax*markSize):]
		out = append(out, spool.Cursor{Key: key, Value: value})
	}
	return out, nil
}
