package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tidemark/archive/fleet"
	"tidemark/archive/heartbeats"
	"tidemark/seal/protocol"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// someFleet is a fleet of that many laptops, every tenth of them blind.
type someFleet struct {
	n     int
	err   error
	looks int
}

func (f *someFleet) Devices(context.Context, time.Time) ([]fleet.Device, error) {
	f.looks++
	var out []fleet.Device
	for i := range f.n {
		d := fleet.Device{
			ID: fmt.Sprintf("d_%05d", i), Hostname: fmt.Sprintf("laptop-%05d", i), OS: []string{"windows", "darwin", "linux"}[i%3], Version: fmt.Sprintf("1.%d", i%3),
			Health: protocol.Healthy, LastSeen: noon.Add(-time.Duration(i) * time.Second), Reported: noon, Records: 7, Batches: 2, Bytes: 100,
			Report: &fleet.Report{
				Machine:  protocol.Machine{Users: []string{fmt.Sprintf("user%05d", i)}, Serial: fmt.Sprintf("SN%05d", i)},
				Accounts: []protocol.HeartbeatAccount{{ID: fmt.Sprintf("wxid_%05d", i), Generation: "4", InScope: true, State: "account_current", Severity: protocol.Healthy}},
			},
		}
		if i%10 == 9 {
			d.Health, d.Why, d.Skew = protocol.Blind, "account_key_missing", -2*time.Hour
			d.Report.States = []protocol.HeartbeatState{{ID: "account_key_missing", Severity: protocol.Blind, Since: noon}}
			d.Report.Backlog = protocol.Backlog{Records: 3, Batches: 1, Bytes: 2 << 20, Oldest: noon.Add(-3 * time.Hour)}
		}
		out = append(out, d)
	}
	return out, f.err
}

func (f *someFleet) Changes(_ context.Context, device string) ([]heartbeats.Change, error) {
	return []heartbeats.Change{{Received: noon, Overall: protocol.Blind, Cause: protocol.BeatChanged, Hostname: "before-" + device}}, nil
}

func get(t *testing.T, c *Console, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("%s: %q", path, csp)
	}
	return w.Code, w.Body.String()
}

func consoleOf(f *someFleet) *Console {
	return New(f, "archive.example", func() time.Time { return noon }, slog.New(slog.DiscardHandler))
}

var row = regexp.MustCompile(`href="/fleet/(d_[0-9]+)"`)

