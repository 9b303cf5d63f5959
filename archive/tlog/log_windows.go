package tlog

import (
	"context"

	"golang.org/x/mod/sumdb/note"
)

// Log can not be made on Windows.
type Log struct{ *Reader }

// Create returns ErrUnsupported.
func Create(context.Context, string, note.Signer) error { return ErrUnsupported }

// Open returns ErrUnsupported.
func Open(context.Context, string, note.Signer, note.Verifier) (*Log, error) {
	return nil, ErrUnsupported
}

// Add returns ErrUnsupported.
func (l *Log) Add(context.Context, ...[]byte) ([]uint64, error) { return nil, ErrUnsupported }

// Close does nothing.
func (l *Log) Close(context.Context) error { return nil }
