package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/spool"
	"tidemark/uploader"
)

// metric is one of the metrics. Labels have few values that are known beforehand: an
// account's name is personal data and is in none.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(s *Status, add func(value float64, labels ...string))
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// metrics are all of them, in the order of docs/metrics.md.
var metrics = []metric{
	{"tidemark_build_info", "Which program this is; always 1.", gauge, []string{"version"}, func(s *Status, add func(float64, ...string)) { add(1, s.Version) }},
	{"tidemark_start_time_seconds", "When the agent started, in seconds since 1970.", gauge, nil, func(s *Status, add func(float64, ...string)) { add(seconds(s.Started)) }},
	{"tidemark_health", "1 for the health that the agent is in (healthy, degraded, blind), 0 for the others.", gauge, []string{"health"},
		func(s *Status, add func(float64, ...string)) {
			for _, h := range []Health{Healthy, Degraded, Blind} {
				add(truth(s.Overall == h), string(h))
			}
		}},
	{"tidemark_states", "How often the agent is in each named state that is not healthy; see states.md.", gauge, []string{"state"},
		func(s *Status, add func(float64, ...string)) {
			for _, e := range state.All() {
				n := 0
				for _, r := range s.Reasons {
					if r.ID == e.ID {
						n++
					}
				}
				if e.Severity != Healthy {
					add(float64(n), string(e.ID))
				}
			}
		}},
	{"tidemark_enrolled", "1 when this device is enrolled with an archive.", gauge, nil, func(s *Status, add func(float64, ...string)) { add(truth(s.Enrolled)) }},
	{"tidemark_accounts", "WeChat accounts in scope on this device, by their health.", gauge, []string{"health"},
		func(s *Status, add func(float64, ...string)) {
			counts := map[Health]int{}
			s.inScope(func(a *collector.AccountStatus) { counts[severityOf(a.Severity)]++ })
			for _, h := range []Health{Healthy, Degraded, Blind} {
				add(float64(counts[h]), string(h))
			}
		}},
	{"tidemark_accounts_out_of_scope", "WeChat accounts on this device that are not captured by configuration.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if s.Capture != nil {
				n := len(s.Capture.Accounts)
				s.inScope(func(*collector.AccountStatus) { n-- })
				add(float64(n))
			}
		}},
	{"tidemark_account_read_oldest_timestamp_seconds", "When the account in scope that was read longest ago was last read as a whole; 0 when one never was.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			oldest, any := time.Time{}, false
			s.inScope(func(a *collector.AccountStatus) {
				if !any || a.LastRead.Before(oldest) {
					oldest, any = a.LastRead, true
				}
			})
			if any {
				add(seconds(oldest))
			}
		}},
	{"tidemark_capture_passes_total", "Looks at all accounts that have finished.", counter, nil, ofCapture(func(c *collector.Status) float64 { return float64(c.Passes) })},
	{"tidemark_capture_last_pass_timestamp_seconds", "When the last look at all accounts finished.", gauge, nil, ofCapture(func(c *collector.Status) float64 { return seconds(c.LastPass) })},
	{"tidemark_captured_messages_total", "Messages captured.", counter, nil, ofAccounts(func(a *collector.AccountStatus) float64 { return float64(a.Messages) })},
	{"tidemark_captured_revisions_total", "Changes of captured messages, such as recalls.", counter, nil, ofAccounts(func(a *collector.AccountStatus) float64 { return float64(a.Revisions) })},
	{"tidemark_files_pending", "Files of messages that are waited for.", gauge, nil, ofAccounts(func(a *collector.AccountStatus) float64 { return float64(a.Files) })},
	{"tidemark_backlog_records", "Records that wait for the archive.", gauge, []string{"lane"}, ofLanes(func(l spool.LaneStats) float64 { return float64(l.Records) })},
	{"tidemark_backlog_batches", "Batches that wait for the archive.", gauge, []string{"lane"}, ofLanes(func(l spool.LaneStats) float64 { return float64(l.Batches) })},
	{"tidemark_backlog_bytes", "Bytes that wait for the archive.", gauge, []string{"lane"}, ofLanes(func(l spool.LaneStats) float64 { return float64(l.Bytes) })},
	{"tidemark_backlog_oldest_timestamp_seconds", "When the oldest batch that waits was sealed; absent when none waits.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if oldest := s.oldest(); !oldest.IsZero() {
				add(seconds(oldest))
			}
		}},
	{"tidemark_quarantined_batches", "Batches that the archive refused for good and that are set aside.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if all, err := spool.ListQuarantined(filepath.Join(s.StateDir, spoolFile)); err == nil {
				add(float64(len(all)))
			}
		}},
	{"tidemark_spool_used_bytes", "Bytes of the spool's quota in use.", gauge, nil, ofSpool(func(s *spool.Stats) float64 { return float64(s.Bytes) })},
	{"tidemark_spool_quota_bytes", "The spool's quota, spool.max_bytes.", gauge, nil, ofSpool(func(s *spool.Stats) float64 { return float64(s.MaxBytes) })},
	{"tidemark_disk_free_bytes", "Bytes that are free on the disk of the state folder.", gauge, nil, ofSpool(func(s *spool.Stats) float64 { return float64(s.FreeBytes) })},
	{"tidemark_disk_floor_bytes", "Bytes that are to stay free, spool.min_free.", gauge, nil, ofSpool(func(s *spool.Stats) float64 { return float64(s.MinFree) })},
	{"tidemark_delivered_batches_total", "Batches that the archive has acknowledged.", counter, []string{"lane"}, ofDelivery(func(l uploader.LaneStatus) float64 { return float64(l.Delivered) })},
	{"tidemark_delivery_failed_attempts", "Attempts to deliver that have failed in a row.", gauge, []string{"lane"}, ofDelivery(func(l uploader.LaneStatus) float64 { return float64(l.Attempt) })},
	{"tidemark_delivery_last_receipt_timestamp_seconds", "When the archive last acknowledged a batch; absent before the first.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if s.Delivery != nil && !s.Delivery.LastReceipt.IsZero() {
				add(seconds(s.Delivery.LastReceipt))
			}
		}},
	{"tidemark_heartbeat_last_timestamp_seconds", "When the archive last took this device's report of its health; absent before the first.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if s.Reports != nil && !s.Reports.Last.IsZero() {
				add(seconds(s.Reports.Last))
			}
		}},
	{"tidemark_clock_offset_seconds", "How far the archive's clock is ahead of this device's, as last compared.", gauge, nil,
		func(s *Status, add func(float64, ...string)) {
			if s.Reports != nil && s.Reports.Offset != nil {
				add(float64(*s.Reports.Offset) / 1000)
			}
		}},
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// inScope calls f for every account that is captured.
func (s *Status) inScope(f func(*collector.AccountStatus)) {
	if s.Capture == nil {
		return
	}
	for i := range s.Capture.Accounts {
		if a := &s.Capture.Accounts[i]; a.State != collector.StateExcluded {
			f(a)
		}
	}
}

