package uploader

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"
)

// NewClient makes the HTTP client deliveries use, with limits of time and size on
// connections and answers. An empty proxy means the one that the environment names
// (HTTPS_PROXY, NO_PROXY and their like); otherwise it is http, https or socks5, with
// user and password in the URL when the proxy wants a login.
func NewClient(proxy string) (*http.Client, error) {
	t := newTransport()
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("the proxy's address must be http://[user:password@]host:port")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return &http.Client{Transport: t}, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// Limit holds what is sent under bytes per second, over all lanes together. Zero means
// no limit. It must be called before the Remote is used.
func (r *Remote) Limit(bytes int64) {
	if bytes <= 0 {
		return
	}
	r.rate = bytes
	// A burst of a tenth of a second keeps what leaves the laptop even.
	r.limiter = rate.NewLimiter(rate.Limit(bytes), int(min(max(bytes/10, 1024), 1<<20)))
}

// limited is a request's body that waits for its turn.
type limited struct {
	ctx     context.Context
	limiter *rate.Limiter
	from    io.Reader
}

func (l *limited) Read(p []byte) (int, error) {
	p = p[:min(len(p), l.limiter.Burst())]
	if err := l.limiter.WaitN(l.ctx, len(p)); err != nil {
		return 0, err
	}
	return l.from.Read(p)
}

// body makes a request carry b at the allowed pace.
func (r *Remote) body(req *http.Request, b []byte) {
	if r.limiter == nil || len(b) == 0 {
		return
	}
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(&limited{req.Context(), r.limiter, bytes.NewReader(b)}), nil
	}
	req.Body, _ = open()
	req.GetBody = open // for a connection that turns out to be closed
}

// limit is how long one exchange with n bytes of body may take: longer than any link
// that is of use needs, so that an answer that drips ends all the same.
func (r *Remote) limit(n int) time.Duration {
	pace := int64(slowestLink)
	if r.rate > 0 {
		pace = min(pace, r.rate/2) // two lanes share it
	}
	return baseTimeout + time.Duration(n)*time.Second/time.Duration(max(pace, 1))
}
