package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tidemark/internal/durable"
	"tidemark/seal"
)

const formatVersion = 2

// The buckets. Lane buckets hang below lanesBucket by the lane's name; integers are
// big-endian, so that keys sort by number. Values marked + end with their sum: a
// batch, a receipt's note and a restart are signed, and nothing else in the file
// would tell a flipped bit.
var (
	metaBucket    = []byte("meta")     // "version" -> 2, "sum" -> of it
	lanesBucket   = []byte("lanes")    // lane -> bucket of sequence number (8) -> the batch's exact bytes
	headsBucket   = []byte("heads")    // lane -> head +
	countsBucket  = []byte("counts")   // lane -> counts of what is in its bucket +
	keysBucket    = []byte("datakeys") // lane, data key id (16) -> last sequence number under it (8), key header +
	cursorsBucket = []byte("cursors")  // the collector's +
	receiptBucket = []byte("receipts") // lane -> sequence number (8), the last receipt, the exact note +
	restartBucket = []byte("restarts") // lane, sequence number of the batch it introduces (8) -> the restart's exact bytes
)

var (
	buckets1 = [][]byte{metaBucket, lanesBucket, headsBucket, keysBucket, cursorsBucket, receiptBucket}
	buckets2 = append(append([][]byte{}, buckets1...), countsBucket, restartBucket)
	summed   = [][]byte{headsBucket, countsBucket, keysBucket, cursorsBucket, receiptBucket}
)

var laneIDs = []seal.Lane{seal.Messages, seal.Media}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// withSum is the value with the CRC-32C of key and value behind it.
func withSum(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.BigEndian.AppendUint32(bytes.Clone(value), sum)
}

// withoutSum undoes withSum; false when the sum is not right.
func withoutSum(key, stored []byte) ([]byte, bool) {
	if len(stored) < 4 {
		return nil, false
	}
	value := stored[: len(stored)-4 : len(stored)-4]
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return value, binary.BigEndian.Uint32(stored[len(value):]) == sum
}

func putSummed(b *bbolt.Bucket, key, value []byte) error { return b.Put(key, withSum(key, value)) }

// getSummed returns a copy of the value, nil when there is none.
func getSummed(b *bbolt.Bucket, key []byte) ([]byte, error) {
	stored := b.Get(key)
	if stored == nil {
		return nil, nil
	}
	value, ok := withoutSum(key, stored)
	if !ok {
		return nil, damaged("a value does not match its checksum")
	}
	return bytes.Clone(value), nil
}

// head is the end of a lane's chain: sequence number (8) and hash (32) on disk.
type head struct {
	seq  uint64
	hash seal.Hash
}

func (h head) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, h.seq), h.hash[:]...)
}

func decodeHead(b []byte) (head, error) {
	if len(b) != 40 {
		return head{}, damaged("chain head of %d bytes", len(b))
	}
	return head{binary.BigEndian.Uint64(b), seal.Hash(b[8:])}, nil
}

// counts says what a lane's bucket holds, so that opening it need not look: batches,
// records and bytes (8 each) on disk.
type counts struct{ batches, records, bytes int64 }

func (c counts) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.batches))
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(c.records)), uint64(c.bytes))
}

func decodeCounts(b []byte) (counts, error) {
	if len(b) != 24 {
		return counts{}, damaged("counts of %d bytes", len(b))
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[i:])) }
	return counts{n(0), n(8), n(16)}, nil
}

// addCounts changes a lane's counts in the transaction.
func addCounts(tx *bbolt.Tx, lane []byte, d counts) error {
	b := tx.Bucket(countsBucket)
	var c counts
	stored, err := getSummed(b, lane)
	if err == nil && stored != nil {
		c, err = decodeCounts(stored)
	}
	if err != nil {
		return err
	}
	c.batches, c.records, c.bytes = c.batches+d.batches, c.records+d.records, c.bytes+d.bytes
	return putSummed(b, lane, c.encode())
}

func restartKey(id seal.Lane, first uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(id)}, first)
}

// What tests reach into: openBolt opens the file for bbolt, and they break what it
// returns; reached is called at each place where a crash leaves the files beside the
// spool in another state, and they end the process there.
var (
	openBolt = os.OpenFile
	reached  = func() {}
)

// openFile opens a file that the caller knows to be sound. Free pages are found by
// walking it unless the last transaction listed them; see listFree.
func openFile(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 200 * time.Millisecond, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, OpenFile: openBolt,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return db, nil
}

// listFreeUpTo is how many free pages a transaction still lists in the file.
const listFreeUpTo = 16 << 10

// listFree decides, inside a transaction, whether it lists the free pages. With the
// list, opening the file again reads it; without, opening walks all pages and keeps
// each in memory. The list is written at each commit, so a half drained file, which
// has very many, goes without until it has been shrunk or closed.
func listFree(tx *bbolt.Tx) {
	db := tx.DB()
	s := db.Stats()
	db.NoFreelistSync = s.FreePageN+s.PendingPageN > listFreeUpTo
}

// create makes an empty spool under another name and renames it, so that a crash
// in between leaves no half-made file under the real name.
func create(path string) error {
	if _, err := os.Lstat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := scratch(path)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(lay), db.Close()); err != nil {
		return err
	}
	reached()
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	reached()
	return durable.SyncDir(filepath.Dir(path))
}

// newSuffix ends the name of a file that is being made. One that is found was never
// finished and means nothing.
const newSuffix = ".new"

// scratch begins a new file beside the spool.
func scratch(path string) (*bbolt.DB, error) {
	if err := os.RemoveAll(path + newSuffix); err != nil {
		return nil, err
	}
	return openFile(path + newSuffix)
}

// lay makes the buckets.
func lay(tx *bbolt.Tx) error {
	for _, name := range buckets2 {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	for _, l := range laneIDs {
		if _, err := tx.Bucket(lanesBucket).CreateBucket([]byte(l.String())); err != nil {
			return err
		}
	}
	return putVersion(tx)
}

// putVersion writes the version as every format has it, so that any version can read
// it, and its sum beside it: a flipped bit must not look like a newer file.
func putVersion(tx *bbolt.Tx) error {
	v := binary.BigEndian.AppendUint32(nil, formatVersion)
	b := tx.Bucket(metaBucket)
	if err := b.Put([]byte("version"), v); err != nil {
		return err
	}
	return b.Put([]byte("sum"), withSum([]byte("version"), v)[len(v):])
}

// migrate brings a file of format 1 up to 2, in one transaction: values get their
// sums, lanes their counts.
func migrate(tx *bbolt.Tx) error {
	for _, name := range [][]byte{countsBucket, restartBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	for _, name := range [][]byte{headsBucket, keysBucket, cursorsBucket, receiptBucket} {
		values := map[string][]byte{}
		b := tx.Bucket(name)
		if err := b.ForEach(func(k, v []byte) error { values[string(k)] = bytes.Clone(v); return nil }); err != nil {
			return err
		}
		for k, v := range values {
			if err := putSummed(b, []byte(k), v); err != nil {
				return err
			}
		}
	}
	for _, id := range laneIDs {
		var c counts
		name := []byte(id.String())
		err := tx.Bucket(lanesBucket).Bucket(name).ForEach(func(_, raw []byte) error {
			h, err := seal.ParseHeader(raw)
			if err != nil {
				return damaged("lane %s: %v", id, err)
			}
			c.batches, c.records, c.bytes = c.batches+1, c.records+int64(h.Records), c.bytes+int64(len(raw))
			return nil
		})
		if err != nil {
			return err
		}
		if err := addCounts(tx, name, c); err != nil {
			return err
		}
	}
	return putVersion(tx)
}
