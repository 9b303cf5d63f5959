package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tidemark/seal"
)

// Fork says that the archive's chain of a lane was found to be another than this
// device's: one of the two was restored or cloned.
type Fork struct {
	At          time.Time `json:"at"` // this device's clock
	Lane        string    `json:"lane"`
	ArchiveSeq  uint64    `json:"archive_seq"`  // the archive's last batch
	ArchiveHash string    `json:"archive_hash"` // its hash
	Receipt     uint64    `json:"receipt"`      // number in the last receipt here, 0 for none
	Last        uint64    `json:"last"`         // the last batch made here, before
	Next        uint64    `json:"next"`         // the number at which this device's chain goes on
	Batches     int       `json:"batches"`      // that waited and were given other numbers
	// The archive gave receipts for batches From to To and has lost them; both 0 when it
	// has lost none, as far as this device can know.
	LostFrom uint64 `json:"lost_from,omitempty"`
	LostTo   uint64 `json:"lost_to,omitempty"`
}

// ForkCursor is the cursor under which the last fork of a lane stands as JSON, for
// whoever records what happened and deletes it in the same transaction.
func ForkCursor(id seal.Lane) string { return "spool/fork/" + id.String() }

// movingCursor holds, as JSON, how far a lane's batches have got their new numbers.
func movingCursor(id seal.Lane) string { return "spool/moving/" + id.String() }

// moving is that place.
type moving struct {
	Upto uint64 `json:"upto"` // batches with numbers up to here are to be moved
	Next uint64 `json:"next"` // number of the next that is
}

// rechainBytes is about how much one call moves: what a transaction holds in memory.
const rechainBytes = 16 << 20

type rechaining struct {
	id     seal.Lane
	seq    uint64
	hash   seal.Hash
	result chan error
	did    bool
}

// Rechain takes the lane's chain up again behind the archive's head, which is not in it.
//
// Nothing that waits is lost or opened: payloads stay as they are sealed, and batches
// whose numbers the archive has used get numbers behind everything either side has used,
// signed again, behind a seal.Restart that says so. Batches that are all behind the
// archive's head keep their numbers and only get the restart. Batches appended meanwhile
// come after those that waited. A large backlog takes several calls, each when the
// archive disagrees about the batches that have not been moved yet.
//
// It reports whether it did anything: false means that the batches already stand behind
// a restart, and the archive disagrees about something else.
func (s *Spool) Rechain(id seal.Lane, seq uint64, hash seal.Hash) (bool, error) {
	if s.lanes[id] == nil {
		return false, fmt.Errorf("rechain: no lane %d", id)
	}
	r := &rechaining{id: id, seq: seq, hash: hash, result: make(chan error, 1)}
	select {
	case s.rechains <- r:
	case <-s.quit:
		return false, errClosed
	}
	if err := <-r.result; err != nil {
		return false, fmt.Errorf("rechain %s: %w", id, err)
	}
	return r.did, nil
}

// rechained is what a transaction did, to be shown in memory only once it is durable.
type rechained struct {
	head    head
	added   []*seal.Restart
	removed []uint64
	cursors []Cursor
}

// rechain runs in the committer, so that no batch gets its place meanwhile.
func (s *Spool) rechain(r *rechaining) error {
	var done *rechained
	l := s.lanes[r.id]
	return s.update(func(tx *bbolt.Tx) (err error) {
		m := &mover{s: s, tx: tx, id: r.id, name: l.name, bucket: tx.Bucket(lanesBucket).Bucket(l.name)}
		m.done = &rechained{}
		r.did, err = m.run(r.seq, r.hash)
		done = m.done
		return err
	}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if done.head.seq > 0 {
			l.head, l.stats.Seq = done.head, done.head.seq
		}
		for _, seq := range done.removed {
			delete(l.restarts, seq)
		}
		for _, r := range done.added {
			l.restarts[r.First] = r
		}
		for _, c := range done.cursors {
			if c.Value == nil {
				delete(s.cursors, c.Key)
			} else {
				s.cursors[c.Key] = c.Value
			}
		}
		s.kept.stale = true
		close(l.appended)
		l.appended = make(chan struct{})
	})
}

// mover does one call of Rechain in its transaction.
type mover struct {
	s      *Spool
	tx     *bbolt.Tx
	id     seal.Lane
	name   []byte
	bucket *bbolt.Bucket
	done   *rechained
}

