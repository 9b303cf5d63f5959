package server

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tidemark/seal/protocol"
)

// How much one device may ask for, and one address before it has shown a device's
// token. A laptop that captures makes a few requests a minute and one that delivers a
// backlog some each second; what is beyond is a fault or an attack, and must not cost
// the others their turn.
const (
	requestsPerSecond = 20
	requestsAtOnce    = 200
	floodsKept        = 65536 // devices and addresses; beyond it those at rest are forgotten
)

// floods is a token bucket for each name. Safe for concurrent use.
type floods struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// take takes n requests from the name's bucket, or says in a problem when to come back.
func (f *floods) take(w http.ResponseWriter, name string, n int) error {
	now := f.now()
	f.mu.Lock()
	b := f.buckets[name]
	if b == nil {
		if len(f.buckets) >= floodsKept {
			f.forget(now)
		}
		if f.buckets == nil {
			f.buckets = map[string]*rate.Limiter{}
		}
		b = rate.NewLimiter(requestsPerSecond, requestsAtOnce)
		f.buckets[name] = b
	}
	f.mu.Unlock()
	if b.AllowN(now, n) {
		return nil
	}
	wait := (float64(n) - b.TokensAt(now)) / requestsPerSecond
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait)))))
	return problem(http.StatusTooManyRequests, protocol.ProblemBusy, "this device asks too often")
}

// forget drops full buckets: whoever comes back finds a full one again.
func (f *floods) forget(now time.Time) {
	for name, b := range f.buckets {
		if b.TokensAt(now) >= requestsAtOnce {
			delete(f.buckets, name)
		}
	}
}

// peer is the address that a request comes from, without its port.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
