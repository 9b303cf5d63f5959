package spool

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"tidemark/seal"
)

// plan is what is to be made of what was found.
type plan struct {
	lanes   map[seal.Lane]*lanePlan
	cursors map[string][]byte
	went    string // where the cursors are from: one of the Cursors constants
}

// lanePlan is a lane as it will be.
type lanePlan struct {
	batches  []place // ascending
	restarts []*seal.Restart
	head     head
	receipt  noted
	report   LaneRecovery
}

// Where the cursors of a healed spool are from.
const (
	CursorsKept         = "kept"         // the file's own: no record that they pass is missing
	CursorsAcknowledged = "acknowledged" // those of a time when everything before them was acknowledged
	CursorsNone         = "none"         // there are none: everything is captured again
)

// planned decides what becomes of each lane and of the cursors. found is never nil;
// in may be, and holds what could be read by the file's structure.
func planned(found *finding, in *survey, kept *keptForm, reason seal.Reason, o *Options) (*plan, error) {
	p := &plan{lanes: map[seal.Lane]*lanePlan{}}
	whole := true
	for _, id := range laneIDs {
		l, err := planLane(id, found, in, kept, reason, o)
		if err != nil {
			return nil, err
		}
		p.lanes[id] = l
		whole = whole && l.report.Whole
	}
	own := in.cursors()
	switch {
	case whole && own != nil:
		p.cursors, p.went = own, CursorsKept
	case kept != nil:
		p.cursors, p.went = kept.Cursors, CursorsAcknowledged
	default:
		p.cursors, p.went = map[string][]byte{}, CursorsNone
	}
	p.cursors = maps.Clone(p.cursors)
	for _, key := range o.Lasting {
		if v, ok := own[key]; ok {
			p.cursors[key] = v
		}
	}
	return p, nil
}

// cursors are those that the file's structure leads to, nil when it does not.
func (s *survey) cursors() map[string][]byte {
	if s == nil || s.version != formatVersion { // without sums nothing vouches for them
		return nil
	}
	return s.values[string(cursorsBucket)]
}

// trusted is the chain head that the file has, if it can be relied on: with one root
// lost, the other's may be one transaction old.
func (s *survey) trusted(id seal.Lane) (head, bool) {
	if s == nil || s.version != formatVersion || s.pages.torn {
		return head{}, false
	}
	h, err := s.head(id)
	return h, err == nil
}

// receipt is the last receipt that the file's structure leads to.
func (s *survey) receipt(id seal.Lane, o *Options) noted {
	if s == nil {
		return noted{}
	}
	stored := s.values[string(receiptBucket)][id.String()]
	if len(stored) < 8 {
		return noted{}
	}
	r, err := seal.OpenReceipt(stored[8:], o.Archive.ReceiptVerifier())
	if err != nil || r.Device != o.Identity.ID() || r.Lane != id {
		return noted{}
	}
	return noted{head{r.Seq, r.Hash}, stored[8:]}
}

