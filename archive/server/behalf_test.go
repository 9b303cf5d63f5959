//go:build !windows

package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"tidemark/archive/archivetest"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Batches may be brought by another enrolled device than the one that signed them, if it
// says whose they are; nobody can bring what that device did not sign, and nothing for a
// device that is unknown or revoked.
func TestOnBehalf(t *testing.T) {
	s := newSite(t)
	lost, next := s.device(), s.device()
	stranger := archivetest.NewDevice(t, s.doc)
	one := lost.Seal(seal.Messages, archivetest.Text(lost.ID(), "c", 1, "one"))
	two := lost.Seal(seal.Messages, archivetest.Text(lost.ID(), "c", 2, "two"))
	forged := bytes.Clone(two.Raw)
	forged[len(forged)-1] ^= 1
	const path = messages + "/batches"
	post := func(by *archivetest.Device, behalf string, body []byte) answer {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", protocol.TypeBatches)
		req.Header.Set("Authorization", s.bearer(by.Identity, http.MethodPost, path, body))
		req.Header.Set(protocol.HeaderOnBehalf, behalf)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		a := answer{status: resp.StatusCode}
		var both struct {
			protocol.Problem
			protocol.Receipts
		}
		if err := json.NewDecoder(resp.Body).Decode(&both); err != nil {
			t.Fatal(err)
		}
		a.problem = both.Problem
		for _, n := range both.Receipts.Receipts {
			a.body = append(a.body, n...)
		}
		return a
	}
	a := post(next, lost.ID().String(), one.Raw)
	r, err := seal.OpenReceipt(a.body, s.doc.ReceiptVerifier())
	if err != nil || r.Covers(one) != nil {
		t.Fatalf("%d %s: %v", a.status, a.problem.Type, err)
	}
	s.wantProblem(post(next, "", two.Raw), 422, protocol.ProblemBatch)
	s.wantProblem(post(next, next.ID().String(), two.Raw), 422, protocol.ProblemBatch)
	s.wantProblem(post(next, lost.ID().String(), forged), 422, protocol.ProblemBatch)
	s.wantProblem(post(next, stranger.ID().String(), two.Raw), 422, protocol.ProblemBatch)
	s.wantProblem(post(next, "d_nonsense", two.Raw), 400, protocol.ProblemRequest)
	s.wantProblem(post(stranger, lost.ID().String(), two.Raw), 401, protocol.ProblemToken)
	if err := s.a.Registry().Revoke(lost.ID(), s.a.Now()); err != nil {
		t.Fatal(err)
	}
	s.wantProblem(post(next, lost.ID().String(), two.Raw), 422, protocol.ProblemBatch)
	if r := s.sound(); r.Batches != 1 {
		t.Errorf("%d batches are kept", r.Batches)
	}
}
