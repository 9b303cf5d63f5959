package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// A note in the receipts file begins with noteStart on a line and ends with the
// line of its one signature, which begins with noteEnd.
const (
	noteStart = "tidemark/receipt/"
	noteEnd   = "— "
	maxNote   = 4096
)

// AppendReceipts adds signed notes to the lane's receipts. After an error the
// file may end in a torn note: Repair it before the next append.
func (s *Store) AppendReceipts(l Lane, notes ...[]byte) error {
	name := filepath.Join(s.laneDir(l), receiptsName)
	_, serr := os.Stat(name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("keep receipts of %s: %w", l, err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Join(notes, nil)); err != nil {
		return fmt.Errorf("keep receipts of %s: %w", l, err)
	}
	if err := durable.Sync(f); err != nil {
		return fmt.Errorf("keep receipts of %s: %w", l, err)
	}
	if errors.Is(serr, os.ErrNotExist) { // the file is new, and its name must survive too
		if err := durable.SyncDir(s.laneDir(l)); err != nil {
			return fmt.Errorf("keep receipts of %s: %w", l, err)
		}
	}
	return f.Close()
}

// Receipts yields the lane's receipts for batches beyond after, in the order they
// were given, each with its exact note. A note that does not verify under v yields
// an error instead, and the reading goes on behind it; so does a torn note at the
// end. Notes up to after are passed over unverified.
func (s *Store) Receipts(l Lane, after uint64, v note.Verifier) iter.Seq2[Receipt, error] {
	return func(yield func(Receipt, error) bool) {
		f, err := os.Open(filepath.Join(s.laneDir(l), receiptsName))
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Receipt{}, fmt.Errorf("read receipts of %s: %w", l, err))
			return
		}
		defer f.Close()
		notes := newSplitter(f)
		for {
			raw, offset, err := notes.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Receipt{}, fmt.Errorf("read receipts of %s: %w", l, err))
				return
			}
			if seq, ok := claimedSeq(raw); ok && 0 < seq && seq <= after {
				continue
			}
			r := Receipt{Note: raw, Offset: offset}
			parsed, err := seal.OpenReceipt(raw, v)
			if err == nil && (parsed.Device != l.Device || parsed.Lane != l.Lane) {
				err = fmt.Errorf("receipt of another lane: %w", seal.ErrForged)
			}
			if err != nil {
				err = fmt.Errorf("receipt of %s at byte %d: %w", l, offset, err)
			} else {
				r.Receipt = *parsed
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Receipt is a receipt as it was given.
type Receipt struct {
	seal.Receipt
	Note   []byte
	Offset int64 // of the note in the lane's receipts file
}

// claimedSeq reads the sequence number that a note says it is for.
func claimedSeq(raw []byte) (uint64, bool) {
	_, rest, ok := bytes.Cut(raw, []byte("\nseq "))
	digits, _, end := bytes.Cut(rest, []byte("\n"))
	if !ok || !end {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	return seq, err == nil
}

// Repair cuts a torn note off the end of the lane's receipts, as a crash leaves
// it: nobody was ever given that receipt. It returns the sequence number of the
// last whole note, 0 when there is none, and whether it cut.
func (s *Store) Repair(l Lane) (last uint64, cut bool, err error) {
	f, err := os.OpenFile(filepath.Join(s.laneDir(l), receiptsName), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("repair receipts of %s: %w", l, err)
		}
	}()
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	// One write may hold many notes and be torn anywhere, so the last whole one is
	// looked for from the back, in ever longer pieces of the end.
	for window := int64(2 * maxNote); ; window *= 4 {
		from := max(0, size-window)
		tail := make([]byte, size-from)
		if _, err := f.ReadAt(tail, from); err != nil {
			return 0, false, err
		}
		end, seq, ok := lastNote(tail)
		if !ok && from > 0 {
			continue
		}
		end += from
		if end == size {
			return seq, false, nil
		}
		if err := f.Truncate(end); err != nil {
			return 0, false, err
		}
		return seq, true, durable.Sync(f)
	}
}

// lastNote finds the end of the last whole note in b and the sequence number it
// names; not ok, and an end of 0, when there is none.
func lastNote(b []byte) (end int64, seq uint64, ok bool) {
	start := len(b)
	for {
		if start = bytes.LastIndex(b[:start], []byte(noteStart)); start < 0 {
			return 0, 0, false
		}
		notes := newSplitter(bytes.NewReader(b[start:]))
		raw, _, err := notes.next()
		if err != nil || raw[len(raw)-1] != '\n' || !bytes.Contains(raw, []byte("\n"+noteEnd)) {
			continue
		}
		seq, _ := claimedSeq(raw)
		return int64(start + len(raw)), seq, true
	}
}
