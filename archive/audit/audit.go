// Package audit re-checks a whole archive from what is on its disk: that nothing
// which was receipted is missing, altered or out of order.
//
// For each lane it walks the batches from the first: form, signature, chain
// without holes, receipt, content, and the index's rows column by column. Then it
// walks the log: each entry must be the one of the batch whose receipt names that
// place, each batch must be there, and the tree is computed again and compared
// with the tiles and with the signed checkpoint.
//
// It trusts the key document and, for devices' public keys, state.db; so it prints
// the ARCHIVEKEY, to be compared with the one that agents were given. It only
// reads, and works while a server runs: what arrives meanwhile counts as pending.
//
// Memory grows with the number of batches, by about a hundred bytes for each, not
// with their size.
package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tidemark/archive"
	"tidemark/archive/content"
	"tidemark/archive/index"
	"tidemark/archive/internal/filelock"
	"tidemark/archive/registry"
	"tidemark/archive/store"
	"tidemark/archive/tlog"
	"tidemark/record"
	"tidemark/seal"
)

// Fault is one thing that is wrong. Device, Lane, Seq and Line say where, as far
// as it has a place; What never quotes content.
type Fault struct {
	Device string `json:"device,omitempty"`
	Lane   string `json:"lane,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	Line   *int   `json:"line,omitempty"` // in the batch, from 0
	What   string `json:"fault"`
}

func (f Fault) String() string {
	where := ""
	if f.Device != "" {
		where = f.Device + "/" + f.Lane
		if f.Seq > 0 {
			where += fmt.Sprintf("/%d", f.Seq)
		}
		if f.Line != nil {
			where += fmt.Sprintf(" line %d", *f.Line)
		}
		where += ": "
	}
	return where + f.What
}

// Report is what a check found.
type Report struct {
	Key       string   `json:"key"`                   // the ARCHIVEKEY of the document in force
	Before    []string `json:"keys_before,omitempty"` // of those that it follows, oldest first
	Lanes     int      `json:"lanes"`
	Batches   int64    `json:"batches"`
	Records   int64    `json:"records"`
	Entries   uint64   `json:"log_entries"`
	Signed    uint64   `json:"log_signed"` // entries that the checkpoint covers
	Pending   int64    `json:"pending"`    // batches without a receipt yet: under way, or cut short by a crash
	Unindexed int64    `json:"unindexed"`  // batches that can't be looked up yet: under way, or cut short by a crash
	Blind     bool     `json:"blind"`      // the content could not be checked
	Holes     []Hole   `json:"holes"`      // batches that a device says it lost
	Faults    []Fault  `json:"faults"`
}

// Hole is where a lane goes on behind batches that the archive never got, on the
// device's signed word. What may be missing is the device's to have said in its gap
// records; the archive holds all that it gave a receipt for.
type Hole struct {
	Device string    `json:"device"`
	Lane   string    `json:"lane"`
	From   uint64    `json:"from"`   // first number that is not here
	To     uint64    `json:"to"`     // last; less than From when none is missing and only the chain begins anew
	Seen   uint64    `json:"seen"`   // greatest number that the device knows to have used
	Reason string    `json:"reason"` // damaged, lost, forked
	Made   time.Time `json:"made"`   // the device's clock
}

// Options are a check's choices.
type Options struct {
	Fault    func(Fault)   // called at once for each fault; may be nil
	Progress func(*Report) // called after each batch; may be nil
}

// check is one run.
type check struct {
	Report
	options Options
	keys    *archive.Keys
	store   *store.Store
	opener  *content.Opener
	devices map[seal.DeviceID]ed25519.PublicKey
	index   *index.Checker // nil when there is none
	running bool           // a server has the archive open
	unread  bool           // a batch is missing or can't be read
	places  map[uint64]place
}

// place is what a receipt promised of the log.
type place struct {
	lane store.Lane
	seq  uint64
	leaf [sha256.Size]byte // of the entry
}

// Verify checks the archive in the folder. The error is set when the check could
// not be made; faults are in the report.
func Verify(ctx context.Context, f archive.Folder, o Options) (*Report, error) {
	keys, err := f.LoadKeys()
	if err != nil {
		return nil, err
	}
	c := &check{
		options: o, keys: keys, store: store.New(f.Batches()), opener: content.NewOpener(keys.Recipients...),
		devices: map[seal.DeviceID]ed25519.PublicKey{}, places: map[uint64]place{},
	}
	for _, l := range keys.Chain[:len(keys.Chain)-1] {
		c.Before = append(c.Before, l.Key().String())
	}
	c.Key, c.Blind = keys.Archive.Key.String(), len(keys.Recipients) == 0
	c.Faults, c.Holes = []Fault{}, []Hole{}
	if lock, err := filelock.Take(f.Lock()); err == nil {
		lock.Close()
	} else {
		c.running = errors.Is(err, filelock.ErrHeld)
	}
	if err := c.loadDevices(ctx, f); err != nil {
		return nil, err
	}
	// The index first, then files, receipts and log: commit goes the other way, so
	// whatever a server adds meanwhile, each of these has what the one before has.
	reader, err := index.OpenReader(f.Index())
	if err != nil {
		c.fault(Fault{What: err.Error()})
	} else {
		defer reader.Close()
		if c.index, err = reader.NewChecker(); err != nil {
			return nil, err
		}
		defer c.index.Close()
	}
	lanes, err := c.store.Lanes()
	if err != nil {
		return nil, err
	}
	stored := make([][]uint64, len(lanes))
	for i, l := range lanes {
		if stored[i], err = c.store.Sequences(l, 0); err != nil {
			return nil, err
		}
	}
	for i, l := range lanes {
		c.Lanes++
		if err := c.lane(ctx, l, stored[i]); err != nil {
			return nil, err
		}
	}
	// With batches that can't be read nobody knows what rows should be there.
	if c.index != nil && !c.unread {
		if err := c.index.Rest(ctx, func(what string) { c.fault(Fault{What: what}) }); err != nil {
			return nil, err
		}
	}
	if err := c.log(ctx, tlog.NewReader(f.Log())); err != nil {
		return nil, err
	}
	return &c.Report, nil
}

func (c *check) fault(f Fault) {
	c.Faults = append(c.Faults, f)
	if c.options.Fault != nil {
		c.options.Fault(f)
	}
}

func (c *check) loadDevices(ctx context.Context, f archive.Folder) error {
	if _, err := os.Stat(f.Registry()); err != nil {
		c.fault(Fault{What: "devices: " + err.Error()})
		return nil
	}
	r, err := registry.Open(f.Registry())
	if err != nil {
		return err
	}
	defer r.Close()
	devices, err := r.Devices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		c.devices[d.ID] = d.Public
		if seal.DeviceIDOf(d.Public) != d.ID {
			c.fault(Fault{What: fmt.Sprintf("devices: %s has the key of another device", d.ID)})
		}
	}
	return nil
}

// lane walks one chain from its first batch.
func (c *check) lane(ctx context.Context, l store.Lane, stored []uint64) error {
	at := func(seq uint64, format string, args ...any) {
		c.fault(Fault{Device: l.Device.String(), Lane: l.Lane.String(), Seq: seq, What: fmt.Sprintf(format, args...)})
	}
	receipts := map[uint64]store.Receipt{}
	top := uint64(0) // the last that is receipted
	for r, err := range c.store.Receipts(l, 0, c.keys.Archive.ReceiptVerifier()) {
		if err != nil {
			at(0, "%v", err)
			continue
		}
		if have, ok := receipts[r.Seq]; ok && have.Hash != r.Hash {
			at(r.Seq, "two receipts name different batches")
			continue
		}
		receipts[r.Seq] = store.Receipt{Receipt: r.Receipt}
		top = max(top, r.Seq)
	}
	is := map[uint64]bool{}
	known := slices.Clone(stored)
	for _, seq := range stored {
		is[seq] = true
	}
	for seq := range receipts {
		if !is[seq] {
			known = append(known, seq)
		}
	}
	slices.Sort(known)
	indexed := uint64(0)
	if c.index != nil {
		var err error
		if indexed, err = c.index.Head(l); err != nil {
			return err
		}
	}
	w := &walk{check: c, lane: l, headers: map[seal.KeyID][]byte{}, indexed: indexed, at: at}
	before := uint64(0)
	for _, seq := range known {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, receipted := receipts[seq]
		w.hole(before, seq)
		before = seq
		if !is[seq] {
			at(seq, "batch file is missing")
			c.unread = true
			w.previous, w.known = r.Hash, receipted
			continue
		}
		if !receipted && seq > top {
			c.Pending++ // its device was told nothing yet
			if !c.running && seq <= indexed {
				at(seq, "receipt is missing")
			}
			continue
		}
		if err := w.batch(seq, r, receipted); err != nil {
			return err
		}
		if c.options.Progress != nil {
			c.options.Progress(&c.Report)
		}
	}
	return nil
}

// walk is the state of walking one lane.
type walk struct {
	*check
	lane     store.Lane
	previous seal.Hash // of the batch before
	known    bool      // previous is known
	indexed  uint64    // last in the index
	headers  map[seal.KeyID][]byte
	restart  *seal.Restart // before the batch at hand; nil for none
	at       func(seq uint64, format string, args ...any)
}

// hole looks at what stands between two batches of the lane that follow each other on
// the disk: nothing, a hole that a restart explains, or one that is a fault.
func (w *walk) hole(before, seq uint64) {
	w.restart = nil
	r, err := w.store.Restart(w.lane, seq)
	if err == nil && r != nil {
		if err = r.Verify(w.devices[w.lane.Device]); err == nil {
			w.restart = r
			w.Holes = append(w.Holes, Hole{
				Device: w.lane.Device.String(), Lane: w.lane.Lane.String(), From: before + 1, To: seq - 1,
				Seen: r.Seen, Reason: r.Reason.String(), Made: r.Made,
			})
			w.known = false
			return
		}
	}
	if err != nil {
		w.at(seq, "%v", err)
	}
	switch {
	case seq == before+1:
	case before == 0:
		w.at(1, "the lane's first batch is missing")
		w.unread, w.known = true, false
	default:
		w.at(before+1, "batches to %d are missing", seq-1)
		w.unread, w.known = true, false
	}
}

// batch checks one stored batch.
func (w *walk) batch(seq uint64, r store.Receipt, receipted bool) error {
	w.Batches++
	previous, known := w.previous, w.known || seq == 1 // whose hash before it is zero
	w.previous, w.known = r.Hash, receipted
	b, err := w.store.Read(w.lane, seq)
	if err != nil {
		w.at(seq, "%v", err)
		w.unread = true
		return nil
	}
	w.previous, w.known = b.Hash(), true
	if known && b.Previous != previous || w.restart != nil && w.restart.Introduces(b) != nil {
		w.at(seq, "the batch does not follow the one before it")
	}
	if public := w.devices[w.lane.Device]; public == nil {
		w.at(seq, "the device's key is not known")
	} else if err := b.Verify(public); err != nil {
		w.at(seq, "%v", err)
	}
	entry := archive.NewEntry(b)
	if !receipted {
		w.at(seq, "receipt is missing")
	} else {
		if err := r.Covers(b); err != nil {
			w.at(seq, "%v", err)
		}
		entry.Log, entry.Received = r.Log, r.Received
		if other, taken := w.places[r.Log]; taken {
			w.at(seq, "its receipt and that of %s/%d name the same log entry %d", other.lane, other.seq, r.Log)
		}
		w.places[r.Log] = place{w.lane, seq, sha256.Sum256(b.LogEntry())}
	}
	if len(b.KeyHeader) > 0 {
		w.headers[b.Key] = b.KeyHeader
	}
	if w.restart != nil {
		for _, h := range w.restart.KeyHeaders {
			w.headers[seal.KeyIDOf(h)] = h
		}
	}
	err = w.opener.Read(b, &entry, func(id seal.KeyID) ([]byte, error) { return w.headers[id], nil })
	if err != nil {
		return err
	}
	w.Records += int64(b.Records)
	onLine := func(line int, what string) {
		f := Fault{Device: w.lane.Device.String(), Lane: w.lane.Lane.String(), Seq: seq, What: what}
		if line >= 0 {
			f.Line = &line
		}
		w.fault(f)
	}
	for _, f := range entry.Faults {
		onLine(f.Line, f.What)
	}
	for i := range entry.Rows {
		if _, err := record.Parse(entry.Rows[i].JSON); err != nil {
			// Its error may quote what stands there.
			onLine(entry.Rows[i].Line, "record: it does not parse whole")
		}
	}
	if w.index == nil {
		return nil
	}
	if seq > w.indexed { // the server, now or when it starts, adds what is behind the last
		w.Unindexed++
		return nil
	}
	return w.index.Batch(&entry, onLine)
}

// log walks the log.
func (c *check) log(ctx context.Context, r *tlog.Reader) error {
	var err error
	visit := func(i uint64, entry []byte) {
		p, ok := c.places[i]
		if !ok {
			c.unclaimed(i, entry)
			return
		}
		delete(c.places, i)
		if sha256.Sum256(entry) != p.leaf {
			c.fault(Fault{Device: p.lane.Device.String(), Lane: p.lane.Lane.String(), Seq: p.seq,
				What: fmt.Sprintf("log entry %d is not this batch's", i)})
		}
	}
	c.Entries, c.Signed, err = r.Check(ctx, c.keys.LogKey, visit, func(e error) { c.fault(Fault{What: e.Error()}) })
	if err != nil {
		return err
	}
	for i, p := range c.places {
		c.fault(Fault{Device: p.lane.Device.String(), Lane: p.lane.Lane.String(), Seq: p.seq,
			What: fmt.Sprintf("log entry %d, which its receipt names, is missing", i)})
	}
	return nil
}

// unclaimed checks an entry that no receipt read above names: its batch may be
// pending, or have arrived since, but it must be there.
func (c *check) unclaimed(i uint64, entry []byte) {
	var device, lane, hash string
	var seq uint64
	n, _ := fmt.Sscanf(string(entry), "tidemark/batch/v1\ndevice %s\nlane %s\nseq %d\nhash %s\n", &device, &lane, &seq, &hash)
	d, derr := seal.ParseDeviceID(device)
	l, lerr := seal.ParseLane(lane)
	if n != 4 || derr != nil || lerr != nil {
		c.fault(Fault{What: fmt.Sprintf("log entry %d is not one that an archive writes", i)})
		return
	}
	b, err := c.store.Read(store.Lane{Device: d, Lane: l}, seq)
	if err != nil || !bytes.Equal(b.LogEntry(), entry) {
		c.fault(Fault{Device: device, Lane: lane, Seq: seq, What: fmt.Sprintf("log entry %d names a batch that is not stored", i)})
	}
}