func (m *mover) run(archiveSeq uint64, archiveHash seal.Hash) (did bool, err error) {
	h, err := storedHead(m.tx, m.id)
	if err != nil {
		return false, err
	}
	place, waiting, err := m.place(archiveSeq, h)
	if err != nil {
		return false, err
	}
	if place == nil {
		first, _ := m.bucket.Cursor().First()
		if first != nil && binary.BigEndian.Uint64(first) <= archiveSeq || first == nil && h.seq <= archiveSeq {
			place = &moving{Upto: max(archiveSeq, h.seq)}
			place.Next = place.Upto + 1
			if waiting, err = m.waiting(place.Upto); err != nil {
				return false, err
			}
			// What is appended from now on comes behind all that waits.
			behind := place.Next + uint64(waiting)
			r, err := m.restart(behind, seal.Hash{}, nil)
			if err != nil {
				return false, err
			}
			m.done.head = head{behind - 1, r.Hash()}
			if err := putSummed(m.tx.Bucket(headsBucket), m.name, m.done.head.encode()); err != nil {
				return false, err
			}
			if err := m.report(archiveSeq, archiveHash, h, place.Next, waiting); err != nil {
				return false, err
			}
		} else {
			return m.introduce(archiveSeq, archiveHash, h)
		}
	}
	if waiting == 0 {
		return m.done.head.seq > 0, m.cursor(movingCursor(m.id), nil)
	}
	moved, err := m.move(place)
	if err != nil {
		return false, err
	}
	if moved == waiting {
		return true, m.cursor(movingCursor(m.id), nil)
	}
	return true, m.cursor(movingCursor(m.id), place)
}

// place returns where an unfinished move goes on and how many batches it has to move
// yet; nil when there is none, or one that does not fit what is there.
func (m *mover) place(archiveSeq uint64, h head) (*moving, int, error) {
	value, err := getSummed(m.tx.Bucket(cursorsBucket), []byte(movingCursor(m.id)))
	var p moving
	if err != nil || value == nil || json.Unmarshal(value, &p) != nil || archiveSeq > p.Upto {
		return nil, 0, err
	}
	n, err := m.waiting(p.Upto)
	if err != nil || n == 0 || p.Next <= p.Upto || p.Next+uint64(n)-1 > h.seq {
		return nil, 0, err
	}
	if k, _ := m.bucket.Cursor().Seek(binary.BigEndian.AppendUint64(nil, p.Next)); k != nil && binary.BigEndian.Uint64(k) < p.Next+uint64(n) {
		return nil, 0, nil
	}
	return &p, n, nil
}

// waiting counts the batches with numbers up to upto.
func (m *mover) waiting(upto uint64) (n int, err error) {
	c := m.bucket.Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= upto; k, _ = c.Next() {
		n++
	}
	return n, nil
}

// introduce puts a restart before the first batch that waits: the archive is behind it
// and has nothing at its number.
func (m *mover) introduce(archiveSeq uint64, archiveHash seal.Hash, h head) (bool, error) {
	k, raw := m.bucket.Cursor().First()
	if k == nil || m.tx.Bucket(restartBucket).Get(restartKey(m.id, binary.BigEndian.Uint64(k))) != nil {
		return false, nil
	}
	first, err := m.parse(k, raw)
	if err != nil || first.Seq < 2 {
		return false, err
	}
	var keys [][]byte
	met := map[seal.KeyID]bool{}
	c := m.bucket.Cursor()
	for k, raw := c.First(); k != nil && len(keys) < maxRestartKeys; k, raw = c.Next() {
		b, err := seal.ParseHeader(raw)
		if err != nil {
			return false, damaged("batch %s: %v", m.id, err)
		}
		if met[b.Key] {
			continue
		}
		met[b.Key] = true
		if header, err := m.keyHeader(b.Key); err != nil {
			return false, err
		} else if header != nil && !carries(raw) {
			keys = append(keys, header)
		}
	}
	if _, err := m.restart(first.Seq, first.Previous, keys); err != nil {
		return false, err
	}
	return true, m.report(archiveSeq, archiveHash, h, first.Seq, 0)
}

// maxRestartKeys is how many key headers a restart may have.
const maxRestartKeys = 8

// carries says whether a batch carries its key header.
func carries(raw []byte) bool { return raw[6] != 0 || raw[7] != 0 }

func (m *mover) parse(k, raw []byte) (*seal.Batch, error) {
	b, err := seal.ParseBatch(bytes.Clone(raw))
	if err == nil {
		err = b.Verify(m.s.opts.Identity.Public())
	}
	if err != nil || b.Seq != binary.BigEndian.Uint64(k) {
		return nil, damaged("batch %s/%d does not verify", m.id, binary.BigEndian.Uint64(k))
	}
	return b, nil
}

// keyHeader is the header of a data key, nil when it is not here any more.
func (m *mover) keyHeader(id seal.KeyID) ([]byte, error) {
	v, err := getSummed(m.tx.Bucket(keysBucket), append([]byte{byte(m.id)}, id[:]...))
	if err != nil || len(v) < 8 {
		return nil, err
	}
	return v[8:], nil
}