func planLane(id seal.Lane, found *finding, in *survey, kept *keptForm, reason seal.Reason, o *Options) (*lanePlan, error) {
	old, seen := kept.receipt(id)
	var receipt noted
	for _, r := range []noted{in.receipt(id, o), found.receipts[id], {head: old}} { // the last has no note
		if r.seq > receipt.seq {
			receipt = r
		}
	}
	end, known := in.trusted(id)
	most := end.seq
	if !known {
		most = ^uint64(0)
	}
	l := &lanePlan{receipt: receipt, batches: choose(found.batches[id], receipt.seq, most, end)}
	for _, b := range found.batches[id] {
		seen = max(seen, b.seq)
	}
	seen = max(seen, receipt.seq, end.seq)

	// The pieces of the chain: each must follow what is before it, or be introduced.
	last := receipt.head
	sign := func(first uint64, previous seal.Hash, used uint64, keys [][]byte) (*seal.Restart, error) {
		r := &seal.Restart{
			Lane: id, Reason: reason, Made: o.Now(), ReceiptSeq: receipt.seq, ReceiptHash: receipt.hash,
			Seen: used, First: first, Previous: previous, KeyHeaders: keys,
		}
		if err := r.Sign(o.Identity); err != nil {
			return nil, err
		}
		l.restarts = append(l.restarts, r)
		l.report.Restarts = append(l.report.Restarts, first)
		return r, nil
	}
	for i, b := range l.batches {
		if b.seq == last.seq+1 && b.previous == last.hash {
			last = head{b.seq, b.hash}
			continue
		}
		if r := found.restarts[string(restartKey(id, b.seq))]; r != nil && r.Before() == b.previous {
			l.restarts = append(l.restarts, r)
			l.report.Missing += hole(last, r)
		} else {
			l.report.Missing += b.seq - last.seq - 1
			if _, err := sign(b.seq, b.previous, b.seq-1, found.needed(l.batches[i:])); err != nil {
				return nil, err
			}
		}
		last = head{b.seq, b.hash}
	}
	// Where the chain goes on: at its head if that is known to be the last, else so far
	// ahead that no number can have been used: no device has made a batch each second
	// since 1970.
	l.report.Whole = known && l.report.Missing == 0
	switch r := found.restarts[string(restartKey(id, end.seq+1))]; {
	case known && end == last:
		l.head = end
	case known && r != nil && r.Before() == end.hash:
		l.head, l.restarts = end, append(l.restarts, r)
		l.report.Missing += hole(last, r)
		l.report.Whole = l.report.Missing == 0
	default:
		if known {
			l.report.Missing += end.seq - min(last.seq, end.seq)
		}
		l.report.Whole = false
		first := max(seen+1, uint64(max(o.Now().Unix(), 2)))
		r, err := sign(first, seal.Hash{}, seen, nil)
		if err != nil {
			return nil, err
		}
		l.head = head{first - 1, r.Hash()}
	}
	l.report.Batches, l.report.Receipt = len(l.batches), receipt.seq
	for _, b := range l.batches {
		l.report.Records += int64(b.records)
		l.report.Bytes += b.size
	}
	return l, nil
}

// hole is how many batches between the last one and the restart are nowhere. One that
// the archive refused is in the quarantine.
func hole(last head, r *seal.Restart) uint64 {
	n := r.Seen - min(last.seq, r.Seen)
	if r.Reason == seal.Refused && n > 0 {
		n--
	}
	return n
}

// choose picks one batch for each number above the receipt's and up to most, in
// ascending order. Two of one number are both this device's: one is of a transaction
// that was never ended. What the chain names wins, then what was sealed last.
func choose(all []place, acked, most uint64, end head) []place {
	var out []place
	for _, p := range all {
		if p.seq > acked && p.seq <= most {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.seq, a.seq), b.sealed.Compare(a.sealed), bytes.Compare(a.hash[:], b.hash[:]))
	})
	named := end.hash // by what comes behind, going down
	var picked []place
	for i := 0; i < len(out); {
		j := i
		for j < len(out) && out[j].seq == out[i].seq {
			j++
		}
		same := out[i:j]
		pick := same[0]
		if k := slices.IndexFunc(same, func(p place) bool { return p.hash == named }); k >= 0 {
			pick = same[k]
		}
		picked = append(picked, pick)
		named = pick.previous
		i = j
	}
	slices.Reverse(picked)
	return picked
}

// needed is the headers of keys that a piece of the chain uses before it carries them.
func (f *finding) needed(piece []place) [][]byte {
	var out [][]byte
	met := map[seal.KeyID]bool{}
	for i, b := range piece {
		if i > 0 && (b.seq != piece[i-1].seq+1 || b.previous != piece[i-1].hash) {
			break
		}
		if met[b.key] {
			continue
		}
		met[b.key] = true
		if header := f.keys[b.key]; header != nil && !b.carries && len(out) < 8 {
			out = append(out, header)
		}
	}
	return out
}
