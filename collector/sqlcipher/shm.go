package sqlcipher

import (
	"encoding/binary"
	"errors"
	"io"
)

// The part of -shm (the WAL index) that is looked at. Integers are in the byte
// order of the machine. Bytes 120 to 127 are lock bytes, and reading them may be
// refused on Windows while the client holds them.
//
//	offset  size  field
//	0       48    header: … 32: salts, as in the WAL …
//	48      48    the same again
//	96      4     nBackfill: frames copied into the main file
//	128     4     nBackfillAttempted: frames a checkpoint has begun to copy
const (
	shmHeaderSize      = 48
	shmSalts           = 32
	shmBackfill        = 96
	shmBackfillAttempt = 128
)

type shmHeader [shmHeaderSize]byte

// readSHMHeader returns the first copy of the header; ok is false when there is none.
func readSHMHeader(r io.ReaderAt) (h shmHeader, ok bool) {
	n, _ := r.ReadAt(h[:], 0)
	return h, n == len(h)
}

// attempted returns how many frames of the generation with these salts any
// checkpoint has begun to copy; ok is false when -shm cannot tell.
//
// The salts are read after the counters: a restart changes the salts first and
// zeroes the counters then, so counters read before salts that are still right
// belong to this generation.
func attempted(r io.ReaderAt, salts [8]byte) (frames uint32, ok bool) {
	var tried, done [4]byte
	if n, _ := r.ReadAt(tried[:], shmBackfillAttempt); n < len(tried) {
		return 0, false
	}
	if n, _ := r.ReadAt(done[:], shmBackfill); n < len(done) {
		return 0, false
	}
	h, ok := readSHMHeader(r)
	if !ok || [8]byte(h[shmSalts:]) != salts {
		return 0, false
	}
	frames = binary.NativeEndian.Uint32(tried[:])
	// Frames copied but never attempted: a library that does not keep the field.
	if binary.NativeEndian.Uint32(done[:]) > frames {
		return 0, false
	}
	return frames, true
}

// hotJournal reports a rollback journal that may have to be played back: a
// transaction of a database not in WAL mode is under way, or died.
func hotJournal(r io.ReaderAt) (bool, error) {
	var b [8]byte
	n, err := r.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n > 0 && b != [8]byte{}, nil
}
