// Package archivetest is an archive in memory for the tests of those who deliver to
// one. It keeps to the protocol and polices its callers: a request that no device
// may make fails the test. It is not an archive: it keeps nothing and logs nothing.
package archivetest

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/record"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Keys are an archive's secrets and its verified document.
type Keys struct {
	Archive  *seal.Archive
	Document []byte
	Chain    []seal.Link // every document so far

	private  []hpke.PrivateKey // of every document
	receipts note.Signer
}

// NewKeys makes an archive's keys.
func NewKeys(t testing.TB, name string) Keys {
	t.Helper()
	var k Keys
	return k.next(t, name)
}

// Rollover makes the next keys of the same archive.
func (k Keys) Rollover(t testing.TB) Keys {
	t.Helper()
	return k.next(t, k.Archive.Name())
}

// next makes keys and a document, and signs the document with the keys before if there
// are any.
func (k Keys) next(t testing.TB, name string) Keys {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	private, recipient, err := seal.NewRecipient()
	fatal(err)
	opens, err := seal.ParsePrivateKey(private)
	fatal(err)
	skey, vkey, err := note.GenerateKey(nil, name)
	fatal(err)
	d := seal.ArchiveDocument{V: 1, Archive: name, Recipients: []seal.RecipientKey{recipient}, ReceiptKey: vkey, LogKey: vkey, Created: time.Now().UTC()}
	data, key, err := d.Marshal()
	fatal(err)
	link := seal.Link{Document: string(data)}
	if k.Archive != nil {
		s := seal.Succession{Archive: name, Old: k.Archive.Key, New: key, Made: time.Now()}
		msg, err := s.Sign(k.receipts)
		fatal(err)
		link.Note = string(msg)
	}
	n := Keys{Document: data, Chain: append(slices.Clone(k.Chain), link), private: append(slices.Clone(k.private), opens)}
	n.Archive, err = seal.OpenArchiveDocument(data, key)
	fatal(err)
	n.receipts, err = note.NewSigner(skey)
	fatal(err)
	return n
}

// Archive is an http.Handler. Once it serves, its fields are read and changed inside
// Do only, but for T, and Keys as long as no test changes them.
type Archive struct {
	T    testing.TB
	Keys Keys

	Token   string // that enrols; "" refuses every enrolment
	Clock   func() time.Time
	Devices map[seal.DeviceID]ed25519.PublicKey

	Kept      []*seal.Batch // of all lanes, in the order of arrival
	Restarts  []*seal.Restart
	Requests  int // for anything but the key document and a lane's head
	Enrolling int // requests to enrol

	Heartbeats []protocol.Heartbeat // in the order of arrival
	// OnHeartbeat may answer a heartbeat in the archive's place; it says whether it did.
	OnHeartbeat func(w http.ResponseWriter, r *http.Request) bool

	// Intercept may answer a request in the archive's place; it says whether it did.
	Intercept func(w http.ResponseWriter, r *http.Request, body []byte) bool
	// After changes the receipts that the archive would have answered with.
	After func(receipts []string) []string

	mu      sync.Mutex
	changed chan struct{}
}

// New makes an archive with new keys.
func New(t testing.TB, name string) *Archive {
	return &Archive{T: t, Keys: NewKeys(t, name), Clock: time.Now, Devices: map[seal.DeviceID]ed25519.PublicKey{}, changed: make(chan struct{})}
}

