package sqlcipher

import (
	"errors"
	"io"
)

// readThrough reads a piece of the file and forgets it, which fills the system's
// cache where there is no call that does it without copying.
func readThrough(f file, off, n int64) error {
	buf := make([]byte, 256<<10)
	for end := off + n; off < end; off += int64(len(buf)) {
		if _, err := f.ReadAt(buf, off); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
