//go:build !windows

package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/server"
	"tidemark/archive/tlog"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// The golden exchanges are testdata of package archive, for whoever writes another
// archive or another agent: an archive's keys, a device's seed, an enrolment token,
// and numbered exchanges, to be made in their order. All of it is public; nothing
// real may ever use these keys.
const exchangeDir = "../testdata/exchange"

var update = flag.Bool("update", false, "make the golden exchanges anew")

// exchange is one golden request with its answer. Bodies that are not text are in
// base64.
type exchange struct {
	name     string
	about    string
	head     string // request line and headers
	body     []byte
	response string // status line, content type, and body
}

func (e *exchange) format() []byte {
	a := txtar.Archive{Comment: []byte(e.about + "\n")}
	a.Files = append(a.Files, txtar.File{Name: "request", Data: []byte(e.head)})
	if len(e.body) > 0 {
		name, data := "request body", append(slices.Clone(e.body), '\n')
		if e.binary() {
			name, data = "request body, base64", []byte(wrap(base64.StdEncoding.EncodeToString(e.body)))
		}
		a.Files = append(a.Files, txtar.File{Name: name, Data: data})
	}
	a.Files = append(a.Files, txtar.File{Name: "response", Data: []byte(e.response)})
	return txtar.Format(&a)
}

func (e *exchange) binary() bool { return strings.Contains(e.head, protocol.TypeBatches) }

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 100 {
		b.WriteString(s[:100] + "\n")
		s = s[100:]
	}
	b.WriteString(s + "\n")
	return b.String()
}

func readExchange(t *testing.T, name string) *exchange {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	e := &exchange{name: filepath.Base(name), about: strings.TrimSuffix(string(a.Comment), "\n")}
	for _, f := range a.Files {
		switch f.Name {
		case "request":
			e.head = string(f.Data)
		case "request body":
			e.body = bytes.TrimSuffix(f.Data, []byte("\n"))
		case "request body, base64":
			if e.body, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(f.Data), "\n", "")); err != nil {
				t.Fatal(err)
			}
		case "response":
			e.response = string(f.Data)
		default:
			t.Fatalf("%s has a part %q", name, f.Name)
		}
	}
	return e
}

