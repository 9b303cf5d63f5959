package writer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	walHeaderSize = 32
	// Offsets in the -shm file: the index header, and the checkpoint counters
	// behind its two copies.
	shmMaxFrame = 16
	shmSalts    = 32
	shmBackfill = 96
	shmNeeded   = 100
)

// index is what restart needs of the WAL index.
type index struct {
	maxFrame uint32  // last valid frame
	backfill uint32  // frames copied to the main file
	salts    [8]byte // as they stand in the WAL header
}

// readIndex reads the WAL index. The caller holds d.mu, so nobody writes it.
func (d *DB) readIndex() (index, error) {
	if d.shm < 0 {
		f, err := openForGood(d.path + "-shm")
		if err != nil {
			return index{}, fmt.Errorf("open wal index: %w", err)
		}
		d.shm = f
	}
	b := make([]byte, shmNeeded)
	if n, err := d.shm.readAt(b, 0); err != nil || n < shmNeeded {
		return index{}, fmt.Errorf("read wal index: %d bytes: %w", n, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	x := index{
		maxFrame: binary.NativeEndian.Uint32(b[shmMaxFrame:]),
		backfill: binary.NativeEndian.Uint32(b[shmBackfill:]),
	}
	copy(x.salts[:], b[shmSalts:])
	return x, nil
}

// restart begins a new generation of the WAL if all of it has been copied and
// nobody reads from it: new salts in the index, and a header with them in front of
// the frames that are there. It reports whether it did. The caller holds d.mu.
func (d *DB) restart(ctx context.Context) (bool, error) {
	before, err := d.readIndex()
	if errors.Is(err, os.ErrNotExist) { // nothing has ever been committed
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if before.maxFrame == 0 || before.backfill != before.maxFrame {
		return false, nil
	}
	// A reader makes this busy: then there is no restart, and the writer is not to wait.
	if _, err := d.conn.ExecContext(ctx, "PRAGMA busy_timeout=0"); err != nil {
		return false, fmt.Errorf("restart wal: %w", err)
	}
	err = keepingWAL(func() error {
		_, err := runCheckpoint(ctx, d.conn, "TRUNCATE")
		return err
	})
	if _, resetErr := d.conn.ExecContext(ctx, busyTimeout); err == nil {
		err = resetErr
	}
	if err != nil {
		return false, fmt.Errorf("restart wal: %w", err)
	}
	after, err := d.readIndex()
	if err != nil {
		return false, err
	}
	if after.maxFrame != 0 || after.salts == before.salts {
		return false, nil
	}
	// A crash before this line leaves the old header: its frames are valid again,
	// and every one of them is already in the main file.
	if err := writeHeader(d.path+"-wal", after.salts); err != nil {
		return false, err
	}
	return true, nil
}

// writeHeader gives the WAL at path the salts and the next checkpoint sequence.
func writeHeader(path string, salts [8]byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("write wal header: %w", err)
	}
	defer f.Close()
	h := make([]byte, walHeaderSize)
	if _, err := f.ReadAt(h, 0); err != nil {
		return fmt.Errorf("read wal header: %w", err)
	}
	binary.BigEndian.PutUint32(h[12:], binary.BigEndian.Uint32(h[12:])+1)
	copy(h[16:24], salts[:])
	a, b := headerChecksum(h)
	binary.BigEndian.PutUint32(h[24:], a)
	binary.BigEndian.PutUint32(h[28:], b)
	if _, err := f.WriteAt(h, 0); err != nil {
		return fmt.Errorf("write wal header: %w", err)
	}
	return f.Close()
}

// headerChecksum sums the first 24 bytes of a WAL header, in the word order that
// the lowest bit of its magic number names.
func headerChecksum(h []byte) (a, b uint32) {
	var order binary.ByteOrder = binary.LittleEndian
	if h[3]&1 == 1 {
		order = binary.BigEndian
	}
	for i := 0; i < 24; i += 8 {
		a += order.Uint32(h[i:]) + b
		b += order.Uint32(h[i+4:]) + a
	}
	return a, b
}
