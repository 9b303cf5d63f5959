package uploader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Reporter brings heartbeats to the archive. It knows no queue, so that a device whose
// spool can't be opened still says so. Its methods may be called concurrently.
type Reporter struct {
	remote   *Remote
	identity *seal.Identity
	archive  string // its name
	now      func() time.Time

	mu     sync.Mutex
	offset time.Duration // the archive's clock is ahead of ours by this
	known  bool
}

// NewReporter makes one for the archive of that name.
func NewReporter(remote *Remote, identity *seal.Identity, archive string, now func() time.Time) *Reporter {
	return &Reporter{remote: remote, identity: identity, archive: archive, now: now}
}

// ErrNoHeartbeats reports an archive that does not know heartbeats.
var ErrNoHeartbeats = errors.New("the archive takes no heartbeats")

// Send sends one heartbeat, once; when only this device's clock is wrong, once more with
// the archive's. The error is a Failure, ErrNoHeartbeats, or the context's.
func (r *Reporter) Send(ctx context.Context, h *protocol.Heartbeat) error {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("make heartbeat: %w", err)
	}
	err = r.send(ctx, body)
	var f *Failure
	if errors.As(err, &f) && f.Problem != nil && f.Problem.Type == protocol.ProblemClock && !f.Date.IsZero() {
		r.learn(f.Date.Sub(r.now()))
		err = r.send(ctx, body)
	}
	if errors.As(err, &f) && f.Problem != nil && f.Problem.Status == http.StatusNotFound {
		return ErrNoHeartbeats
	}
	return err
}

func (r *Reporter) send(ctx context.Context, body []byte) error {
	offset, _ := r.Offset()
	begun := r.now()
	token, err := protocol.Token(r.identity, r.archive, http.MethodPost, protocol.PathHeartbeat, body, begun.Add(offset))
	if err != nil {
		return err
	}
	var answer protocol.HeartbeatAnswer
	if _, err := r.remote.post(ctx, protocol.PathHeartbeat, token, protocol.TypeJSON, body, &answer, nil); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if !answer.Received.IsZero() { // half of the way there and back is the best guess
		ended := r.now()
		r.learn(answer.Received.Sub(begun.Add(ended.Sub(begun) / 2)))
	}
	return nil
}

func (r *Reporter) learn(offset time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset, r.known = offset, true
}

// Offset says how far the archive's clock is ahead of this device's, and whether that is
// known.
func (r *Reporter) Offset() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offset, r.known
}
