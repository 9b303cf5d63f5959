package agent

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.yaml.in/yaml/v3"

	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/spool"
	"tidemark/uploader"
)

var update = flag.Bool("update", false, "make docs/metrics.md anew")

// measured is a status with something of everything.
func measured() *Status {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	offset := int64(1500)
	s := &Status{
		Running: true, Enrolled: true, Version: "1.0.0", Started: now.Add(-time.Hour), At: now,
		Capture: &collector.Status{Passes: 7, LastPass: now, Accounts: []collector.AccountStatus{
			{Account: "wxid_secret", Name: "李", Path: "/home/li", State: collector.StateCurrent, Severity: record.SeverityInfo, LastRead: now, Messages: 3, Revisions: 1, Files: 2},
			{Account: "wxid_other", State: collector.StateKeyMissing, Severity: record.SeverityBlind, Messages: 4},
			{Account: "wxid_out", State: collector.StateExcluded, Severity: record.SeverityInfo},
		}},
		Delivery: &uploader.Status{LastReceipt: now, Lanes: []uploader.LaneStatus{{Lane: "messages", Delivered: 5}, {Lane: "media", Attempt: 2}}},
		Spool:    &spool.Stats{Lanes: map[string]spool.LaneStats{"messages": {Batches: 1, Records: 9, Bytes: 10, Oldest: now}, "media": {}}, Bytes: 10, MaxBytes: 100, FreeBytes: 1000, MinFree: 50},
		Reports:  &ReportStatus{Last: now, Offset: &offset},
	}
	s.reason(Reason{ID: state.Account(string(collector.StateKeyMissing)), Health: Blind, Account: "wxid_other"})
	return s.settle()
}

// Promise: metrics keep Prometheus' conventions, every one is there, and none names an
// account, a user or a path.
func TestMetrics(t *testing.T) {
	r := newRegistry(measured)
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%+v, %v", problems, err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		fmt.Fprintln(&text, f)
	}
	if !slices.Equal(names, metricNames()) {
		t.Errorf("%v, want %v", names, metricNames())
	}
	for _, personal := range []string{"wxid_", "李", "/home"} {
		if strings.Contains(text.String(), personal) {
			t.Errorf("%q is in the metrics", personal)
		}
	}
	for _, want := range []struct {
		name, labels string
		value        string
	}{
		{"tidemark_health", `health="blind"`, "1"}, {"tidemark_health", `health="healthy"`, "0"}, {"tidemark_states", `state="account_key_missing"`, "1"},
		{"tidemark_accounts", `health="blind"`, "1"}, {"tidemark_captured_messages_total", "", "7"}, {"tidemark_accounts_out_of_scope", "", "1"},
		{"tidemark_clock_offset_seconds", "", "1.5"}, {"tidemark_backlog_records", `lane="messages"`, "9"}, {"tidemark_account_read_oldest_timestamp_seconds", "", "0"},
	} {
		line := want.name + " " + want.value + "\n"
		if want.labels != "" {
			line = want.name + "{" + want.labels + "} " + want.value + "\n"
		}
		file := filepath.Join(t.TempDir(), "m.prom")
		if err := prometheus.WriteToTextfile(file, newRegistry(measured)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), line) {
			t.Errorf("no %q, %v", line, err)
		}
	}
	// Nothing is known yet: nothing may be made up.
	if n, err := testutil.GatherAndCount(newRegistry(func() *Status { return (&Status{}).settle() }), "tidemark_backlog_records", "tidemark_spool_used_bytes"); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// docs/metrics.md is what the table says, and the alert rules use metrics that there are.
func TestMetricsDocument(t *testing.T) {
	const name = "../docs/metrics.md"
	if *update {
		if err := os.WriteFile(name, []byte(MetricsMarkdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != MetricsMarkdown() {
		t.Errorf("docs/metrics.md is stale: go test ./agent -run TestMetricsDocument -update (%v)", err)
	}
	raw, err := os.ReadFile("../docs/deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil || len(rules.Groups) == 0 {
		t.Fatalf("%+v, %v", rules, err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%+v lacks something", r)
			}
			used := regexp.MustCompile(`tidemark_[a-z_]+`).FindAllString(r.Expr, -1)
			for _, m := range used {
				if !slices.Contains(metricNames(), m) {
					t.Errorf("%s uses %s, which is no metric", r.Alert, m)
				}
			}
			for _, m := range regexp.MustCompile(`state="([a-z_]+)"`).FindAllStringSubmatch(r.Expr, -1) {
				if _, ok := state.Get(state.ID(m[1])); !ok {
					t.Errorf("%s uses the state %s, which is none", r.Alert, m[1])
				}
			}
		}
	}
}

// Promise: metrics are given as configured, while the agent runs and not longer; a port
// that is taken is a state, not the end.
func TestExportMetrics(t *testing.T) {
	w := newWorld(t)
	w.enrol()
	w.config.Metrics.Listen = "127.0.0.1:0"
	w.config.Metrics.Textfile = filepath.Join(t.TempDir(), "tidemark.prom")
	a := w.agent()
	r := w.run(a)
	address := ""
	for address == "" {
		a.mu.Lock()
		address = a.metricsAt
		a.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(body), "tidemark_build_info{version=\"test\"} 1") {
		t.Errorf("%s, %v", body, err)
	}
	for {
		if _, err := os.Stat(w.config.Metrics.Textfile); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}

	other := newWorld(t)
	other.enrol()
	other.config.Metrics.Listen = address
	b := other.agent()
	rb := other.run(b)
	for !slices.ContainsFunc(b.Status().Reasons, func(r Reason) bool { return r.ID == state.NoMetrics }) {
		time.Sleep(time.Millisecond)
	}
	rb.end("test")
	r.end("test")
	if _, err := os.Stat(w.config.Metrics.Textfile); err == nil {
		t.Error("the textfile outlives the agent")
	}
	if _, err := http.Get("http://" + address + "/metrics"); err == nil {
		t.Error("the listener outlives the agent")
	}
}
