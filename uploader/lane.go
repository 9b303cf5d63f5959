package uploader

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/seal"
	"tidemark/seal/protocol"
)

// maxBatches bounds the batches of one request, and so the receipts of its answer.
const maxBatches = 1024

// minBytes is where halving the request ends: one batch, however large.
const minBytes = 64 << 10

// lane delivers one lane's batches. The first group belongs to the goroutine in run
// or drain, the second is guarded by mu.
type lane struct {
	u    *Uploader
	id   seal.Lane
	pace *pace

	bytes      int  // of one request
	batches    int  // of one request
	most       int  // batches of the next; 1 after a disagreement about the head, then up to batches again
	clockTried bool // the clock was corrected and nothing has succeeded since
	failures   int  // in a row
	refusal    refusal

	pending atomic.Bool   // the queue had batches when it was last asked
	wake    chan struct{} // ends a pause that no server asked for

	mu     sync.Mutex
	status LaneStatus
}

func newLane(u *Uploader, id seal.Lane) *lane {
	return &lane{
		u: u, id: id, pace: newPace(u.opts.RetryFirst, u.opts.RetryMax), bytes: u.opts.RequestBytes,
		batches: maxBatches, most: maxBatches, wake: make(chan struct{}, 1),
		status: LaneStatus{Lane: id.String(), State: StateIdle, Since: u.opts.Now()},
	}
}

func (l *lane) snapshot() LaneStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// outcome is what one request came to.
type outcome struct {
	acked int           // batches let go of
	again bool          // ask again at once: the next request differs from this one
	pause time.Duration // what the archive asked for, with its receipts
	fail  *Failure      // nil when acked > 0 or again
}

func (l *lane) run(ctx context.Context) error {
	for {
		if err := l.giveWay(ctx); err != nil {
			return err
		}
		wake := l.u.opts.Queue.Wait(l.id) // before Peek: an append in between must wake
		out, err := l.step(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("deliver %s: %w", l.id, err)
		case out.fail != nil:
			err = l.backOff(ctx, out.fail)
		case out.pause > 0:
			err = sleep(ctx, min(out.pause, maxRetryAfter), nil)
		case out.acked == 0 && !out.again:
			l.idle()
			err = sleep(ctx, -1, wake)
		}
		if err != nil {
			return err
		}
	}
}

// yieldEvery is how often a lane looks whether a more urgent one is done.
const yieldEvery = 100 * time.Millisecond

// giveWay waits while a more urgent lane delivers.
func (l *lane) giveWay(ctx context.Context) error {
	for l.u.urgent(l) {
		if err := sleep(ctx, yieldEvery, nil); err != nil {
			return err
		}
	}
	return nil
}

// backOff waits after a failure. A change of network ends the wait where the failure
// was the network's; it never ends one that the archive asked for.
func (l *lane) backOff(ctx context.Context, f *Failure) error {
	select { // an old hint says nothing about this failure
	case <-l.wake:
	default:
	}
	wait := l.failed(f)
	if f.RetryAfter > 0 || f.State != StateUnreachable && f.State != StateNotArchive {
		return sleep(ctx, wait, nil)
	}
	before := l.u.opts.Now()
	err := sleep(ctx, wait, l.wake)
	if l.u.opts.Now().Sub(before) < wait {
		l.pace.reset()
	}
	return err
}

func (l *lane) drain(ctx context.Context) error {
	for attempt := 1; ; {
		_ = l.giveWay(ctx) // step tells of the context's end
		out, err := l.step(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("deliver %s: %w", l.id, err)
		case err != nil || ctx.Err() != nil:
			s := l.snapshot()
			return errUndelivered(l.id, s.State, s.Err)
		case out.fail != nil:
			wait := l.failed(out.fail)
			if attempt++; attempt > drainAttempts || !out.fail.State.waiting() || sleep(ctx, wait, nil) != nil {
				return errUndelivered(l.id, out.fail.State, clean(out.fail.Error()))
			}
		case out.acked > 0:
			attempt = 1
		case !out.again:
			l.idle()
			return nil
		}
	}
}

// sleep waits for d, for ever when negative, or until wake or the context's end.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-timer:
	}
	return nil
}

// step sends one request with the oldest batches and takes its receipts. The error
// is the queue's, or the context's; everything else is in the outcome, which is
// empty when there was nothing to send.
func (l *lane) step(ctx context.Context) (outcome, error) {
	batches, err := l.u.opts.Queue.Peek(l.id, l.bytes)
	l.pending.Store(len(batches) > 0)
	if err != nil || len(batches) == 0 {
		return outcome{}, err
	}
	if l.failures >= probeAfter {
		if f, err := l.probe(ctx); err != nil || f != nil {
			return outcome{fail: f}, err
		}
	}
	batches = batches[:min(len(batches), l.most)]
	restart, err := l.u.opts.Queue.Restart(l.id, batches[0].Seq)
	if err != nil {
		return outcome{}, err
	}
	l.delivering()

	size := 0
	for _, b := range batches {
		size += len(b.Raw)
	}
	var body []byte
	if restart != nil {
		body = append(body, restart.Raw...)
	}
	body = slices.Grow(body, size)
	for _, b := range batches {
		body = append(body, b.Raw...)
	}
	token, err := protocol.Token(l.u.opts.Identity, l.u.opts.Archive.Name(), http.MethodPost, batchesPath(l.id), body, l.u.now())
	if err != nil {
		return outcome{}, err
	}
	answer, pause, err := l.u.opts.Remote.append(ctx, l.id, token, body, l.u.opts.OnBehalf)
	if err == nil {
		out, err := l.take(ctx, batches, answer.Receipts)
		out.pause = pause
		return out, err
	}
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	var f *Failure
	if !errors.As(err, &f) {
		return outcome{}, err
	}
	return l.judge(ctx, f, batches, len(body))
}