// send makes the request and returns the answer as text.
func (s *site) send(e *exchange) string {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(e.head), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(e.body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("%s\nContent-Type: %s\n\n%s", resp.Status, resp.Header.Get("Content-Type"), body)
}

// The golden exchanges happen as they are written, to the byte, from an archive
// with the golden keys that is otherwise empty.
func TestExchanges(t *testing.T) {
	if *update {
		makeExchanges(t)
	}
	names, err := filepath.Glob(filepath.Join(exchangeDir, "*.txtar"))
	if err != nil || len(names) < 10 {
		t.Fatalf("%d golden exchanges, %v", len(names), err)
	}
	s := goldenSite(t)
	for _, name := range names {
		e := readExchange(t, name)
		if got := s.send(e); got != e.response {
			t.Errorf("%s: answer\n%s\nwant\n%s", e.name, got, e.response)
		}
	}
}

// goldenSite serves an archive with the golden document, keys and token.
func goldenSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "a"), log: &syncBuffer{}}
	if _, err := archive.Init(t.Context(), s.dir, "archive.example", archivetest.Time); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(s.dir, "golden"), os.DirFS(filepath.Join(exchangeDir, "archive"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"archive.json", "keys/recipient.pem", "keys/receipt.key", "keys/log.key"} {
		if err := os.Rename(filepath.Join(s.dir, "golden", name), filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// The log that init made is another key's.
	keys, err := archive.Folder(s.dir).LoadKeys()
	if err == nil {
		err = errors.Join(os.RemoveAll(archive.Folder(s.dir).Log()), tlog.Create(t.Context(), archive.Folder(s.dir).Log(), keys.Log))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	token, err := os.ReadFile(filepath.Join(exchangeDir, "enrolment-token"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.a.Registry().AddToken(strings.TrimSpace(string(token)), 1, s.a.Now(), s.a.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return s
}

// goldenBeat is the heartbeat of the golden exchanges.
var goldenBeat = protocol.Heartbeat{
	V: protocol.HeartbeatVersion, At: archivetest.Time.Add(55 * time.Second), Cause: protocol.BeatChanged, Interval: 300,
	Overall: protocol.Degraded, States: []protocol.HeartbeatState{{ID: "account_key_rejected", Severity: protocol.Degraded, Since: archivetest.Time, Account: "wxid_li"}},
	Version: "0.1.0", Started: archivetest.Time,
	Machine: protocol.Machine{
		Hostname: "laptop-7", OS: "windows", OSVersion: "10.0.22631", Arch: "amd64", Serial: "PF3XYZ", Users: []string{"li"}, Directory: "corp.example",
	},
	Accounts: []protocol.HeartbeatAccount{{
		ID: "wxid_li", Generation: "4", InScope: true, State: "account_key_rejected", Severity: protocol.Degraded, Since: archivetest.Time,
		LastRead: archivetest.Time.Add(50 * time.Second), ReadWithin: 600,
	}},
	Backlog: protocol.Backlog{Records: 12, Batches: 2, Bytes: 2077, Oldest: archivetest.Time.Add(30 * time.Second)},
}

// makeExchanges writes new keys and what is said with them.
func makeExchanges(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.RemoveAll(exchangeDir))
	dir := filepath.Join(t.TempDir(), "a")
	_, err := archive.Init(t.Context(), dir, "archive.example", archivetest.Time)
	must(err)
	must(os.MkdirAll(filepath.Join(exchangeDir, "archive", "keys"), 0o755))
	for _, name := range []string{"archive.json", "keys/recipient.pem", "keys/receipt.key", "keys/log.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		must(os.WriteFile(filepath.Join(exchangeDir, "archive", name), b, 0o644))
	}
	token := "tmt1" + strings.Repeat("golden", 5) + "gg"
	must(os.WriteFile(filepath.Join(exchangeDir, "enrolment-token"), []byte(token+"\n"), 0o644))

	s := goldenSite(t)
	d := archivetest.NewDevice(t, s.doc)
	must(os.WriteFile(filepath.Join(exchangeDir, "device-seed"), fmt.Appendf(nil, "%x\n", d.Identity.Seed()), 0o644))
	enrolment := protocol.Enrollment{Hostname: "laptop-7", OS: "windows", Arch: "amd64", Version: "0.1.0"}
	protocol.SignEnrollment(&enrolment, d.Identity, s.doc.Key)
	enrolBody, err := json.Marshal(enrolment)
	must(err)
	one := d.Seal(seal.Messages, archivetest.Text(d.ID(), "123@chatroom", 1, "你好"), archivetest.Text(d.ID(), "123@chatroom", 2, "Hello"))
	two := d.Seal(seal.Messages, archivetest.Text(d.ID(), "123@chatroom", 3, "明天见"))
	fork := d.Fork(seal.Messages, two, archivetest.Text(d.ID(), "123@chatroom", 4, "from a clone"))
	three := d.Seal(seal.Messages, archivetest.Text(d.ID(), "123@chatroom", 5, "later"))
	altered := slices.Clone(three.Raw)
	altered[len(altered)-1] ^= 1

	batches, head := messages+"/batches", messages+"/head"
	post := func(about string, body []byte) exchange {
		return exchange{about: about, body: body, head: fmt.Sprintf("POST %s\nAuthorization: %s\nContent-Type: %s\n",
			batches, s.bearer(d.Identity, "POST", batches, body), protocol.TypeBatches)}
	}
	late, err := protocol.Token(d.Identity, s.doc.Name(), "GET", head, nil, s.a.Now().Add(-time.Hour))
	must(err)
	getHead := "GET " + head + "\nAuthorization: " + s.bearer(d.Identity, "GET", head, nil) + "\n"
	enroll := fmt.Sprintf("POST %s\nAuthorization: Bearer %s\nContent-Type: %s\n", protocol.PathEnroll, token, protocol.TypeJSON)
	stolen := post("", one.Raw)
	beat, err := json.Marshal(goldenBeat)
	must(err)
	recipient, err := d.Identity.KeyRecipient()
	must(err)
	ask, err := json.Marshal(protocol.KeysRequest{V: 1, Recipient: recipient})
	must(err)
	all := []exchange{
		{about: "The archive's key document. Its SHA-256 is the ARCHIVEKEY.", head: "GET " + protocol.PathArchive + "\n"},
		{about: "A device enrols.", head: enroll, body: enrolBody},
		{about: "It enrols again, because the answer was lost: the token is not used up by it.", head: enroll, body: enrolBody},
		{about: "An enrolment token that is not known.", head: strings.Replace(enroll, token, "tmt1unknown", 1), body: enrolBody},
		{about: "The head of a lane that has nothing yet.", head: getHead},
		post("Two batches, one after the other. The first carries the data key's header.", slices.Concat(one.Raw, two.Raw)),
		post("The first again: the same receipt.", one.Raw),
		{about: "The head now.", head: getHead},
		post("Another batch with the number of the head: a cloned laptop. The answer has the archive's head.", fork.Raw),
		post("A batch that does not verify.", altered),
		{about: "A token that was made for another body.", head: stolen.head, body: three.Raw},
		{about: "A token that is an hour old: the device's clock is wrong.", head: "GET " + head + "\nAuthorization: Bearer " + late + "\n"},
		{about: "No such path.", head: "GET /v1/lanes/letters/head\n"},
		{about: "No such method.", head: "DELETE " + protocol.PathArchive + "\n"},
		{about: "Another type of body.", head: strings.Replace(stolen.head, protocol.TypeBatches, "text/html", 1)},
		{about: "Whether the archive answers at all.", head: "GET " + server.PathHealth + "\n"},
		{about: "Every key document that the archive has had, oldest first: so far the first.", head: "GET " + protocol.PathSuccession + "\n"},
		{about: "A device says how it is.", body: beat, head: fmt.Sprintf("POST %s\nAuthorization: %s\nContent-Type: %s\n",
			protocol.PathHeartbeat, s.bearer(d.Identity, "POST", protocol.PathHeartbeat, beat), protocol.TypeJSON)},
		{about: "A device asks for the keys that were left for it; there are none.", body: ask, head: fmt.Sprintf("POST %s\nAuthorization: %s\nContent-Type: %s\n",
			protocol.PathKeys, s.bearer(d.Identity, "POST", protocol.PathKeys, ask), protocol.TypeJSON)},
	}
	for i := range all {
		all[i].response = s.send(&all[i])
		must(os.WriteFile(filepath.Join(exchangeDir, fmt.Sprintf("%02d.txtar", i+1)), all[i].format(), 0o644))
	}
}

// block is how docs/protocol.md shows the exchange.
func (e *exchange) block() string {
	shown := e.head
	if e.binary() && len(e.body) > 0 {
		shown += fmt.Sprintf("\n<%d bytes>\n", len(e.body))
	} else if len(e.body) > 0 {
		shown += "\n" + string(e.body) + "\n"
	}
	return "\n```http\n" + shown + "```\n\n```http\n" + e.response + "```\n"
}

var shownExchange = regexp.MustCompile("<!-- exchange ([0-9]+) -->\n(?:\n```http\n(?:[^`]+\n)?```\n){0,2}")

// docs/protocol.md shows every golden exchange, as it is.
func TestDocumentShowsTheExchanges(t *testing.T) {
	const name = "../../docs/protocol.md"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	want := shownExchange.ReplaceAllStringFunc(string(doc), func(m string) string {
		number := shownExchange.FindStringSubmatch(m)[1]
		e := readExchange(t, filepath.Join(exchangeDir, number+".txtar"))
		shown[e.name] = true
		return "<!-- exchange " + number + " -->\n" + e.block()
	})
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(doc) {
		t.Error("docs/protocol.md shows exchanges that are not the golden ones; see -update")
	}
	names, err := filepath.Glob(filepath.Join(exchangeDir, "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatal("no golden exchanges", err)
	}
	for _, n := range names {
		if !shown[filepath.Base(n)] {
			t.Errorf("docs/protocol.md does not show %s", filepath.Base(n))
		}
	}
}

// docs/openapi.yaml describes the server's paths, methods, types and problems, and
// nothing that is not there.
func TestOpenAPI(t *testing.T) {
	raw, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `yaml:"operationId"`
			RequestBody struct {
				Content map[string]any
			} `yaml:"requestBody"`
			Responses map[string]any
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
				Required   []string
			}
		}
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %q", doc.OpenAPI)
	}
	described := map[string]bool{}
	s := newSite(t)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described[strings.ToUpper(method)+" "+path] = true
			concrete := strings.ReplaceAll(path, "{lane}", "messages")
			contentType := ""
			for ct := range op.RequestBody.Content {
				contentType = ct
			}
			a := s.do(strings.ToUpper(method), concrete, contentType, "", nil)
			if a.status == 404 || a.status == 405 || a.status == 415 {
				t.Errorf("%s %s is described, and answered with %d", method, path, a.status)
			}
			if op.Responses[fmt.Sprint(a.status)] == nil {
				t.Errorf("%s %s answers %d, which is not described", method, path, a.status)
			}
			if a := s.do("PATCH", concrete, "", "", nil); a.status != 405 {
				t.Errorf("PATCH %s: %d", path, a.status)
			}
		}
	}
	for _, want := range server.Routes() {
		if !described[want] {
			t.Errorf("%s is not described", want)
		}
		delete(described, want)
	}
	for extra := range described {
		t.Errorf("%s is described and not there", extra)
	}
	for name, v := range map[string]any{
		"Enrollment": protocol.Enrollment{}, "Enrolled": protocol.Enrolled{}, "Head": protocol.Head{},
		"Receipts": protocol.Receipts{}, "Problem": protocol.Problem{}, "Succession": protocol.Succession{},
		"Heartbeat": protocol.Heartbeat{}, "HeartbeatState": protocol.HeartbeatState{}, "HeartbeatAccount": protocol.HeartbeatAccount{},
		"Machine": protocol.Machine{}, "Backlog": protocol.Backlog{}, "HeartbeatGaps": protocol.HeartbeatGaps{}, "HeartbeatAnswer": protocol.HeartbeatAnswer{},
		"KeysRequest": protocol.KeysRequest{}, "DeviceKeys": protocol.DeviceKeys{},
	} {
		fields := map[string]bool{}
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			fields[name] = true
		}
		for p := range doc.Components.Schemas[name].Properties {
			if !fields[p] {
				t.Errorf("schema %s has %s, which is not in the protocol", name, p)
			}
			delete(fields, p)
		}
		for f := range fields {
			t.Errorf("schema %s lacks %s", name, f)
		}
	}
	for _, kind := range []string{
		protocol.ProblemToken, protocol.ProblemClock, protocol.ProblemEnrol, protocol.ProblemHead, protocol.ProblemBatch,
		protocol.ProblemTooLarge, protocol.ProblemRequest, protocol.ProblemBusy, protocol.ProblemFailed,
	} {
		if !bytes.Contains(raw, []byte(kind)) {
			t.Errorf("problem %s is not described", kind)
		}
	}
}
