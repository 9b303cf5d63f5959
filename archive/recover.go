package archive

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tidemark/archive/index"
	"tidemark/archive/registry"
	"tidemark/archive/store"
	"tidemark/seal"
)

// recoverAll settles every lane that is stored. The lanes are new, nobody else
// uses them yet.
func (a *Archive) recoverAll(ctx context.Context) error {
	ids, err := a.store.Lanes()
	if err != nil {
		return err
	}
	if err := a.notForeign(ids); err != nil {
		return err
	}
	lanes := make([]*lane, len(ids))
	for i, id := range ids {
		lanes[i] = a.lane(id)
	}
	return a.recover(ctx, lanes...)
}

// notForeign makes the index anew when it knows lanes that are not stored here: it is
// another archive's. It also says when batches are gone, which stops nobody: `verify`
// names them.
func (a *Archive) notForeign(stored []store.Lane) error {
	counts, err := a.index.Counts()
	if err != nil {
		return err
	}
	for l := range counts {
		if slices.Contains(stored, l) {
			continue
		}
		a.logger.Error("the index knows a lane that is not stored; making the index again", "device", l.Device.String(), "lane", l.Lane.String())
		name := a.folder.Index()
		err := a.index.Close()
		if err == nil {
			err = index.Remove(name)
		}
		if err == nil {
			a.index, err = index.Open(name)
		}
		return err
	}
	for l, n := range counts {
		files, err := a.store.Sequences(l, 0)
		if err != nil {
			return err
		}
		if len(files) < n {
			a.logger.Error("batch files are missing; restore them from a backup, verify names them",
				"device", l.Device.String(), "lane", l.Lane.String(), "missing", n-len(files))
		}
	}
	return nil
}

// found is a batch that is stored or receipted and not indexed.
type found struct {
	lane     *lane
	seq      uint64
	hash     seal.Hash
	log      uint64
	received time.Time
}

// recover brings lanes from whatever a crash, a failed step or a deleted index
// left to where commit would have brought them. The lanes are held. It may be cut
// short anywhere itself.
func (a *Archive) recover(ctx context.Context, lanes ...*lane) error {
	start := time.Now()
	size, err := a.log.Size()
	if err != nil {
		return err
	}
	var all []found
	for _, l := range lanes {
		missing, err := a.unindexed(ctx, l, size)
		if err != nil {
			return err
		}
		all = append(all, missing...)
	}
	// The order of arrival, as far as anything still tells.
	slices.SortStableFunc(all, func(x, y found) int { return cmp.Compare(x.log, y.log) })
	records := 0
	for i, f := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := a.reread(f)
		if err != nil {
			return err
		}
		if err := a.index.Add(e); err != nil {
			return err
		}
		records += len(e.Rows)
		if f.seq > f.lane.seq {
			f.lane.seq, f.lane.hash = f.seq, f.hash
		}
		if (i+1)%1000 == 0 {
			a.logger.Info("indexing stored batches", "batch", i+1, "batches", len(all), "records", records)
		}
	}
	for _, l := range lanes {
		l.settled = true
	}
	if len(all) > 0 {
		a.logger.Info("recovered", "batches", len(all), "records", records, "elapsed", time.Since(start))
	}
	return nil
}

// unindexed finds what of the lane is beyond its head in the index, in order, and
// sees to it that each has its place in the log, which has size entries, and its
// receipt.
func (a *Archive) unindexed(ctx context.Context, l *lane, size uint64) ([]found, error) {
	l.seq, l.hash = 0, seal.Hash{}
	head, ok, err := a.index.Head(l.id)
	if err != nil {
		return nil, err
	}
	if ok {
		l.seq, l.hash = head.Seq, head.Hash
		if head.Log >= size {
			return nil, fmt.Errorf("lane %s has a receipt for entry %d, the log ends at %d: %w", l.id, head.Log, size, ErrLogShort)
		}
	}
	last, cut, err := a.store.Repair(l.id)
	if err != nil {
		return nil, err
	}
	if cut {
		a.logger.Warn("cut a torn receipt off, which nobody was given", "device", l.id.Device.String(), "lane", l.id.Lane.String())
	}
	if ok && last < head.Seq { // commit never leaves that
		return nil, fmt.Errorf("lane %s has receipts to %d, the index knows of %d: %w", l.id, last, head.Seq, ErrOlder)
	}
	stored, err := a.store.Sequences(l.id, head.Seq)
	if err != nil {
		return nil, err
	}
	if len(stored) == 0 && last <= head.Seq {
		return nil, nil
	}
	var out []found
	receipted := map[uint64]bool{}
	for r, err := range a.store.Receipts(l.id, head.Seq, a.keys.Archive.ReceiptVerifier()) {
		if err != nil {
			a.logger.Error("a receipt that was kept does not verify", "device", l.id.Device.String(), "lane", l.id.Lane.String(), "err", err)
			continue
		}
		if r.Log >= size {
			return nil, fmt.Errorf("lane %s has a receipt for entry %d, the log ends at %d: %w", l.id, r.Log, size, ErrLogShort)
		}
		if !receipted[r.Seq] {
			receipted[r.Seq] = true
			out = append(out, found{l, r.Seq, r.Hash, r.Log, r.Received})
		}
	}
	seq, hash := l.seq, l.hash
	if len(out) > 0 {
		top := slices.MaxFunc(out, func(x, y found) int { return cmp.Compare(x.seq, y.seq) })
		seq, hash = top.seq, top.hash
	}
	var rest []uint64
	for _, n := range stored {
		if !receipted[n] {
			rest = append(rest, n)
		}
	}
	if len(rest) == 0 {
		return out, nil
	}
	more, err := a.place(ctx, l, rest, seq, hash)
	return append(out, more...), err
}

