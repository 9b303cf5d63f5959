package uploader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"tidemark/seal"
	"tidemark/seal/protocol"
)

// Limits of one exchange.
const (
	connectTimeout = 10 * time.Second
	headerTimeout  = 60 * time.Second // from the request's last byte to the answer's first
	baseTimeout    = 2 * time.Minute  // a whole exchange, and for each byte sent besides:
	slowestLink    = 16 << 10         // bytes per second; a slower link is as good as none
	maxDocument    = 256 << 10
	maxAnswer      = 8 << 20 // receipts of maxBatches batches with room to spare
	maxProblem     = 64 << 10
)

// Remote speaks the protocol to what answers at an archive's address. Safe for
// concurrent use.
type Remote struct {
	base    string // without a slash at the end
	client  *http.Client
	agent   string
	rate    int64         // bytes per second, 0 for no limit
	limiter *rate.Limiter // nil for no limit
}

// NewRemote names an archive's address, such as https://archive.example.com, and
// the client to reach it with, nil meaning one of NewClient without a proxy of its own.
// UserAgent tells the archive which program asks.
func NewRemote(address, userAgent string, client *http.Client) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("archive address must be https://host[:port][/path]")
	}
	if client == nil {
		client = &http.Client{Transport: newTransport()}
	}
	c := *client // not the caller's
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Remote{base: strings.TrimRight(address, "/"), client: &c, agent: userAgent}, nil
}

var errProxyLogin = errors.New("the proxy on the way wants a login (407; set archive.proxy with user and password)")

// Failure is an exchange that did not end with what was asked for.
type Failure struct {
	State      State             // what it means for delivery
	Problem    *protocol.Problem // what the archive said, if it was the archive
	RetryAfter time.Duration     // what it asked for
	Date       time.Time         // the answer's, zero when there was none
	Err        error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Document gets the archive's key document, unverified.
func (r *Remote) Document(ctx context.Context) ([]byte, error) {
	resp, done, err := r.do(ctx, http.MethodGet, protocol.PathArchive, "", "", nil, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	if resp.StatusCode != http.StatusOK {
		return nil, failure(resp)
	}
	return readAll(resp, maxDocument)
}

// Succession gets the key documents that the archive has had, oldest first, unverified.
// None is the answer of an archive that does not know this path.
func (r *Remote) Succession(ctx context.Context) ([]seal.Link, error) {
	resp, done, err := r.do(ctx, http.MethodGet, protocol.PathSuccession, "", "", nil, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	var s protocol.Succession
	if _, err := success(resp, &s); err != nil {
		return nil, err
	}
	return s.Succession, nil
}

// Enroll makes the device known to the archive. Doing it again with the same key
// gives the same answer.
func (r *Remote) Enroll(ctx context.Context, token string, e *protocol.Enrollment) (*protocol.Enrolled, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	var answer protocol.Enrolled
	if _, err := r.post(ctx, protocol.PathEnroll, token, protocol.TypeJSON, body, &answer, nil); err != nil {
		return nil, err
	}
	return &answer, nil
}

// append sends batches, one after the other, to a lane. The pause is what an archive
// that took them asks for before the next request.
func (r *Remote) append(ctx context.Context, lane seal.Lane, token string, body []byte, onBehalf seal.DeviceID) (answer *protocol.Receipts, pause time.Duration, err error) {
	answer = new(protocol.Receipts)
	var headers http.Header
	if onBehalf != (seal.DeviceID{}) {
		headers = http.Header{protocol.HeaderOnBehalf: {onBehalf.String()}}
	}
	pause, err = r.post(ctx, batchesPath(lane), token, protocol.TypeBatches, body, answer, headers)
	return answer, pause, err
}

// head asks where the archive's chain of a lane ends. It costs a few hundred bytes, and
// so tells whether it is worth sending millions.
func (r *Remote) head(ctx context.Context, lane seal.Lane, token string) error {
	resp, done, err := r.do(ctx, http.MethodGet, headPath(lane), token, "", nil, nil)
	if err != nil {
		return err
	}
	defer done()
	var h protocol.Head
	_, err = success(resp, &h)
	return err
}

func headPath(lane seal.Lane) string {
	return strings.Replace(protocol.PathHead, "{lane}", lane.String(), 1)
}

func batchesPath(lane seal.Lane) string {
	return strings.Replace(protocol.PathBatches, "{lane}", lane.String(), 1)
}

// post sends the body and reads a JSON answer. Errors are Failures.
func (r *Remote) post(ctx context.Context, path, token, contentType string, body []byte, into any, headers http.Header) (pause time.Duration, err error) {
	resp, done, err := r.do(ctx, http.MethodPost, path, token, contentType, body, headers)
	if err != nil {
		return 0, err
	}
	defer done()
	return success(resp, into)
}

// success reads the JSON of an answer that is one of the protocol's successes.
func success(resp *http.Response, into any) (pause time.Duration, err error) {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return 0, failure(resp)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != protocol.TypeJSON {
		return 0, notArchive(resp, fmt.Sprintf("status %d with an answer of type %q", resp.StatusCode, resp.Header.Get("Content-Type")))
	}
	data, err := readAll(resp, maxAnswer)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return 0, notArchive(resp, "an answer that is not of the protocol")
	}
	return retryAfter(resp.Header.Get("Retry-After"), date(resp)), nil
}

func (r *Remote) do(ctx context.Context, method, path, token, contentType string, body []byte, headers http.Header) (*http.Response, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit(len(body)))
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("make request: %w", err)
	}
	r.body(req, body)
	for name, values := range headers {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", r.agent)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		cancel()
		if strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) { // the transport has no value for it
			err = errProxyLogin
		}
		return nil, nil, &Failure{State: StateUnreachable, Err: fmt.Errorf("reach archive: %w", err)}
	}
	return resp, func() {
		io.CopyN(io.Discard, resp.Body, maxProblem) // so that the connection can be used again
		resp.Body.Close()
		cancel()
	}, nil
}