// probeAfter is how many failures in a row make a lane ask before it sends.
const probeAfter = 3

// probe asks whether the archive answers this device at all. The failure is nil when
// it does, or when what it said is the request's to sort out. The error is the
// context's.
func (l *lane) probe(ctx context.Context) (*Failure, error) {
	token, err := protocol.Token(l.u.opts.Identity, l.u.opts.Archive.Name(), http.MethodGet, headPath(l.id), nil, l.u.now())
	if err != nil {
		return nil, err
	}
	err = l.u.opts.Remote.head(ctx, l.id, token)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var f *Failure
	if !errors.As(err, &f) {
		return nil, err
	}
	switch {
	case f.State == StateUnreachable, f.State == StateBusy:
		return f, nil
	case f.State == StateNotArchive && f.Problem == nil:
		return l.diagnose(ctx, f), nil
	}
	return nil, nil
}

// take lets go of the batches whose receipts verify. The spool verifies them again,
// for it trusts nobody; here it separates an archive's fault from the spool's.
func (l *lane) take(ctx context.Context, batches []*seal.Batch, notes []string) (outcome, error) {
	var good [][]byte
	var bad error
	for i, n := range notes {
		if i >= len(batches) {
			bad = errors.New("more receipts than batches")
			break
		}
		r, err := seal.OpenReceipt([]byte(n), l.u.opts.Archive.ReceiptVerifier())
		if err == nil {
			err = r.Covers(batches[i])
		}
		if err != nil {
			bad = err
			break
		}
		good = append(good, []byte(n))
	}
	if len(good) > 0 {
		// The commit point: the spool deletes each batch in the transaction that keeps
		// its receipt. A crash before it sends the batches again, which the archive
		// answers with the same receipts; there is no order in which a batch is lost.
		if _, err := l.u.opts.Queue.AckAll(good); err != nil {
			return outcome{}, fmt.Errorf("take receipts: %w", err)
		}
		l.delivered(len(good))
		return outcome{acked: len(good)}, nil // what was bad comes again, alone
	}
	if bad == nil {
		bad = errors.New("no receipt")
	}
	f := &Failure{State: StateNotArchive, Err: errors.New("the answer holds no receipt of the archive's: " + clean(bad.Error()))}
	return outcome{fail: l.diagnose(ctx, f)}, nil
}

// judge decides what a failed request means for the next one.
func (l *lane) judge(ctx context.Context, f *Failure, batches []*seal.Batch, size int) (outcome, error) {
	if f.State == StateNotArchive && f.Problem == nil {
		return outcome{fail: l.diagnose(ctx, f)}, nil
	}
	if f.Problem == nil {
		return outcome{fail: f}, nil
	}
	switch f.Problem.Type {
	case protocol.ProblemToken: // of this archive, or of another that never met the device
		return outcome{fail: l.diagnose(ctx, f)}, nil
	case protocol.ProblemClock:
		f.State = StateNotArchive // an archive that refuses its own Date is not one
		if !l.clockTried && !f.Date.IsZero() {
			l.clockTried = true
			offset := f.Date.Sub(l.u.opts.Now())
			l.u.offset.Store(int64(offset))
			l.u.log.Warn("device clock differs from archive's", "lane", l.id, "elapsed", offset.Round(time.Second))
			return outcome{again: true}, nil
		}
	case protocol.ProblemTooLarge:
		if len(batches) > 1 {
			l.bytes = max(min(size, l.bytes)/2, minBytes)
			if size <= minBytes { // the limit counts no further: many tiny batches
				l.batches = len(batches) / 2
				l.most = l.batches
			}
			return outcome{again: true}, nil
		}
		f.Err = fmt.Errorf("a batch of %d bytes is too large for the archive or for something on the way: %w", size, f.Err)
		return l.refused(f, batches)
	case protocol.ProblemBatch:
		return l.refused(f, batches)
	case protocol.ProblemHead:
		if why, other := l.fork(f.Problem.Head, batches); why != "" {
			if other {
				if did, err := l.rechain(f.Problem.Head); did || err != nil {
					return outcome{again: did}, err
				}
			}
			f.Err = errors.New(why)
			return outcome{fail: f}, nil
		}
		// The archive's head is in this device's chain: an answer was lost, or the
		// request overtook another. One batch at a time gets each its receipt again.
		l.most = 1
		return outcome{again: true}, nil
	}
	return outcome{fail: f}, nil
}

