package store

import (
	"bufio"
	"io"
	"strings"
)

// splitter cuts a file of signed notes into notes, and finds the next note behind
// bytes that are none.
type splitter struct {
	r      *bufio.Reader
	offset int64
	line   string // read and not used yet
	err    error
}

func newSplitter(r io.Reader) *splitter {
	s := &splitter{r: bufio.NewReaderSize(r, 64<<10)}
	s.advance()
	return s
}

func (s *splitter) advance() {
	s.offset += int64(len(s.line))
	s.line = ""
	if s.err != nil {
		return
	}
	// Lines are far shorter than the buffer; a longer one is garbage, taken in parts.
	b, err := s.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = nil
	}
	s.line, s.err = string(b), err
}

// next returns the next note, or bytes up to where the next begins, with their
// offset; io.EOF at the end.
func (s *splitter) next() (raw []byte, offset int64, err error) {
	offset = s.offset
	for s.line != "" {
		if len(raw) > 0 && strings.HasPrefix(s.line, noteStart) {
			return raw, offset, nil // the note before has no end
		}
		line := s.line
		if len(raw) <= maxNote {
			raw = append(raw, line...)
		}
		s.advance()
		if strings.HasPrefix(line, noteEnd) {
			return raw, offset, nil
		}
	}
	if len(raw) > 0 {
		return raw, offset, nil
	}
	return nil, offset, s.err
}