func ofCapture(f func(*collector.Status) float64) func(*Status, func(float64, ...string)) {
	return func(s *Status, add func(float64, ...string)) {
		if s.Capture != nil {
			add(f(s.Capture))
		}
	}
}

func ofAccounts(f func(*collector.AccountStatus) float64) func(*Status, func(float64, ...string)) {
	return func(s *Status, add func(float64, ...string)) {
		if s.Capture == nil {
			return
		}
		sum := 0.0
		for i := range s.Capture.Accounts {
			sum += f(&s.Capture.Accounts[i])
		}
		add(sum)
	}
}

func ofSpool(f func(*spool.Stats) float64) func(*Status, func(float64, ...string)) {
	return func(s *Status, add func(float64, ...string)) {
		if s.Spool != nil {
			add(f(s.Spool))
		}
	}
}

func ofLanes(f func(spool.LaneStats) float64) func(*Status, func(float64, ...string)) {
	return func(s *Status, add func(float64, ...string)) {
		if s.Spool != nil {
			for name, l := range s.Spool.Lanes {
				add(f(l), name)
			}
		}
	}
}

func ofDelivery(f func(uploader.LaneStatus) float64) func(*Status, func(float64, ...string)) {
	return func(s *Status, add func(float64, ...string)) {
		if s.Delivery != nil {
			for _, l := range s.Delivery.Lanes {
				add(f(l), l.Lane)
			}
		}
	}
}

