package agent

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidemark/agent/config"
	"tidemark/uploader"
)

// newRemote makes the way to the archive as the settings want it. A client that is
// given replaces the configured proxy.
func newRemote(c *config.Config, url, version string, client *http.Client) (*uploader.Remote, error) {
	if client == nil {
		var err error
		if client, err = uploader.NewClient(c.Proxy); err != nil {
			return nil, err
		}
	}
	r, err := uploader.NewRemote(url, UserAgent(version), client)
	if err != nil {
		return nil, err
	}
	r.Limit(c.MaxRate)
	return r, nil
}

const (
	networkEvery = 5 * time.Second
	sleptFor     = 20 * time.Second // a tick that is this much late by the wall clock means a sleep
)

// watchNetwork makes the uploader try at once when the machine has another network or
// woke up. It looks at the addresses of the interfaces, which every system tells
// without a special right and which costs microseconds, and only while a delivery waits.
func (p *pipeline) watchNetwork(ctx context.Context) error {
	t := time.NewTicker(networkEvery)
	defer t.Stop()
	w := networkWatch{addresses: addresses(), at: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if p.uploader.Status().State.OK() {
			w.at = time.Now()
			continue
		}
		if w.changed(time.Now(), addresses()) {
			p.log.Info("network changed or the machine woke, delivering at once")
			p.uploader.Wake()
		}
	}
}

// networkWatch is what was seen last.
type networkWatch struct {
	addresses string
	at        time.Time
}

// changed takes what is seen now. Go's monotonic clock stands still during a sleep on
// some systems, so it is the wall clock that tells.
func (w *networkWatch) changed(now time.Time, addresses string) bool {
	late := now.Round(0).Sub(w.at.Round(0)) - networkEvery
	other := addresses != w.addresses
	w.at, w.addresses = now, addresses
	return late > sleptFor || other && addresses != ""
}

// addresses lists those of the machine, without the ones that only reach itself.
func addresses() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