// move gives the oldest batches their new numbers, behind a restart that carries the
// headers of the keys they use.
func (m *mover) move(p *moving) (moved int, err error) {
	var batches []*seal.Batch
	var keys [][]byte
	met := map[seal.KeyID]bool{}
	size := 0
	c := m.bucket.Cursor()
	for k, raw := c.First(); k != nil && binary.BigEndian.Uint64(k) <= p.Upto && (size == 0 || size+len(raw) <= rechainBytes); k, raw = c.Next() {
		b, err := m.parse(k, raw)
		if err != nil {
			return 0, err
		}
		if !met[b.Key] && b.KeyHeader == nil {
			header, err := m.keyHeader(b.Key)
			if err != nil {
				return 0, err
			}
			if header != nil && len(keys) == maxRestartKeys {
				break
			} else if header != nil {
				keys = append(keys, header)
			}
		}
		met[b.Key] = true
		batches = append(batches, b)
		size += len(raw)
	}
	r, err := m.restart(p.Next, seal.Hash{}, keys)
	if err != nil {
		return 0, err
	}
	previous := r.Hash()
	for _, b := range batches {
		h := b.Header
		h.Seq, h.Previous = p.Next, previous
		again, err := seal.NewBatch(m.s.opts.Identity, h, b.KeyHeader, b.Payload)
		if err != nil {
			return 0, err
		}
		if err := m.replace(b, again); err != nil {
			return 0, err
		}
		previous = again.Hash()
		p.Next++
	}
	return len(batches), nil
}

// replace puts a batch in the place of the one that it was.
func (m *mover) replace(old, b *seal.Batch) error {
	if err := m.bucket.Delete(binary.BigEndian.AppendUint64(nil, old.Seq)); err != nil {
		return err
	}
	if err := m.tx.Bucket(restartBucket).Delete(restartKey(m.id, old.Seq)); err != nil {
		return err
	}
	m.done.removed = append(m.done.removed, old.Seq)
	seq := binary.BigEndian.AppendUint64(nil, b.Seq)
	if err := m.bucket.Put(seq, b.Raw); err != nil {
		return err
	}
	keys := m.tx.Bucket(keysBucket)
	name := append([]byte{byte(m.id)}, b.Key[:]...)
	v, err := getSummed(keys, name)
	if err != nil || len(v) < 8 || binary.BigEndian.Uint64(v) >= b.Seq {
		return err
	}
	return putSummed(keys, name, append(seq, v[8:]...))
}

// restart signs one and keeps it before the batch with that number.
func (m *mover) restart(first uint64, previous seal.Hash, keys [][]byte) (*seal.Restart, error) {
	r := &seal.Restart{Lane: m.id, Reason: seal.Forked, Made: m.s.clock(), Seen: first - 1, First: first, Previous: previous, KeyHeaders: keys}
	if last, err := m.receipt(); err != nil {
		return nil, err
	} else if last.seq < first {
		r.ReceiptSeq, r.ReceiptHash = last.seq, last.hash
	}
	if err := r.Sign(m.s.opts.Identity); err != nil {
		return nil, err
	}
	m.done.added = append(m.done.added, r)
	return r, m.tx.Bucket(restartBucket).Put(restartKey(m.id, first), r.Raw)
}

// receipt is the last receipt that the lane has.
func (m *mover) receipt() (head, error) {
	stored, err := getSummed(m.tx.Bucket(receiptBucket), m.name)
	if err != nil || len(stored) < 8 {
		return head{}, err
	}
	r, err := seal.OpenReceipt(stored[8:], m.s.opts.Archive.ReceiptVerifier())
	if err != nil {
		return head{}, nil // of an archive before; it only says how far things were
	}
	return head{r.Seq, r.Hash}, nil
}

// report leaves word of the fork.
func (m *mover) report(archiveSeq uint64, archiveHash seal.Hash, was head, next uint64, batches int) error {
	last, err := m.receipt()
	if err != nil {
		return err
	}
	f := Fork{
		At: m.s.clock().UTC(), Lane: m.id.String(), ArchiveSeq: archiveSeq, Receipt: last.seq, Last: was.seq, Next: next, Batches: batches,
	}
	if archiveSeq > 0 {
		f.ArchiveHash = archiveHash.String()
	}
	if last.seq > archiveSeq {
		f.LostFrom, f.LostTo = archiveSeq+1, last.seq
	}
	m.s.opts.Logger.Warn("the archive's chain is not this device's, which goes on behind it", "lane", m.id, "head", archiveSeq, "last", was.seq, "next", next)
	return m.cursor(ForkCursor(m.id), &f)
}

// cursor sets a cursor of the spool's own; a nil place or fork deletes it.
func (m *mover) cursor(key string, value any) error {
	bucket := m.tx.Bucket(cursorsBucket)
	if value == nil {
		m.done.cursors = append(m.done.cursors, Cursor{Key: key})
		return bucket.Delete([]byte(key))
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	m.done.cursors = append(m.done.cursors, Cursor{Key: key, Value: data})
	return putSummed(bucket, []byte(key), data)
}