func rows(page string) (out []string) {
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// Promise: of 10,000 laptops the page shows a hundred, the worst first, sorts, filters and
// turns pages by links and a form, and keeps the filter while it sorts.
func TestFleet(t *testing.T) {
	f := &someFleet{n: 10_000}
	c := consoleOf(f)
	code, page := get(t, c, "/fleet")
	if got := rows(page); code != http.StatusOK || len(got) != pageSize || got[0] != "d_00009" {
		t.Fatalf("%d, %v", code, got)
	}
	for _, want := range []string{"10000 enrolled", "<b>1000</b>blind", "<b>9000</b>healthy", "page 1 of 100", "account_key_missing", "2 h behind", "2.0 MiB"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
		t.Error("the page has a script, or something from elsewhere")
	}
	_, page = get(t, c, "/fleet?sort=host&down=1")
	if got := rows(page); got[0] != "d_09999" {
		t.Errorf("by name, the last first: %v", got[0])
	}
	_, page = get(t, c, "/fleet?health=blind&os=linux&sort=host&page=2")
	if !strings.Contains(page, "health=blind&amp;os=linux") || !strings.Contains(page, `rel="prev"`) {
		t.Error("turning pages or sorting loses the filter")
	}
	_, page = get(t, c, "/fleet?q=USER00042")
	if got := rows(page); len(got) != 1 || got[0] != "d_00042" {
		t.Errorf("search: %v", got)
	}
	for _, path := range []string{"/fleet?page=999999", "/fleet?page=-1", "/fleet?sort=nothing", "/fleet?q=" + strings.Repeat("x", 5000)} {
		if code, _ := get(t, c, path); code != http.StatusOK {
			t.Errorf("%s: %d", path[:20], code)
		}
	}
	if f.looks != 1 {
		t.Errorf("the fleet was read %d times in one moment", f.looks)
	}
}

// Promise: what a device says of itself is text on the page, whatever it is.
func TestHostile(t *testing.T) {
	c := consoleOf(&someFleet{n: 1})
	c.devices, c.at = []fleet.Device{{ID: "d_1", Hostname: `<script>alert(1)</script>`, Why: `"><img src=x onerror=y>`, Version: `</style><b>`, Health: `x" onclick="y`}}, noon
	for _, path := range []string{"/fleet", "/fleet/d_1"} {
		_, page := get(t, c, path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.Contains(page, `onclick="y`) || strings.Contains(page, "</style><b>") {
			t.Errorf("%s runs what a device said:\n%s", path, page)
		}
	}
}

// Promise: a laptop has a page with its accounts, states and history; one that is not
// enrolled has none.
func TestDevice(t *testing.T) {
	c := consoleOf(&someFleet{n: 20})
	code, page := get(t, c, "/fleet/d_00009")
	for _, want := range []string{"laptop-00009", "wxid_00009", "account_key_missing", "before-d_00009", "SN00009", "No source has a key", "tidemark keys add", "records: 3, batches: 1"} {
		if code != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%d: the page does not say %q", code, want)
		}
	}
	if code, _ := get(t, c, "/fleet/d_99999"); code != http.StatusNotFound {
		t.Errorf("no such laptop: %d", code)
	}
}

// Promise: the same view is there as JSON.
func TestJSON(t *testing.T) {
	_, body := get(t, consoleOf(&someFleet{n: 50}), "/fleet.json?health=blind")
	var got struct {
		Counts  []fleet.Count
		Devices []fleet.Device
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Devices) != 5 || got.Devices[0].Report == nil || len(got.Counts) != len(fleet.Healths) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Promise: metrics count the fleet, name no laptop, and are in Prometheus's form.
func TestMetrics(t *testing.T) {
	_, body := get(t, consoleOf(&someFleet{n: 50}), "/metrics")
	for _, want := range []string{
		`tidemark_archive_devices{health="blind"} 5`, `tidemark_archive_devices{health="silent"} 0`, "tidemark_archive_records_total 350",
		`tidemark_archive_devices_by_version{version="1.0"} 17`, "tidemark_archive_devices_oldest_seconds 3600", "tidemark_archive_devices_clock_skew_seconds 7200",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("%s is not in\n%s", want, body)
		}
	}
	if strings.Contains(body, "laptop-") || strings.Contains(body, "wxid_") {
		t.Error("metrics name a laptop or an account")
	}
	manual, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok && !strings.Contains(string(manual), "`"+strings.Fields(name)[0]+"`") {
			t.Errorf("docs/fleet.md does not have %s", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Promise: nothing else is there, such as what a library brings for debugging.
func TestNothingElse(t *testing.T) {
	c := consoleOf(&someFleet{n: 1})
	for _, path := range []string{"/debug/vars", "/debug/pprof/", "/v1/health", "/style.css", "/fleet/d_1/x"} {
		if code, _ := get(t, c, path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	w := httptest.NewRecorder()
	if c.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/fleet", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// Promise: an archive that cannot read its own records says so, and not why.
func TestFailure(t *testing.T) {
	c := consoleOf(&someFleet{err: errors.New("secret path")})
	for _, path := range []string{"/fleet", "/fleet.json", "/fleet/d_1", "/metrics"} {
		if code, body := get(t, c, path); code != http.StatusInternalServerError || path != "/metrics" && strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// BenchmarkFleet is the page of 10,000 laptops, from a fleet that was read already.
func BenchmarkFleet(b *testing.B) {
	c := consoleOf(&someFleet{n: 10_000})
	for b.Loop() {
		c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/fleet?sort=backlog", nil))
	}
}
