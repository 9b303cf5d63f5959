package archive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"tidemark/archive/index"
)

// Export writes the records that the query selects to w, one JSON object a line:
// the record as it was delivered, with one more member, the archive's own word:
//
//	"archive":{"received_at":"…","batch":{"device":"d_…","lane":"messages","seq":17,"hash":"…"},"log":42,"variant":true}
//
// Variant is there only when a record of the same id and another meaning (see
// [index.Derive]) arrived before. Export works while a server runs, and never holds more than a record in
// memory.
func Export(ctx context.Context, f Folder, q index.Query, w io.Writer) error {
	r, err := f.OpenIndex()
	if err != nil {
		return err
	}
	defer r.Close()
	out := bufio.NewWriterSize(w, 256<<10)
	var buf []byte
	err = r.Records(ctx, q, func(rec index.Record) error {
		buf = appendArchived(buf[:0], rec)
		_, err := out.Write(buf)
		return err
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// OpenIndex opens the archive's index for reading.
func (f Folder) OpenIndex() (*index.Reader, error) {
	if _, err := f.LoadKeys(); err != nil {
		return nil, err
	}
	return index.OpenReader(f.Index())
}

// appendArchived adds the archive's member in front of the record's last brace.
func appendArchived(b []byte, rec index.Record) []byte {
	end := len(rec.JSON)
	for end > 0 && rec.JSON[end-1] != '}' {
		end--
	}
	b = append(b, rec.JSON[:max(end-1, 0)]...)
	b = append(b, `,"archive":{"received_at":"`...)
	b = rec.Batch.Received.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","batch":{"device":"`...)
	b = append(b, rec.Batch.Lane.Device.String()...)
	b = append(b, `","lane":"`...)
	b = append(b, rec.Batch.Lane.Lane.String()...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, rec.Batch.Seq, 10)
	b = append(b, `,"hash":"`...)
	b = append(b, rec.Batch.Hash.String()...)
	b = append(b, `"},"log":`...)
	b = strconv.AppendUint(b, rec.Batch.Log, 10)
	if rec.Variant {
		b = append(b, `,"variant":true`...)
	}
	return append(b, "}}\n"...)
}
