package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"tidemark/internal/durable"
	"tidemark/seal"
)

// keptSuffix ends the name of the file beside the spool that has the cursors of a
// time when nothing was waiting. When the spool is lost, the collector goes on from
// there: everything those cursors pass is in the archive. Going back costs
// capturing some records again, under the same ids.
//
// It is one line with the SHA-256 of the rest in hex, and JSON.
const keptSuffix = ".kept"

// keepEvery is how old it may be while there is something newer to keep.
const keepEvery = 10 * time.Minute

type keptForm struct {
	V       int                 `json:"v"`
	Device  string              `json:"device"`
	At      time.Time           `json:"at"`
	Lanes   map[string]keptLane `json:"lanes"`
	Cursors map[string][]byte   `json:"cursors"`
}

// keptLane is a lane's end at that time: its last batch, which had its receipt, and
// the greatest number used, which is the same unless a restart stands behind it.
type keptLane struct {
	Seq  uint64 `json:"seq,omitempty"`
	Hash string `json:"hash,omitempty"`
	Seen uint64 `json:"seen"`
}

// keptCursors says when the file was last written and whether there is something newer.
type keptCursors struct {
	at    time.Time
	stale bool
}

// keepCursors writes the file if nothing waits, something has changed, and the last
// time is long ago or now is set. Failing costs capturing more again.
func (s *Spool) keepCursors(now bool) {
	s.mu.Lock()
	at := s.clock()
	age := at.Sub(s.kept.at)
	if s.pending > 0 || !s.kept.stale || s.damage != nil || !now && age >= 0 && age < keepEvery {
		s.mu.Unlock()
		return
	}
	form := keptForm{V: 1, Device: s.opts.Identity.ID().String(), At: at.UTC(), Lanes: map[string]keptLane{}, Cursors: s.cursors}
	for id, l := range s.lanes {
		k := keptLane{Seen: l.head.seq}
		if l.stats.Acked == l.head.seq && l.head.seq > 0 {
			k.Seq, k.Hash = l.head.seq, l.head.hash.String()
		}
		form.Lanes[id.String()] = k
	}
	body, err := json.Marshal(&form) // under the lock: the map is the one in use
	s.kept = keptCursors{at: at}
	s.mu.Unlock()
	reached()
	if err == nil {
		sum := sha256.Sum256(body)
		err = durable.WriteFile(s.path+keptSuffix, append(append(hex.AppendEncode(nil, sum[:]), '\n'), body...), 0o600)
	}
	if err != nil {
		s.opts.Logger.Warn("cursors could not be kept beside the spool", "err", err)
		s.mu.Lock()
		s.kept.stale = true
		s.mu.Unlock()
	}
}

// readKept reads the file; nil when there is none of this device that is whole.
func readKept(path string, device seal.DeviceID) (*keptForm, error) {
	data, err := os.ReadFile(path + keptSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	line, body, _ := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256(body)
	var form keptForm
	if hex.EncodeToString(sum[:]) != string(line) || json.Unmarshal(body, &form) != nil || form.V != 1 || form.Device != device.String() {
		return nil, nil
	}
	return &form, nil
}

// receipt is a lane's last receipt at that time, and the greatest number used.
func (k *keptForm) receipt(id seal.Lane) (receipt head, seen uint64) {
	if k == nil {
		return head{}, 0
	}
	l := k.Lanes[id.String()]
	if hash, err := seal.ParseHash(l.Hash); err == nil && l.Seq > 0 {
		receipt = head{l.Seq, hash}
	}
	return receipt, l.Seen
}

// missing reports that the spool's file is not there although there was one.
func missing(path string, o *Options) (known, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	kept, err := readKept(path, o.Identity.ID())
	if err != nil || kept == nil {
		return nil, err
	}
	for _, id := range laneIDs {
		if _, seen := kept.receipt(id); seen > 0 {
			return damaged("the file is gone"), nil
		}
	}
	return nil, nil
}
