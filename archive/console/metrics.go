package console

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidemark/archive/fleet"
)

// metrics answers in Prometheus's form. There is no label of a device: 10,000 laptops
// would be 10,000 series of each, and their names are personal data. An alert says that
// something is wrong, and the page which laptop it is.
func (c *Console) metrics() http.Handler {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&fleetMetrics{c})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
}

// fleetMetrics counts the fleet when it is asked.
type fleetMetrics struct{ c *Console }

var (
	descDevices = prometheus.NewDesc("tidemark_archive_devices", "Enrolled devices that are not revoked, by health.", []string{"health"}, nil)
	descVersion = prometheus.NewDesc("tidemark_archive_devices_by_version", "Enrolled devices that are not revoked, by the agent's version.", []string{"version"}, nil)
	descBacklog = prometheus.NewDesc("tidemark_archive_devices_backlog_bytes", "What waits on all devices, by their last heartbeats.", nil, nil)
	descOldest  = prometheus.NewDesc("tidemark_archive_devices_oldest_seconds", "How long the oldest undelivered record of any device has waited.", nil, nil)
	descRefused = prometheus.NewDesc("tidemark_archive_devices_quarantined_batches", "Batches that devices keep aside because this archive refused them for good.", nil, nil)
	descSkew    = prometheus.NewDesc("tidemark_archive_devices_clock_skew_seconds", "How far the clock of a device is off at most.", nil, nil)
	descRecords = prometheus.NewDesc("tidemark_archive_records_total", "Records that devices have delivered, as the batches count them.", nil, nil)
	descBatches = prometheus.NewDesc("tidemark_archive_batches_total", "Batches that devices have delivered.", nil, nil)
	descBytes   = prometheus.NewDesc("tidemark_archive_batch_bytes_total", "Bytes of the batches that devices have delivered.", nil, nil)
	descFaults  = prometheus.NewDesc("tidemark_archive_faults", "Batches and records that could not be read.", nil, nil)
)

// maxVersions bounds the series: versions are what devices say.
const maxVersions = 50

func (m *fleetMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDevices, descVersion, descBacklog, descOldest, descRefused, descSkew, descRecords, descBatches, descBytes, descFaults} {
		ch <- d
	}
}

func (m *fleetMetrics) Collect(ch chan<- prometheus.Metric) {
	devices, at, err := m.c.look(context.Background())
	if err != nil {
		m.c.log.Error("the fleet cannot be counted", "err", err)
		ch <- prometheus.NewInvalidMetric(descDevices, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, c := range fleet.Counts(devices) {
		gauge(descDevices, float64(c.N), c.Health)
	}
	var backlog, refused, records, batches, bytes, faults int64
	var oldest, skew time.Duration
	versions := map[string]int{}
	for i := range devices {
		d := &devices[i]
		records, batches, bytes, faults = records+d.Records, batches+d.Batches, bytes+d.Bytes, faults+d.Faults
		if !d.Revoked.IsZero() {
			continue
		}
		version := d.Version
		if _, known := versions[version]; !known && len(versions) >= maxVersions {
			version = "other"
		}
		versions[version]++
		skew = max(skew, d.Skew.Abs())
		if r := d.Report; r != nil {
			backlog, refused = backlog+r.Backlog.Bytes, refused+r.Backlog.Quarantined
			oldest = max(oldest, d.Waited(at))
		}
	}
	for version, n := range versions {
		gauge(descVersion, float64(n), version)
	}
	gauge(descBacklog, float64(backlog))
	gauge(descOldest, oldest.Seconds())
	gauge(descRefused, float64(refused))
	gauge(descSkew, skew.Seconds())
	gauge(descFaults, float64(faults))
	for desc, n := range map[*prometheus.Desc]int64{descRecords: records, descBatches: batches, descBytes: bytes} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
	}
}