// place gives stored batches without a receipt what they lack: commit was cut
// short behind its first or second step. Seq and hash are the end of what has
// receipts. A file that commit can't have left there is set aside.
func (a *Archive) place(ctx context.Context, l *lane, stored []uint64, seq uint64, hash seal.Hash) ([]found, error) {
	devices, err := a.registry.Devices(ctx)
	if err != nil {
		return nil, err
	}
	var public ed25519.PublicKey // also of a device revoked since then
	if i := slices.IndexFunc(devices, func(d registry.Device) bool { return d.ID == l.id.Device }); i >= 0 {
		public = devices[i].Public
	}
	var batches []*seal.Batch
	var entries [][]byte
	for _, n := range stored {
		b, err := a.store.Read(l.id, n)
		if err == nil {
			err = b.Verify(public)
		}
		if err == nil && n > seq && (n != seq+1 || b.Previous != hash) {
			r, rerr := a.store.Restart(l.id, n)
			if rerr != nil || r == nil || !introduced([]*seal.Restart{r}, b, public, seq) {
				err = errors.Join(errors.New("it does not follow the batch before it"), rerr)
			}
		}
		if err != nil {
			a.logger.Error("set aside a batch file without a receipt", "device", l.id.Device.String(), "lane", l.id.Lane.String(), "seq", n, "err", err)
			if err := a.store.SetAside(l.id, n); err != nil {
				return nil, err
			}
			continue
		}
		if n > seq {
			seq, hash = n, b.Hash()
		}
		batches = append(batches, b)
		entries = append(entries, b.LogEntry())
	}
	if len(batches) == 0 {
		return nil, nil
	}
	logged, err := a.log.Find(ctx, entries)
	if err != nil {
		return nil, err
	}
	received := a.now().UTC().Truncate(time.Millisecond)
	var out []found
	var notes [][]byte
	for i, b := range batches {
		index, ok := logged[string(entries[i])]
		if !ok {
			added, err := a.log.Add(ctx, entries[i])
			if err != nil {
				return nil, err
			}
			index = added[0]
		}
		n, err := a.receipt(b, index, received)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
		out = append(out, found{l, b.Seq, b.Hash(), index, received})
	}
	return out, a.store.AppendReceipts(l.id, notes...)
}

// reread makes the index entry of a receipted batch from its file. What was
// receipted stays the truth: a file that is gone or another is a fault.
func (a *Archive) reread(f found) (index.Entry, error) {
	e := index.Entry{Batch: index.Batch{Lane: f.lane.id, Seq: f.seq, Hash: f.hash}}
	b, err := a.store.Read(f.lane.id, f.seq)
	switch {
	case errors.Is(err, os.ErrNotExist):
		e.Faults = []index.Fault{{Line: -1, What: "batch file is missing"}}
	case err == nil && b.Hash() == f.hash:
		restart, err := a.store.Restart(f.lane.id, f.seq)
		if err != nil {
			a.logger.Error("the restart before a batch can not be read", "device", f.lane.id.Device.String(), "lane", f.lane.id.Lane.String(), "seq", f.seq, "err", err)
		}
		var restarts []*seal.Restart
		if restart != nil {
			restarts = append(restarts, restart)
		}
		for e, err = range a.read([]*seal.Batch{b}, restarts) { // one
			if err != nil {
				return e, err
			}
		}
	case err == nil || errors.Is(err, seal.ErrMalformed) || errors.Is(err, seal.ErrNewer) || errors.Is(err, seal.ErrForged):
		e.Faults = []index.Fault{{Line: -1, What: "batch file is not what was receipted"}}
	default: // the disk, not the file
		return e, err
	}
	e.Log, e.Received = f.log, f.received
	a.logFaults(&e)
	return e, nil
}