// fork says why the archive's head cannot be reconciled with the batches at the
// front of the queue, or "". Other is true when that is because the archive's chain is
// another than this device's.
func (l *lane) fork(head *protocol.Head, batches []*seal.Batch) (why string, other bool) {
	if head == nil {
		return "the archive disagrees about the lane's head and does not say where it is", false
	}
	first := batches[0]
	last, _ := l.u.opts.Queue.Head(l.id)
	switch {
	case head.Seq > last:
		return fmt.Sprintf("the archive is ahead of this device: it has batch %d, the last made here is %d (a restored or cloned device?)", head.Seq, last), true
	case head.Seq+1 < first.Seq:
		return fmt.Sprintf("the archive is behind: it has batch %d, its receipts here go to %d (a restored archive?)", head.Seq, first.Seq-1), true
	case head.Seq+1 == first.Seq:
		if first.Seq > 1 && head.Hash != first.Previous.String() {
			return fmt.Sprintf("the archive has another batch %d than this device made", head.Seq), true
		}
	case head.Seq <= batches[len(batches)-1].Seq:
		for _, b := range batches {
			if b.Seq == head.Seq && head.Hash != b.Hash().String() {
				return fmt.Sprintf("the archive has another batch %d than this device made", head.Seq), true
			}
		}
	}
	if l.most == 1 { // sent alone, a batch that the archive has would have got its receipt
		return fmt.Sprintf("the archive has batch %d and does not take batch %d", head.Seq, first.Seq), head.Seq >= first.Seq
	}
	return "", false
}

// rechain makes the queue go on behind the archive's head, which is of another chain
// than the queue's. It says whether there is something else to send now.
func (l *lane) rechain(head *protocol.Head) (bool, error) {
	var hash seal.Hash
	if head.Seq > 0 {
		var err error
		if hash, err = seal.ParseHash(head.Hash); err != nil {
			return false, nil
		}
	}
	did, err := l.u.opts.Queue.Rechain(l.id, head.Seq, hash)
	if err != nil {
		return false, fmt.Errorf("go on behind the archive's head: %w", err)
	}
	if did {
		l.u.log.Warn("the archive's chain is another, this device's goes on behind it", "lane", l.id, "seq", head.Seq)
		l.most = l.batches
		l.u.opts.Forked()
	}
	return did, nil
}

// diagnose asks what answers whether it is the archive, to tell a person more than
// that the answer was none.
func (l *lane) diagnose(ctx context.Context, f *Failure) *Failure {
	doc, err := l.u.opts.Remote.Document(ctx)
	if err != nil {
		return f
	}
	l.u.opts.Suspect()
	switch _, err := seal.OpenArchiveDocument(doc, l.u.opts.Archive.Key); {
	case err != nil:
		f.State = StateNotArchive
		f.Err = fmt.Errorf("another archive or server answers at this address: %w", f.Err)
	case f.Problem == nil:
		f.Err = fmt.Errorf("the archive is there, but something on the way answers deliveries: %w", f.Err)
	}
	return f
}

// failed notes a failure and returns how long to wait.
func (l *lane) failed(f *Failure) time.Duration {
	if f.State == StateRefused || f.State == StateFork { // only a person can help
		l.pace.slow()
	}
	l.failures++
	wait := l.pace.next(f.RetryAfter)
	now := l.u.opts.Now()
	text := clean(f.Error())
	l.mu.Lock()
	begins := l.status.State != f.State
	if begins {
		l.status.State, l.status.Since = f.State, now
	}
	l.status.Err = text
	l.status.Attempt++
	l.status.NextRetry = now.Add(wait)
	attempt := l.status.Attempt
	l.mu.Unlock()
	if begins { // a failure is told once, not each time
		l.u.log.Warn("delivery waits", "lane", l.id, "state", string(f.State), "attempt", attempt, "backoff", wait, "err", text)
	}
	return wait
}

func (l *lane) delivering() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.State == StateIdle { // a failure lasts until a receipt ends it
		l.status.State, l.status.Since = StateDelivering, l.u.opts.Now()
	}
}

func (l *lane) delivered(n int) {
	l.pace.reset()
	l.clockTried, l.failures = false, 0
	l.most = min(2*l.most, l.batches)
	now := l.u.opts.Now()
	l.mu.Lock()
	was, attempts, since := l.status.State, l.status.Attempt, l.status.Since
	if !was.OK() {
		l.status.State, l.status.Since = StateDelivering, now
	}
	l.status.Err, l.status.Attempt, l.status.NextRetry = "", 0, time.Time{}
	l.status.LastReceipt = now
	l.status.Delivered += int64(n)
	l.mu.Unlock()
	if !was.OK() {
		l.u.log.Info("delivery goes on", "lane", l.id, "attempt", attempts, "elapsed", now.Sub(since).Round(time.Millisecond))
	}
}

func (l *lane) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.State != StateIdle {
		l.status.State, l.status.Since = StateIdle, l.u.opts.Now()
	}
	l.status.Err, l.status.Attempt, l.status.NextRetry = "", 0, time.Time{}
}
