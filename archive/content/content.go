// Package content reads what stored batches hold: it unwraps data keys with the
// archive's private keys, opens payloads and derives index rows from records.
//
// What it reads comes from devices and may be anything; what can't be read
// becomes a fault of the batch and never an error, so that no content can keep a
// batch from being stored. Without private keys the archive is blind: nothing is
// opened, and that is no fault.
package content

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"sync"

	"tidemark/archive/index"
	"tidemark/seal"
)

// maxKeys is how many unwrapped data keys are kept in memory. A device makes one
// an hour.
const maxKeys = 4096

// Opener opens batches. It may be used concurrently.
type Opener struct {
	private []hpke.PrivateKey

	mu   sync.Mutex
	keys map[seal.KeyID]*seal.DataKey // a cache, emptied when full
}

// NewOpener returns an opener with the private keys; none makes it blind.
func NewOpener(private ...hpke.PrivateKey) *Opener {
	return &Opener{private: private, keys: map[seal.KeyID]*seal.DataKey{}}
}

// Read opens a batch and fills in the entry's rows, faults and Opened. Header
// looks up the key header that an earlier batch carried; it returns nil when it is
// not known, and its error is Read's only one.
func (o *Opener) Read(b *seal.Batch, e *index.Entry, header func(seal.KeyID) ([]byte, error)) error {
	e.Rows, e.Faults, e.Opened = nil, nil, false
	if len(o.private) == 0 {
		return nil
	}
	key, fault, err := o.key(b, header)
	if err != nil {
		return err
	}
	whole := func(what string) error {
		e.Faults = append(e.Faults, index.Fault{Line: -1, What: what})
		return nil
	}
	if fault != "" {
		return whole(fault)
	}
	plain, oerr := b.Open(key)
	if oerr != nil {
		return whole("payload: " + oerr.Error())
	}
	e.Opened = true
	e.Rows = make([]index.Row, 0, b.Records)
	for n := 0; len(plain) > 0; n++ {
		line, rest, _ := bytes.Cut(plain, []byte{'\n'})
		plain = rest
		row, err := index.Derive(line)
		if err != nil {
			e.Faults = append(e.Faults, index.Fault{Line: n, What: "record: " + err.Error()})
			continue
		}
		row.Line = n
		e.Rows = append(e.Rows, row)
	}
	return nil
}

// Lines are the records of one opened batch.
type Lines struct {
	plain []byte
	ends  []int
}

// At returns line n, from 0, nil when there is none.
func (l *Lines) At(n int) []byte {
	if n < 0 || n >= len(l.ends) {
		return nil
	}
	from := 0
	if n > 0 {
		from = l.ends[n-1] + 1
	}
	return l.plain[from:l.ends[n]]
}

// Lines opens a batch to look at its records one by one. What keeps it from being
// opened is an error here, and without private keys every batch is so.
func (o *Opener) Lines(b *seal.Batch, header func(seal.KeyID) ([]byte, error)) (*Lines, error) {
	key, fault, err := o.key(b, header)
	if err != nil {
		return nil, err
	}
	if fault != "" {
		return nil, fmt.Errorf("open batch %s/%d: %s", b.Lane, b.Seq, fault)
	}
	l := &Lines{}
	if l.plain, err = b.Open(key); err != nil {
		return nil, err
	}
	for i, c := range l.plain {
		if c == '\n' {
			l.ends = append(l.ends, i)
		}
	}
	return l, nil
}

func (o *Opener) key(b *seal.Batch, lookup func(seal.KeyID) ([]byte, error)) (k *seal.DataKey, fault string, err error) {
	o.mu.Lock()
	k = o.keys[b.Key]
	o.mu.Unlock()
	if k != nil {
		return k, "", nil
	}
	header := b.KeyHeader
	if len(header) == 0 {
		if header, err = lookup(b.Key); err != nil {
			return nil, "", err
		}
		if len(header) == 0 {
			return nil, "data key header: no batch of the lane carried it", nil
		}
	}
	k, kerr := seal.OpenDataKey(header, o.private...)
	if kerr != nil {
		return nil, "data key: " + kerr.Error(), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.keys) >= maxKeys {
		clear(o.keys)
	}
	o.keys[b.Key] = k
	return k, "", nil
}