// exporter makes metrics of a status, once for each time that it is asked.
type exporter struct {
	status func() *Status
	descs  []*prometheus.Desc
}

func newExporter(status func() *Status) *exporter {
	e := &exporter{status: status}
	for _, m := range metrics {
		e.descs = append(e.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return e
}

// Describe implements prometheus.Collector.
func (e *exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range e.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (e *exporter) Collect(ch chan<- prometheus.Metric) {
	s := e.status()
	for i, m := range metrics {
		m.read(s, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(e.descs[i], m.kind, value, labels...)
		})
	}
}

func newRegistry(status func() *Status) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newExporter(status))
	return r
}

// textfileEvery is how often the textfile is written.
const textfileEvery = 15 * time.Second

// exportMetrics gives metrics as the settings want them, until the context ends. Failing
// is a state and is tried again; capture does not depend on it.
func (a *Agent) exportMetrics(ctx context.Context) {
	c := a.config().Metrics
	if c.Listen == "" && c.Textfile == "" {
		return
	}
	r := newRegistry(a.Status)
	t := time.NewTicker(textfileEvery)
	defer t.Stop()
	var stop func()
	for {
		var errs []error
		if c.Listen != "" && stop == nil {
			err := c.Fit()
			if err == nil {
				stop, err = a.listenMetrics(c.Listen, r)
			}
			errs = append(errs, err)
		}
		if c.Textfile != "" {
			errs = append(errs, prometheus.WriteToTextfile(c.Textfile, r))
		}
		a.mu.Lock()
		a.noMetrics = errors.Join(errs...)
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			if stop != nil {
				stop()
			}
			if c.Textfile != "" { // figures of an agent that does not run are nobody's
				if err := os.Remove(c.Textfile); err != nil && !errors.Is(err, fs.ErrNotExist) {
					a.log.Debug("remove metrics", "err", err)
				}
			}
			return
		case <-t.C:
		}
	}
}

// listenMetrics answers GET /metrics until the function it returns is called.
func (a *Agent) listenMetrics(address string, r *prometheus.Registry) (stop func(), err error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	a.mu.Lock()
	a.metricsAt = ln.Addr().String()
	a.mu.Unlock()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	srv := &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() { srv.Serve(ln); close(done) }()
	return func() { srv.Close(); <-done }, nil
}

// MetricsMarkdown is docs/metrics.md, which a test holds to it.
func MetricsMarkdown() string {
	var b strings.Builder
	b.WriteString(metricsIntro)
	for _, m := range metrics {
		kind := "gauge"
		if m.kind == counter {
			kind = "counter"
		}
		labels := "–"
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, labels, m.help)
	}
	return b.String()
}

// metricNames lists the metrics.
func metricNames() []string {
	var out []string
	for _, m := range metrics {
		out = append(out, m.name)
	}
	slices.Sort(out)
	return out
}

const metricsIntro = `# Metrics

Made from ` + "`agent/metrics.go`" + ` by ` + "`go test ./agent -run TestMetricsDocument -update`" + `; a test fails when it is stale.

Metrics are off until they are asked for, in Prometheus' form:

- ` + "`metrics.listen: 127.0.0.1:9477`" + ` answers ` + "`GET /metrics`" + `. Any address but this machine's own loopback needs ` + "`metrics.remote: true`" + `,
  for whoever reaches it may read it: there is no login.
- ` + "`metrics.textfile: /var/lib/node_exporter/tidemark.prom`" + ` is written every 15 seconds, by a rename, for node_exporter's textfile collector, and
  removed when the agent stops in good order. ` + "`node_textfile_mtime_seconds`" + ` tells of one that was killed.

There is no name of an account, user or conversation in them: those are personal data, and who they are is told by
` + "`tidemark status`" + ` and in the archive. Counters begin anew with the agent. Alert rules that use them are in
[deploy/alerts.yaml](deploy/alerts.yaml).

| name | type | labels | what |
| --- | --- | --- | --- |
`