// Do runs f while no request is answered.
func (a *Archive) Do(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// WaitKept waits until ok says that what is kept is enough.
func (a *Archive) WaitKept(ok func(kept []*seal.Batch) bool) {
	for {
		a.mu.Lock()
		enough, changed := ok(a.Kept), a.changed
		a.mu.Unlock()
		if enough {
			return
		}
		<-changed
	}
}

// WaitHeartbeat waits until ok says that the heartbeats that came are enough.
func (a *Archive) WaitHeartbeat(ok func([]protocol.Heartbeat) bool) {
	for {
		a.mu.Lock()
		enough, changed := ok(a.Heartbeats), a.changed
		a.mu.Unlock()
		if enough {
			return
		}
		<-changed
	}
}

// ServeHTTP answers as docs/protocol.md says.
func (a *Archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == protocol.PathHeartbeat && r.Method == http.MethodPost {
		a.heartbeat(w, r, body)
		return
	}
	if r.Method != http.MethodGet {
		a.Requests++
	}
	if a.Intercept != nil && a.Intercept(w, r, body) {
		return
	}
	lane, err := seal.ParseLane(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/lanes/"), "/batches"))
	switch {
	case r.URL.Path == protocol.PathArchive && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", protocol.TypeJSON)
		w.Write(a.Keys.Document)
	case r.URL.Path == protocol.PathSuccession && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", protocol.TypeJSON)
		json.NewEncoder(w).Encode(protocol.Succession{Succession: a.Keys.Chain})
	case r.URL.Path == protocol.PathEnroll && r.Method == http.MethodPost:
		a.enroll(w, r, body)
	case err == nil && r.Method == http.MethodPost:
		a.append(w, r, lane, body)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/head"):
		a.head(w, r)
	default:
		a.T.Errorf("request %s %s", r.Method, r.URL.Path)
	}
}

func (a *Archive) enroll(w http.ResponseWriter, r *http.Request, body []byte) {
	a.Enrolling++
	var e protocol.Enrollment
	if err := json.Unmarshal(body, &e); err != nil {
		a.T.Errorf("enrolment: %v", err)
	}
	device, err := protocol.VerifyEnrollment(&e, a.Keys.Archive.Key)
	if err != nil {
		a.T.Errorf("enrolment: %v", err)
	}
	if a.Token == "" || r.Header.Get("Authorization") != "Bearer "+a.Token {
		WriteProblem(w, http.StatusForbidden, protocol.Problem{Type: protocol.ProblemEnrol, Title: "The enrolment token is not valid"})
		return
	}
	a.Devices[device] = e.PublicKey
	w.Header().Set("Content-Type", protocol.TypeJSON)
	json.NewEncoder(w).Encode(protocol.Enrolled{Device: device.String()})
}

func (a *Archive) append(w http.ResponseWriter, r *http.Request, lane seal.Lane, body []byte) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	device, err := protocol.VerifyToken(token, a.Keys.Archive.Name(), r.Method, r.URL.Path, body, a.Clock(), func(d seal.DeviceID) ed25519.PublicKey { return a.Devices[d] })
	switch {
	case errors.Is(err, protocol.ErrClock):
		w.Header().Set("Date", a.Clock().UTC().Format(http.TimeFormat))
		WriteProblem(w, http.StatusUnauthorized, protocol.Problem{Type: protocol.ProblemClock, Title: "The token's time is off"})
		return
	case err != nil:
		a.T.Errorf("request token: %v", err)
	}
	if got := r.Header.Get("Content-Type"); got != protocol.TypeBatches {
		a.T.Errorf("content type %q", got)
	}
	if other := r.Header.Get(protocol.HeaderOnBehalf); err == nil && other != "" {
		if device, err = seal.ParseDeviceID(other); err != nil || a.Devices[device] == nil {
			a.T.Errorf("on behalf of %q: %v", other, err)
		}
	}
	var receipts []string
	for in := bufio.NewReader(bytes.NewReader(body)); ; {
		restart, err := seal.ReadRestart(in)
		if err != nil || restart != nil && restart.Verify(a.Devices[device]) != nil {
			a.T.Errorf("restart that is not the device's own: %v", err)
			return
		}
		b, err := seal.ReadBatch(in)
		if err == io.EOF {
			break
		}
		if err != nil || b.Device != device || b.Lane != lane || b.Verify(a.Devices[device]) != nil {
			a.T.Errorf("batch that is not the device's own: %v", err)
			return
		}
		head := a.Head(device, lane)
		kept := slices.ContainsFunc(a.Kept, func(k *seal.Batch) bool { return k.Hash() == b.Hash() })
		follows := b.Seq == head.Seq+1 && (b.Seq == 1 || b.Previous.String() == head.Hash)
		if !kept && !follows && restart != nil && restart.Introduces(b) == nil && b.Seq > head.Seq {
			a.Restarts = append(a.Restarts, restart)
			follows = true
		}
		if !kept && !follows {
			WriteProblem(w, http.StatusConflict, protocol.Problem{Type: protocol.ProblemHead, Title: "The batch does not follow the head", Head: &head})
			return
		}
		if !kept {
			a.Kept = append(a.Kept, b)
			close(a.changed)
			a.changed = make(chan struct{})
		}
		receipts = append(receipts, Receipt(a.T, b, a.Keys))
	}
	if a.After != nil {
		receipts = a.After(receipts)
	}
	WriteReceipts(w, receipts)
}

// head answers where a lane's chain ends.
// heartbeat keeps what a device says of its health, or answers as OnHeartbeat wants.
func (a *Archive) heartbeat(w http.ResponseWriter, r *http.Request, body []byte) {
	if a.OnHeartbeat != nil && a.OnHeartbeat(w, r) {
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := protocol.VerifyToken(token, a.Keys.Archive.Name(), r.Method, r.URL.Path, body, a.Clock(), func(d seal.DeviceID) ed25519.PublicKey { return a.Devices[d] })
	switch {
	case errors.Is(err, protocol.ErrClock):
		w.Header().Set("Date", a.Clock().UTC().Format(http.TimeFormat))
		WriteProblem(w, http.StatusUnauthorized, protocol.Problem{Type: protocol.ProblemClock})
		return
	case err != nil:
		WriteProblem(w, http.StatusUnauthorized, protocol.Problem{Type: protocol.ProblemToken})
		return
	}
	var h protocol.Heartbeat
	if err := json.Unmarshal(body, &h); err != nil {
		a.T.Errorf("heartbeat: %v", err)
	}
	if err := h.Check(); err != nil {
		a.T.Errorf("heartbeat: %v", err)
	}
	a.Heartbeats = append(a.Heartbeats, h)
	close(a.changed)
	a.changed = make(chan struct{})
	w.Header().Set("Content-Type", protocol.TypeJSON)
	json.NewEncoder(w).Encode(protocol.HeartbeatAnswer{Received: a.Clock().UTC()})
}

func (a *Archive) head(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	device, err := protocol.VerifyToken(token, a.Keys.Archive.Name(), r.Method, r.URL.Path, nil, a.Clock(), func(d seal.DeviceID) ed25519.PublicKey { return a.Devices[d] })
	lane, laneErr := seal.ParseLane(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/lanes/"), "/head"))
	if err := errors.Join(err, laneErr); err != nil {
		a.T.Errorf("request for a head: %v", err)
	}
	w.Header().Set("Content-Type", protocol.TypeJSON)
	json.NewEncoder(w).Encode(a.Head(device, lane))
}

// Head is the head of a device's lane. Call it inside Do.
func (a *Archive) Head(device seal.DeviceID, lane seal.Lane) protocol.Head {
	for _, b := range slices.Backward(a.Kept) {
		if b.Device == device && b.Lane == lane {
			return protocol.Head{Seq: b.Seq, Hash: b.Hash().String()}
		}
	}
	return protocol.Head{}
}

// Records opens everything that is kept, in the order of arrival.
func (a *Archive) Records() []*record.Record {
	a.T.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*record.Record
	keys := map[seal.KeyID]*seal.DataKey{}
	learn := func(header []byte) {
		k, err := seal.OpenDataKey(header, a.Keys.private...)
		if err != nil {
			a.T.Fatal(err)
		}
		keys[k.ID] = k
	}
	for _, r := range a.Restarts {
		for _, header := range r.KeyHeaders {
			learn(header)
		}
	}
	for _, b := range a.Kept {
		if b.KeyHeader != nil {
			learn(b.KeyHeader)
		}
		if keys[b.Key] == nil {
			a.T.Fatalf("batch %d: no data key", b.Seq)
		}
		ndjson, err := b.Open(keys[b.Key])
		if err != nil {
			a.T.Fatal(err)
		}
		for line := range bytes.Lines(ndjson) {
			r, err := record.Parse(line)
			if err != nil {
				a.T.Fatal(err)
			}
			out = append(out, r)
		}
	}
	return out
}

// Receipt signs a receipt for the batch with an archive's keys.
func Receipt(t testing.TB, b *seal.Batch, k Keys) string {
	t.Helper()
	r := seal.Receipt{Archive: k.Archive.Name(), Device: b.Device, Lane: b.Lane, Seq: b.Seq, Hash: b.Hash(), Log: b.Seq, Received: time.Unix(0, 0)}
	msg, err := r.Sign(k.receipts)
	if err != nil {
		t.Error(err)
	}
	return string(msg)
}

// WriteReceipts answers an append.
func WriteReceipts(w http.ResponseWriter, receipts []string) {
	w.Header().Set("Content-Type", protocol.TypeJSON)
	json.NewEncoder(w).Encode(protocol.Receipts{Receipts: receipts})
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, status int, p protocol.Problem) {
	w.Header().Set("Content-Type", protocol.TypeProblem)
	w.WriteHeader(status)
	p.Status = status
	json.NewEncoder(w).Encode(p)
}
