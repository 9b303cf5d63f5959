package uploader

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/uploader/archivetest"
)

// Promise: one batch that the archive refuses for good is set aside after some minutes,
// alone and once, and what stands behind it is delivered; an archive that refuses
// everything for a short while costs nothing.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var aside []uint64
		lift := time.Now().Add(5 * time.Minute)
		w := fakeNetwork(t, func(o *Options) { o.RetryFirst, o.RetryMax = time.Second, 5*time.Minute }, func(a *archivetest.Archive, r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && (time.Now().Before(lift) || len(aside) == 0 && len(a.Kept) == 1) {
				rec := httptest.NewRecorder()
				archivetest.WriteProblem(rec, http.StatusUnprocessableEntity, protocol.Problem{Type: protocol.ProblemBatch, Title: "no"})
				return rec.Result(), nil
			}
			return answerOf(a, r), nil
		})
		w.u.opts.RequestBytes = 1
		w.lane.bytes = 1 // one batch a request, so that the second is refused by itself
		w.append(2)
		second := w.queue.(*memory).batches[1]
		w.u.opts.Quarantine = func(lane seal.Lane, seq uint64, reason string) error {
			m := w.queue.(*memory)
			m.mu.Lock()
			defer m.mu.Unlock()
			if lane != seal.Messages || reason == "" || m.batches[0].Seq != seq {
				t.Errorf("quarantine of %s/%d (%q), the oldest is %d", lane, seq, reason, m.batches[0].Seq)
			}
			aside = append(aside, seq)
			m.batches = m.batches[1:]
			return nil
		}
		stop := w.start()
		time.Sleep(4 * time.Hour)
		stop()
		if len(aside) != 1 || aside[0] != second.Seq || w.waiting() != 0 {
			t.Errorf("set aside %v, %d wait", aside, w.waiting())
		}
		w.wantArchived(1)
	})
}
