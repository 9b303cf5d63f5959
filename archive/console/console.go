// Package console is what an archive shows those who look after the laptops: pages of the
// fleet, the same as JSON, and metrics.
//
// It is served at an address of its own, never where devices deliver. What it shows has
// no content of conversations; names of laptops, users and accounts are personal data.
// The pages are made on the server and need no script, so that nothing which a device
// says of itself is ever run.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"tidemark/archive/fleet"
	"tidemark/archive/heartbeats"
)

// The paths.
const (
	PathFleet   = "/fleet"
	PathJSON    = "/fleet.json"
	PathMetrics = "/metrics"
)

// pageSize is how many laptops a page shows.
const pageSize = 100

// fresh is for how long an answer stands for the next: many who look cost as one.
const fresh = 5 * time.Second

// Source is the fleet; see package fleet.
type Source interface {
	Devices(ctx context.Context, now time.Time) ([]fleet.Device, error)
	Changes(ctx context.Context, device string) ([]heartbeats.Change, error)
}

// Console is an http.Handler.
type Console struct {
	source Source
	name   string // the archive's
	now    func() time.Time
	log    *slog.Logger
	mux    *http.ServeMux

	mu      sync.Mutex
	devices []fleet.Device
	at      time.Time
}

// New makes a console for the archive of that name.
func New(source Source, name string, now func() time.Time, log *slog.Logger) *Console {
	c := &Console{source: source, name: name, now: now, log: log, mux: http.NewServeMux()}
	c.mux.Handle("GET /{$}", http.RedirectHandler(PathFleet, http.StatusFound))
	c.mux.HandleFunc("GET "+PathFleet, c.list)
	c.mux.HandleFunc("GET "+PathFleet+"/{device}", c.device)
	c.mux.HandleFunc("GET "+PathJSON, c.json)
	c.mux.Handle("GET "+PathMetrics, c.metrics())
	return c
}

// ServeHTTP answers one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	c.mux.ServeHTTP(w, r)
}

// look gives the fleet as of a moment ago. Nobody may change it.
func (c *Console) look(ctx context.Context) ([]fleet.Device, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.at); c.devices != nil && age >= 0 && age < fresh {
		return c.devices, c.at, nil
	}
	// Not the request's context: who looks next wants the answer too.
	devices, err := c.source.Devices(context.WithoutCancel(ctx), now)
	if err != nil {
		return nil, now, err
	}
	if devices == nil {
		devices = []fleet.Device{}
	}
	c.devices, c.at = devices, now
	return devices, now, nil
}

// failed answers that the fleet could not be read; the cause is for the log.
func (c *Console) failed(w http.ResponseWriter, err error) {
	c.log.Error("the fleet cannot be shown", "err", err)
	http.Error(w, "The archive cannot read its own records of the fleet just now; its log says why.", http.StatusInternalServerError)
}

func viewOf(q url.Values) fleet.View {
	v := fleet.View{
		Health: q.Get("health"), OS: q.Get("os"), Version: q.Get("version"), Text: q.Get("q"),
		Revoked: q.Get("revoked") == "1", Sort: q.Get("sort"), Down: q.Get("down") == "1",
	}
	if !slices.Contains(fleet.Columns, v.Sort) {
		v.Sort = fleet.Columns[0]
	}
	return v
}

// json gives the devices of a view, with the same parameters as the page.
func (c *Console) json(w http.ResponseWriter, r *http.Request) {
	devices, at, err := c.look(r.Context())
	if err != nil {
		c.failed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		At      time.Time      `json:"at"`
		Counts  []fleet.Count  `json:"counts"` // of all that are not revoked
		Devices []fleet.Device `json:"devices"`
	}{at, fleet.Counts(devices), append([]fleet.Device{}, viewOf(r.URL.Query()).Of(devices)...)})
}

//go:embed fleet.html device.html style.css
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": ago, "span": span, "bytes": bytesText, "skew": skewText, "when": when, "join": join, "meaning": meaning, "remedy": remedy, "style": func() (template.CSS, error) {
		b, err := files.ReadFile("style.css")
		return template.CSS(b), err
	},
}).ParseFS(files, "*.html"))

// list is the page of the fleet.
func (c *Console) list(w http.ResponseWriter, r *http.Request) {
	devices, at, err := c.look(r.Context())
	if err != nil {
		c.failed(w, err)
		return
	}
	q := r.URL.Query()
	p := listPage{Archive: c.name, At: at, View: viewOf(q), Counts: fleet.Counts(devices), query: q}
	picked := p.View.Of(devices)
	p.Picked, p.All = len(picked), len(devices)
	p.Pages = max(1, (len(picked)+pageSize-1)/pageSize)
	p.Page, _ = strconv.Atoi(q.Get("page"))
	p.Page = min(max(p.Page, 1), p.Pages)
	first := (p.Page - 1) * pageSize
	p.Devices = picked[first:min(first+pageSize, len(picked))]
	p.Systems, p.Versions = valuesOf(devices, func(d *fleet.Device) string { return d.OS }), valuesOf(devices, func(d *fleet.Device) string { return d.Version })
	c.show(w, "fleet.html", &p)
}

// device is the page of one laptop.
func (c *Console) device(w http.ResponseWriter, r *http.Request) {
	devices, at, err := c.look(r.Context())
	if err != nil {
		c.failed(w, err)
		return
	}
	i := slices.IndexFunc(devices, func(d fleet.Device) bool { return d.ID == r.PathValue("device") })
	if i < 0 {
		http.Error(w, "No such device is enrolled here.", http.StatusNotFound)
		return
	}
	changes, err := c.source.Changes(r.Context(), devices[i].ID)
	if err != nil {
		c.failed(w, err)
		return
	}
	c.show(w, "device.html", &devicePage{c.name, at, devices[i], changes})
}

func (c *Console) show(w http.ResponseWriter, name string, page any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, page); err != nil {
		c.failed(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}
