package index

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"tidemark/archive/internal/sqlite"
	"tidemark/archive/store"
	"tidemark/seal"
)

// Piece is where a piece of a content stands.
type Piece struct {
	Size   int64 // of the whole content
	Offset int64
	Length int64
	Lane   store.Lane
	Seq    uint64
	Line   int // in the batch
}

// Pieces returns the pieces of the content with that SHA-256, in hex, by offset: each
// may be there several times, from several accounts.
func (r *Reader) Pieces(ctx context.Context, sha256 string) (out []Piece, err error) {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	err = sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		l, err := scanLane(s)
		out = append(out, Piece{Lane: l, Seq: uint64(s.ColumnInt64(2)), Line: s.ColumnInt(3),
			Size: s.ColumnInt64(4), Offset: s.ColumnInt64(5), Length: s.ColumnInt64(6)})
		return err
	}, `SELECT b.device, b.lane, b.seq, r.line, r.json->>'$.piece.size', r.json->>'$.piece.offset', r.json->>'$.piece.length'
		FROM records r JOIN batches b ON b.n = r.batch WHERE r.kind = 'media' AND r.type = ? AND r.of = ?
		ORDER BY 6, r.n`, TypePiece, sha256)
	if err != nil {
		return nil, fmt.Errorf("read pieces: %w", err)
	}
	return out, nil
}

// Content is a content of which there are pieces.
type Content struct {
	SHA256 string
	Size   int64
	Held   int64 // bytes that are there, pieces of one offset counted once
}

// Contents calls f for each content of which there are pieces, by SHA-256.
func (r *Reader) Contents(ctx context.Context, f func(Content) error) error {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error {
		return f(Content{SHA256: s.ColumnText(0), Size: s.ColumnInt64(1), Held: s.ColumnInt64(2)})
	}, `SELECT of, max(size), sum(length) FROM (SELECT of, json->>'$.piece.size' AS size, max(json->>'$.piece.length') AS length
		FROM records WHERE kind = 'media' AND type = ? GROUP BY of, json->>'$.piece.offset') GROUP BY of ORDER BY of`, TypePiece)
	if err != nil {
		return fmt.Errorf("read contents: %w", err)
	}
	return nil
}

// Links calls f for each media record that tells of a message's files. JSON is valid
// until f returns.
func (r *Reader) Links(ctx context.Context, f func(json []byte) error) error {
	old := r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(old)
	err := sqlite.Query(r.conn, func(s *sqlite3.Stmt) error { return f(s.ColumnRawText(0)) },
		`SELECT json FROM records WHERE kind = 'media' AND type IS NOT ? ORDER BY n`, TypePiece)
	if err != nil {
		return fmt.Errorf("read media: %w", err)
	}
	return nil
}

// KeyHeader returns the key header of that id, or nil.
func (r *Reader) KeyHeader(id seal.KeyID) ([]byte, error) { return keyHeader(r.conn, id) }
