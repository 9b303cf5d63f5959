package collector

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"tidemark/collector/media"
	"tidemark/record"
	"tidemark/seal"
	"tidemark/spool"
)

const (
	pieceSize = 1 << 20       // bytes of a content in one record
	batchMax  = 4 * pieceSize // of NDJSON in one transaction of small contents
	linksMax  = 256           // link records in one transaction
)

// errChanged reports a content that is not what it was when it was hashed.
var errChanged = errors.New("the file changed while it was captured")

// sums are what hashing a content gives. The sums of its pieces prove while it is sent
// that each is of the content that was hashed, before it is captured.
type sums struct {
	sha256 string
	md5    string
	pieces [][sha256.Size]byte
}

// is says whether the content has one of the MD5s.
func (s *sums) is(md5s []string) bool {
	for _, m := range md5s {
		if strings.EqualFold(m, s.md5) {
			return true
		}
	}
	return false
}

// hash reads a content once. A piece is all that is in memory.
func (r *round) hash(c *media.Content) (*sums, error) {
	whole, old := sha256.New(), md5.New()
	out := &sums{}
	in := c.Reader()
	for left := c.Size; left > 0; {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		piece := r.buffer(min(left, pieceSize))
		if _, err := io.ReadFull(in, piece); err != nil {
			return nil, err
		}
		whole.Write(piece)
		old.Write(piece)
		out.pieces = append(out.pieces, sha256.Sum256(piece))
		left -= int64(len(piece))
	}
	out.sha256, out.md5 = hex.EncodeToString(whole.Sum(nil)), hex.EncodeToString(old.Sum(nil))
	return out, nil
}

func (r *round) buffer(n int64) []byte {
	if int64(cap(r.out.piece)) < n {
		r.out.piece = make([]byte, pieceSize)
	}
	return r.out.piece[:n]
}

// capture puts a content into the media lane, unless the account has it there. A small
// one waits for others to share a transaction; a large one goes piece by piece, each
// with a cursor, so that a crash goes on behind the last.
func (r *round) capture(c *media.Content, s *sums) error {
	done := r.at.contentKey(r.a.folder, contentDone, s.sha256)
	if r.contents[s.sha256] {
		return nil
	}
	if have, err := r.at.c.opts.Spool.Cursor(done); err != nil || have != nil {
		return err
	}
	if err := r.at.roomy(); err != nil {
		return err
	}
	if c.Size <= pieceSize {
		if len(r.out.pieces)+int(2*c.Size) > batchMax {
			if err := r.flush(); err != nil {
				return err
			}
		}
		if err := r.piece(c, s, 0); err != nil {
			return err
		}
		r.out.contents = append(r.out.contents, spool.Cursor{Key: done, Value: []byte{1}})
		r.contents[s.sha256] = true
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	part := r.at.contentKey(r.a.folder, contentPart, s.sha256)
	b, err := r.at.c.opts.Spool.Cursor(part)
	if err != nil {
		return err
	}
	from := int64(0)
	if b != nil {
		if from, err = decodeID(b); err != nil {
			return err
		}
	}
	for off := from; off < c.Size; off += pieceSize {
		if err := errors.Join(wait(r.ctx, r.at.c.opts.Pace), r.at.roomy()); err != nil {
			return err
		}
		if err := r.piece(c, s, off); err != nil {
			r.out.pieces, r.out.count = r.out.pieces[:0], 0
			return err
		}
		cursors := []spool.Cursor{{Key: part, Value: encodeID(off + pieceSize)}}
		if off+pieceSize >= c.Size {
			cursors = []spool.Cursor{{Key: part}, {Key: done, Value: []byte{1}}}
		}
		err := r.at.append(r.ctx, seal.Media, r.out.pieces, r.out.count, cursors...)
		r.out.pieces, r.out.count = r.out.pieces[:0], 0
		if err != nil {
			return err
		}
	}
	return nil
}

// piece writes the record of one piece, if it is still the one that was hashed.
func (r *round) piece(c *media.Content, s *sums, off int64) error {
	data := r.buffer(min(c.Size-off, pieceSize))
	if n, err := c.Reader().ReadAt(data, off); n < len(data) {
		return errors.Join(errChanged, err)
	}
	if sha256.Sum256(data) != s.pieces[off/pieceSize] {
		return errChanged
	}
	rec := &record.Record{
		V: record.Version, Kind: record.KindMedia, ID: record.PieceID(r.facts.party.ID, s.sha256, off), Device: r.at.c.opts.Device.String(),
		CapturedAt: r.at.c.now(), Account: r.facts.party, Client: r.facts.client,
		Piece: &record.Piece{SHA256: s.sha256, Size: c.Size, Offset: off, Data: data},
	}
	r.out.pieces = append(rec.AppendJSON(r.out.pieces), '\n')
	r.out.count++
	return nil
}

// batchOut is what a round has not committed yet.
type batchOut struct {
	piece    []byte // a buffer
	pieces   []byte // NDJSON for the media lane
	count    int
	contents []spool.Cursor

	links  []byte // NDJSON for the messages lane
	linked int
	items  []spool.Cursor
	apply  []func()
}

// say writes the records of what became of an item. They are committed after the pieces
// that they name, with the cursor that passes them.
func (r *round) say(it *item, f *findings, over bool) error {
	for _, m := range f.media {
		rec := &record.Record{
			V: record.Version, Kind: record.KindMedia, ID: record.MediaID(it.Of, m), Of: it.Of, Device: r.at.c.opts.Device.String(),
			CapturedAt: r.at.c.now(), Account: r.facts.party, Client: r.facts.client, Media: []record.Media{m},
		}
		if it.Conversation != "" {
			rec.Conversation = &record.Conversation{ID: it.Conversation}
		}
		r.out.links = append(rec.AppendJSON(r.out.links), '\n')
		r.out.linked++
	}
	next := f.next
	cursor := spool.Cursor{Key: it.key}
	if !over {
		cursor = r.at.c.itemCursor(&next)
	}
	r.out.items = append(r.out.items, cursor)
	r.out.apply = append(r.out.apply, func() {
		if over {
			delete(r.a.items, it.key)
		} else {
			next.later = it.later // which may have come meanwhile
			*it = next
		}
	})
	if r.out.linked >= linksMax {
		return r.flush()
	}
	return nil
}

// flush commits what was captured: pieces, then what links them to messages.
func (r *round) flush() error {
	o := &r.out
	if o.count > 0 {
		if err := r.at.append(r.ctx, seal.Media, o.pieces, o.count, o.contents...); err != nil {
			return err
		}
		o.pieces, o.count, o.contents = o.pieces[:0], 0, nil
	}
	if len(o.items) == 0 {
		return nil
	}
	if err := r.at.append(r.ctx, seal.Messages, o.links, o.linked, o.items...); err != nil {
		return err
	}
	r.at.mu.Lock()
	defer r.at.mu.Unlock()
	for _, f := range o.apply {
		f()
	}
	o.links, o.linked, o.items, o.apply = o.links[:0], 0, nil, nil
	return nil
}
