package spool

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"syscall"
	"time"

	"tidemark/seal"
)

// finding is what a scan has found of one device in a file's bytes, whatever the
// structure around it: only what a signature or a hash vouches for.
//
// bbolt puts a value into consecutive bytes, so a batch that is whole stands whole.
// Pages that are free still hold what was in them: batches that have been
// acknowledged, and those of a transaction that was never ended.
type finding struct {
	batches  map[seal.Lane][]place
	receipts map[seal.Lane]noted
	restarts map[string]*seal.Restart // by restartKey
	keys     map[seal.KeyID][]byte    // key headers
	seen     map[seal.Hash]bool       // batches
}

// place is where a batch stands, and what its chain needs.
type place struct {
	offset, size   int64
	seq            uint64
	hash, previous seal.Hash
	key            seal.KeyID
	carries        bool // has its key's header
	sealed         time.Time
	records        uint32
}

// noted is a receipt that verifies, with its exact note.
type noted struct {
	head
	note []byte
}

// scanBlock is how much of a file is looked through at once.
const scanBlock = 1 << 20

// marks are how the things that can be found begin.
var marks = []string{"TMKB", "TMKR", "TMKK", "tidemark/receipt/v1\n"}

const longestMark = 20

// scan looks through the whole file. Places that cannot be read are passed over;
// other failures of the disk end it.
func scan(r io.ReaderAt, size int64, o *Options) (*finding, error) {
	f := &finding{
		batches: map[seal.Lane][]place{}, receipts: map[seal.Lane]noted{},
		restarts: map[string]*seal.Restart{}, keys: map[seal.KeyID][]byte{}, seen: map[seal.Hash]bool{},
	}
	block := make([]byte, scanBlock+longestMark-1)
	for start := int64(0); start < size; start += scanBlock {
		b := block[:min(int64(len(block)), size-start)]
		if err := readAround(r, b, start); err != nil {
			return nil, err
		}
		for _, mark := range marks {
			for i := 0; ; {
				j := bytes.Index(b[i:], []byte(mark))
				if j < 0 || i+j >= scanBlock {
					break
				}
				if err := f.take(r, mark, start+int64(i+j), size, o); err != nil {
					return nil, err
				}
				i += j + 1
			}
		}
		if o.Progress != nil {
			o.Progress(min(start+scanBlock, size), size)
		}
	}
	return f, nil
}

// readAround reads b, leaving zeros where a sector cannot be read.
func readAround(r io.ReaderAt, b []byte, offset int64) error {
	const sector = 4096
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if !errors.Is(err, syscall.EIO) {
		return err
	}
	for i := 0; i < len(b); i += sector {
		part := b[i:min(i+sector, len(b))]
		n, err := r.ReadAt(part, offset+int64(i))
		if n < len(part) && !errors.Is(err, syscall.EIO) {
			return err
		}
		clear(part[n:])
	}
	return nil
}

// take keeps what stands at the offset, if it is what its first bytes say and
// verifies. Errors are the disk's; a thing that cannot be read is not there.
func (f *finding) take(r io.ReaderAt, mark string, offset, size int64, o *Options) error {
	limit := map[string]int64{"TMKB": seal.MaxBatch, "TMKR": seal.MaxRestart, "TMKK": 1 << 16, marks[3]: 4096}[mark]
	stream := io.NewSectionReader(r, offset, min(limit, size-offset))
	switch mark {
	case "TMKB":
		// The device first: what only looks like a batch must not cost the reading of one.
		var head [headerBytes]byte
		if _, err := io.ReadFull(stream, head[:]); err != nil {
			return passing(err)
		}
		h, err := seal.ParseHeader(head[:])
		if err != nil || h.Device != o.Identity.ID() {
			return nil
		}
		stream.Seek(0, io.SeekStart)
		b, err := seal.ReadBatch(stream)
		if err != nil {
			return passing(err)
		}
		if b.Verify(o.Identity.Public()) == nil {
			f.addBatch(b, offset)
		}
	case "TMKR":
		r, err := seal.ReadRestart(bufio.NewReader(stream))
		if err != nil {
			return passing(err)
		}
		if r != nil && r.Verify(o.Identity.Public()) == nil {
			f.restarts[string(restartKey(r.Lane, r.First))] = r
		}
	case "TMKK":
		raw, err := io.ReadAll(stream)
		if err != nil {
			return passing(err)
		}
		header, err := seal.FindKeyHeader(raw)
		if err == nil && seal.DeviceID(header[8:24]) == o.Identity.ID() {
			f.keys[seal.KeyIDOf(header)] = bytes.Clone(header)
		}
	default:
		raw, err := io.ReadAll(stream)
		if err != nil {
			return passing(err)
		}
		f.addReceipt(raw, o)
	}
	return nil
}

// passing drops the error of a thing that cannot be read where it stands.
func passing(err error) error {
	if errors.Is(err, seal.ErrMalformed) || errors.Is(err, seal.ErrNewer) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EIO) {
		return nil
	}
	return err
}

func (f *finding) addBatch(b *seal.Batch, offset int64) {
	if f.seen[b.Hash()] {
		return // a second copy
	}
	f.seen[b.Hash()] = true
	f.batches[b.Lane] = append(f.batches[b.Lane], place{
		offset: offset, size: int64(len(b.Raw)), seq: b.Seq, hash: b.Hash(), previous: b.Previous,
		key: b.Key, carries: b.KeyHeader != nil, sealed: b.Sealed, records: b.Records,
	})
}

// addReceipt keeps the lane's receipt with the greatest number. A note ends with its
// signature's line, which begins behind an empty one.
func (f *finding) addReceipt(raw []byte, o *Options) {
	text := bytes.Index(raw, []byte("\n\n"))
	if text < 0 {
		return
	}
	end := bytes.IndexByte(raw[text+2:], '\n')
	if end < 0 {
		return
	}
	note := raw[:text+2+end+1]
	r, err := seal.OpenReceipt(note, o.Archive.ReceiptVerifier())
	if err == nil && r.Device == o.Identity.ID() && r.Seq > f.receipts[r.Lane].seq {
		f.receipts[r.Lane] = noted{head{r.Seq, r.Hash}, bytes.Clone(note)}
	}
}