func readAll(resp *http.Response, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, &Failure{State: StateUnreachable, Date: date(resp), Err: fmt.Errorf("read answer: %w", err)}
	}
	if int64(len(data)) > most {
		return nil, notArchive(resp, fmt.Sprintf("an answer of more than %d bytes", most))
	}
	return data, nil
}

func notArchive(resp *http.Response, what string) *Failure {
	return &Failure{State: StateNotArchive, Date: date(resp), Err: errors.New("the answer is not an archive's: " + clean(what))}
}

// failure reads an answer that is not a success.
func failure(resp *http.Response) *Failure {
	f := &Failure{Date: date(resp)}
	f.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), f.Date)
	if p := problem(resp); p != nil {
		f.Problem, f.Err, f.State = p, errors.New(clean(p.Error())), stateOf(p)
		return f
	}
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		where := "nowhere"
		if u, err := resp.Location(); err == nil {
			where = u.Host
		}
		return notArchive(resp, fmt.Sprintf("a redirect (%d) to %s", code, where))
	case code == http.StatusProxyAuthRequired:
		f.State, f.Err = StateUnreachable, errProxyLogin
	case code == http.StatusBadGateway || code == http.StatusGatewayTimeout:
		f.State, f.Err = StateUnreachable, fmt.Errorf("a gateway on the way answers %d", code)
	case code == http.StatusTooManyRequests || code >= 500:
		f.State, f.Err = StateBusy, fmt.Errorf("status %d", code)
	case code == http.StatusRequestEntityTooLarge: // proxies have limits too
		f.State, f.Err = StateRefused, fmt.Errorf("status %d", code)
		f.Problem = &protocol.Problem{Type: protocol.ProblemTooLarge, Status: code}
	default:
		return notArchive(resp, fmt.Sprintf("status %d", code))
	}
	return f
}

// problem reads the archive's own words, or nil when they are not.
func problem(resp *http.Response) *protocol.Problem {
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != protocol.TypeProblem {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil
	}
	var p protocol.Problem
	if json.Unmarshal(data, &p) != nil || !strings.HasPrefix(p.Type, "urn:tidemark:problem:") {
		return nil
	}
	p.Status = resp.StatusCode
	return &p
}

func stateOf(p *protocol.Problem) State {
	switch p.Type {
	case protocol.ProblemToken, protocol.ProblemEnrol:
		return StateNotEnrolled
	case protocol.ProblemHead:
		return StateFork
	case protocol.ProblemBatch, protocol.ProblemTooLarge:
		return StateRefused
	case protocol.ProblemBusy, protocol.ProblemFailed:
		return StateBusy
	}
	return StateNotArchive
}

func date(resp *http.Response) time.Time {
	t, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// retryAfter reads both forms of the header. A date counts from the answer's own,
// so that the device's clock does not matter.
func retryAfter(value string, answered time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if answered.IsZero() {
		answered = time.Now()
	}
	return max(t.Sub(answered), 0)
}
