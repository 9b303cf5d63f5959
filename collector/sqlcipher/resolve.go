package sqlcipher

import (
	"encoding/binary"
	"fmt"
)

// resolve finds how pages are opened: the codec known from before, or the first
// candidate under which page 1 verifies.
func (s *snapshot) resolve() error {
	if c := s.knownCodec(); c != nil {
		return s.use(c)
	}
	s.db.resolving.Lock()
	defer s.db.resolving.Unlock()
	if c := s.knownCodec(); c != nil { // another View was faster
		return s.use(c)
	}
	c, err := s.findCodec()
	if err != nil {
		return s.unlessMoved(err)
	}
	s.db.mu.Lock()
	if s.db.identity == s.identity && !s.db.closed {
		s.db.codec = c
	}
	s.db.mu.Unlock()
	return s.use(c)
}

func (s *snapshot) knownCodec() *codec {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.db.identity != s.identity {
		return nil
	}
	return s.db.codec
}

// use settles the page size and, without a WAL, takes page 1 as the state to
// compare with at the end: it changes with every transaction that is not in WAL mode.
func (s *snapshot) use(c *codec) error {
	s.codec, s.pageSize = c, c.params.PageSize
	if s.gen != nil {
		return nil
	}
	s.page1 = make([]byte, s.pageSize)
	n, err := s.readMain(s.page1, 0)
	if err != nil {
		return err
	}
	if n < s.pageSize {
		return fmt.Errorf("%w: %d bytes, less than a page", ErrNotDatabase, n)
	}
	// After page 1: a transaction that had written it before we read it is now
	// either done or known by its journal.
	hot, err := s.journalInUse()
	if err == nil && hot {
		err = fmt.Errorf("%w: a rollback journal is in use", ErrMoved)
	}
	return err
}

func (s *snapshot) findCodec() (*codec, error) {
	db := s.db
	if string(s.identity.Salt[:]) == magic {
		for _, p := range db.params {
			if p == Plain {
				return s.plainCodec()
			}
		}
		return nil, fmt.Errorf("%w: the file is not encrypted", ErrNotDatabase)
	}
	var candidates []Key
	if db.keys != nil {
		for _, k := range db.keys(s.identity.Salt) {
			if salt, ok := k.Salt(); !k.IsZero() && (!ok || salt == s.identity.Salt) {
				candidates = append(candidates, k)
			}
		}
	}
	if len(candidates) == 0 {
		return nil, ErrKeyMissing
	}
	// As page keys first, which costs next to nothing, then as account keys.
	for _, derive := range []bool{false, true} {
		for _, p := range db.params {
			if p == Plain || (derive && p.Iterations == 0) {
				continue
			}
			for _, k := range candidates {
				if _, named := k.Salt(); named && derive {
					continue
				}
				c := &codec{params: p}
				var err error
				iterations := 0
				if derive {
					iterations = p.Iterations
				}
				if c.keys, err = db.derived.derive(k.material().key[:], s.identity.Salt[:], p.Hash, iterations); err != nil {
					return nil, err
				}
				if ok, err := s.tryCodec(c); ok || err != nil {
					return c, err
				}
			}
		}
	}
	if s.gen == nil && s.mainInfo.Size() < minPageSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrNotDatabase, s.mainInfo.Size())
	}
	return nil, ErrKeyRejected
}

// tryCodec reports whether page 1 of the snapshot verifies. A page torn by a
// checkpoint must not count against a key, so it is read more than once.
func (s *snapshot) tryCodec(c *codec) (bool, error) {
	if s.gen != nil && s.gen.pageSize != c.params.PageSize {
		return false, nil
	}
	dec, err := newDecryptor(c)
	if err != nil {
		return false, err
	}
	page := make([]byte, c.params.PageSize)
	for range 3 {
		n, _, err := s.readStored(1, page)
		if err != nil {
			return false, err
		}
		if n < len(page) {
			return false, nil
		}
		if dec.verify(1, page) == nil {
			return true, nil
		}
	}
	return false, nil
}

func (s *snapshot) plainCodec() (*codec, error) {
	var b [2]byte
	n, err := s.readMain(b[:], hdrPageSize)
	if err != nil {
		return nil, err
	}
	if n < len(b) {
		return nil, fmt.Errorf("%w: less than a header", ErrNotDatabase)
	}
	p := Plain
	if p.PageSize = int(binary.BigEndian.Uint16(b[:])); p.PageSize == 1 {
		p.PageSize = maxPageSize
	}
	if p.PageSize < minPageSize || p.PageSize&(p.PageSize-1) != 0 {
		return nil, fmt.Errorf("%w: page size %d", ErrNotDatabase, p.PageSize)
	}
	return &codec{params: p, plain: true}, nil
}
