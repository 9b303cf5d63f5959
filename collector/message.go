package collector

import (
	"strconv"
	"tidemark/collector/wechat"
	"tidemark/record"
)

// message turns the current row into a record, if it says anything new, and returns
// what the window keeps of it, or nil.
func (r *reader) message(t *table, change *tableChange, rows *wechat.Rows) (int64, *windowRow, error) {
	r.source.Row = r.row
	rec := &r.rec // one for all rows: nothing keeps it
	*rec = record.Record{
		V: record.Version, Kind: record.KindMessage, Device: r.device, CapturedAt: r.b.at,
		Account: r.account, Client: r.client, Source: &r.source,
	}
	id := rows.LocalID(r.row)
	was := t.window[id]
	if was == nil && id <= t.cursor && !r.all {
		return id, nil, nil // captured long ago
	}
	if r.s.a.schema.PerRow {
		talker := rows.Talker(r.row)
		c := r.conversation(talker)
		if c == nil { // out of scope
			if was == nil {
				r.b.met = addMeeting(r.b.met, meeting{talker, metOutside})
				r.tally(change, talker, rows.Created(r.row)).outside++
			}
			return id, nil, nil
		}
		rows.Conversation = c
	}
	m := rows.Decode(r.row, rec)
	if id > change.last.id {
		change.last = lastRow{id, m.Created, m.ServerID}
	}
	now := r.windowRow(rec, &m)
	if was != nil && was.serverID != 0 && now.serverID != 0 && was.serverID != now.serverID {
		// Another message has the number: the table was made anew, and has grown already.
		r.deletion(t, id, was, record.ChangeDeleted)
		was = nil
	}
	if was == nil {
		if m.Created < r.notBefore && m.Created > 0 {
			r.tally(change, rec.Conversation.ID, m.Created).skipped++
			return id, nil, nil
		}
		late, err := r.identify(rec, t, &m)
		if err != nil {
			return id, nil, committed{err}
		}
		if was = r.formerRow(t, change, rec.ID); was == nil && late {
			was = &windowRow{record: rec.ID, seen: now.seen}
		}
		if was != nil { // captured from the file that stood here before
			r.meet(rec)
			r.tally(change, rec.Conversation.ID, m.Created).sealed++
		}
	}
	if was == nil {
		r.b.items = append(r.b.items, r.files(rec, rec.ID, &m)...)
		rec.Media = r.media
		r.b.messages++
		r.meet(rec)
		if rec.Type == record.TypeUnknown && rec.Unreadable == "" {
			r.b.unknownType(rec.Native)
		}
		r.tally(change, rec.Conversation.ID, m.Created).sealed++
		r.append(rec)
		if now.seen < r.oldest {
			return id, nil, nil // history: nobody changes it any more
		}
		now.record = rec.ID
		change.rows[id] = now
		return id, now, nil
	}
	now.record, now.seen = was.record, was.seen
	change.rows[id] = now
	r.b.known = append(r.b.known, r.files(rec, was.record, &m)...)
	if now.digest != was.digest {
		r.revision(rec, &m, was, now)
	}
	return id, now, nil
}

// windowRow is what the window keeps of a decoded row.
func (r *reader) windowRow(rec *record.Record, m *wechat.Message) *windowRow {
	w := &windowRow{digest: r.digests.row(rec, m), seen: m.Created, serverID: m.ServerID, talker: m.Talker}
	if r.trace { // live: what arrives late may change late
		w.seen = max(w.seen, r.b.at.Unix())
	}
	if m.ServerID != 0 {
		w.flags |= rowServer
	}
	if wechat.System(rec.Native) {
		w.flags |= rowSystem
	}
	if rec.Body != nil && rec.Body.File != nil && rec.Body.File.Transferring {
		w.flags |= rowTransferring
	}
	return w
}

// revision makes the record of a captured row a record of its change.
func (r *reader) revision(rec *record.Record, m *wechat.Message, was, now *windowRow) {
	rec.Kind, rec.Of = record.KindRevision, was.record
	if now.is(rowServer) && !was.is(rowServer) {
		r.numbered(rec, m)
	}
	switch {
	case now.is(rowSystem) && !was.is(rowSystem):
		rec.Change, rec.Type = record.ChangeRecall, record.TypeRecall
	case now.is(rowServer) && !was.is(rowServer):
		rec.Change = record.ChangeServerID
	case was.is(rowTransferring) && !now.is(rowTransferring):
		rec.Change = record.ChangeFile
	case rec.Type == record.TypeTransfer, rec.Type == record.TypeRedPacket, rec.Type == record.TypeCall:
		rec.Change = record.ChangeStatus
	default:
		rec.Change = record.ChangeContent
	}
	// Keyed digests stay on the device; the identity of a revision is of its state.
	rec.ID = record.RevisionID(rec.Of, rec.Change, strconv.FormatInt(rec.Native.Type, 10), rec.ServerID, string(m.Content), m.Shown)
	r.b.revisions++
	r.append(rec)
}

// deletion records that a captured row is not there any more.
func (r *reader) deletion(t *table, id int64, was *windowRow, change string) {
	r.append(&record.Record{
		V: record.Version, Kind: record.KindDeletion, ID: record.DeletionID(was.record, change), Of: was.record, Change: change,
		Device: r.device, CapturedAt: r.b.at, Account: r.account, Client: r.client, Conversation: r.s.conversationOf(t, was.talker),
		LocalID: strconv.FormatInt(id, 10), Source: &record.Source{File: r.s.file, Table: t.Name},
	})
}
