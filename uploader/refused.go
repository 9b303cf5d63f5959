package uploader

import (
	"time"

	"tidemark/seal"
)

// A batch counts as refused for good when it was sent alone and refused this often over
// this long: whoever answers so may be in the way only for a while.
const (
	refusals        = 3
	quarantineAfter = 10 * time.Minute
)

// refusal is what a lane remembers of a batch that is being refused.
type refusal struct {
	seq   uint64
	since time.Time
	times int
}

// refused decides what becomes of the lane when the archive refuses what it was sent. It
// sends the oldest batch alone, and when that one is refused for good, the owner of the
// queue sets it aside, so that one bad batch does not keep all that follow.
func (l *lane) refused(f *Failure, batches []*seal.Batch) (outcome, error) {
	if len(batches) > 1 {
		l.most = 1
		return outcome{again: true}, nil
	}
	now := l.u.opts.Now()
	if seq := batches[0].Seq; l.refusal.seq != seq {
		l.refusal = refusal{seq: seq, since: now}
	}
	l.refusal.times++
	if l.u.opts.Quarantine == nil || l.refusal.times < refusals || now.Sub(l.refusal.since) < quarantineAfter {
		return outcome{fail: f}, nil
	}
	if err := l.u.opts.Quarantine(l.id, batches[0].Seq, clean(f.Error())); err != nil {
		return outcome{}, err
	}
	l.u.log.Warn("the archive refuses a batch for good, it is set aside", "lane", l.id, "seq", batches[0].Seq, "err", clean(f.Error()))
	l.refusal = refusal{}
	return outcome{again: true}, nil
}
