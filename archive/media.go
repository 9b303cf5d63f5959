package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"tidemark/archive/content"
	"tidemark/archive/index"
	"tidemark/archive/store"
	"tidemark/record"
	"tidemark/seal"
)

// The errors of reading a medium.
var (
	ErrNoContent = errors.New("no content of that hash is here")
	ErrPartly    = errors.New("the content is not here whole")
	ErrBlind     = errors.New("the recipient key is not here, so contents can not be read")
)

// Medium is a content that the archive has, with what its messages say of it.
type Medium struct {
	SHA256   string   `json:"sha256"`
	Size     int64    `json:"size"` // bytes
	Held     int64    `json:"held"` // bytes that have arrived; Size when it is whole
	MIME     string   `json:"mime,omitempty"`
	Name     string   `json:"name,omitempty"` // as the first message that has one names it
	Messages []string `json:"messages"`       // ids of the message records
}

// Media lists the contents that the archive has, by SHA-256.
func Media(ctx context.Context, f Folder) ([]Medium, error) {
	r, err := f.OpenIndex()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, place := []Medium{}, map[string]int{}
	err = r.Contents(ctx, func(c index.Content) error {
		place[c.SHA256] = len(out)
		out = append(out, Medium{SHA256: c.SHA256, Size: c.Size, Held: c.Held, Messages: []string{}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.Links(ctx, func(json []byte) error {
		rec, err := record.Parse(json)
		if err != nil {
			return nil // verify names it
		}
		for _, m := range rec.Media {
			i, ok := place[m.SHA256]
			if !ok {
				continue
			}
			o := &out[i]
			if o.MIME == "" {
				o.MIME = m.MIME
			}
			if o.Name == "" {
				o.Name = m.Name
			}
			if !slices.Contains(o.Messages, rec.Of) {
				o.Messages = append(o.Messages, rec.Of)
			}
		}
		return nil
	})
	return out, err
}

// MediaReader puts contents together again from the pieces in stored batches.
type MediaReader struct {
	index  *index.Reader
	store  *store.Store
	opener *content.Opener

	lane  store.Lane // the batch that lines is of: its neighbours are most often next
	seq   uint64
	lines *content.Lines
}

// OpenMedia opens the archive's contents for reading. It works while a server runs. It
// wraps ErrBlind when the archive's private key is not in the folder.
func (f Folder) OpenMedia() (*MediaReader, error) {
	keys, err := f.LoadKeys()
	if err != nil {
		return nil, err
	}
	if len(keys.Recipients) == 0 {
		return nil, fmt.Errorf("open media: %w", ErrBlind)
	}
	r, err := index.OpenReader(f.Index())
	if err != nil {
		return nil, err
	}
	return &MediaReader{index: r, store: store.New(f.Batches()), opener: content.NewOpener(keys.Recipients...)}, nil
}

// Close closes the index.
func (m *MediaReader) Close() error { return m.index.Close() }

// Copy writes the content with that SHA-256, in hex, to w. What it wrote counts only
// when it returns nil: then it had that hash. No more than a batch is in memory.
//
// A content may be there several times, from several devices, one of which may have
// sent something else under its name: each device's pieces are tried by themselves.
// Restart is called before each attempt but the first, to undo what was written; its
// nil means that there is one attempt.
func (m *MediaReader) Copy(ctx context.Context, sum string, w io.Writer, restart func() error) error {
	pieces, err := m.index.Pieces(ctx, sum)
	if err != nil {
		return err
	}
	if len(pieces) == 0 {
		return fmt.Errorf("content %s: %w", sum, ErrNoContent)
	}
	fault := fmt.Errorf("content %s: %w", sum, ErrPartly)
	for i, set := range attempts(pieces) {
		if i > 0 {
			if restart == nil {
				break
			}
			if err := restart(); err != nil {
				return err
			}
		}
		h := sha256.New()
		err := m.copy(ctx, set, io.MultiWriter(h, w))
		if err == nil {
			if err = isHash(h, sum); err == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fault = fmt.Errorf("content %s: %w", sum, err)
	}
	return fault
}

func isHash(h hash.Hash, sum string) error {
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return fmt.Errorf("its pieces make another: %w", seal.ErrForged)
	}
	return nil
}

// attempts are the lists of pieces that make a content from its beginning to its end:
// each device's, and the pieces of all together.
func attempts(pieces []index.Piece) (out [][]index.Piece) {
	lanes := []store.Lane{}
	for _, p := range pieces {
		if !slices.Contains(lanes, p.Lane) {
			lanes = append(lanes, p.Lane)
		}
	}
	cover := func(of func(index.Piece) bool) {
		var set []index.Piece
		next := int64(0)
		for _, p := range pieces {
			if of(p) && p.Offset == next && p.Size == pieces[0].Size {
				set = append(set, p)
				next += p.Length
			}
		}
		if next == pieces[0].Size {
			out = append(out, set)
		}
	}
	for _, l := range lanes {
		cover(func(p index.Piece) bool { return p.Lane == l })
	}
	if len(lanes) > 1 {
		cover(func(index.Piece) bool { return true })
	}
	return out
}

func (m *MediaReader) copy(ctx context.Context, pieces []index.Piece, w io.Writer) error {
	for _, p := range pieces {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := m.piece(p)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("write content: %w", err)
		}
	}
	return nil
}

func (m *MediaReader) piece(p index.Piece) ([]byte, error) {
	if m.lines == nil || m.lane != p.Lane || m.seq != p.Seq {
		m.lines = nil
		b, err := m.store.Read(p.Lane, p.Seq)
		if err != nil {
			return nil, err
		}
		if m.lines, err = m.opener.Lines(b, m.index.KeyHeader); err != nil {
			return nil, err
		}
		m.lane, m.seq = p.Lane, p.Seq
	}
	rec, err := record.Parse(m.lines.At(p.Line))
	if err != nil || rec.Piece == nil || int64(len(rec.Piece.Data)) != p.Length {
		return nil, fmt.Errorf("batch %s/%d, line %d: it is not the piece that the index says: %w", p.Lane, p.Seq, p.Line, seal.ErrForged)
	}
	return rec.Piece.Data, nil
}
