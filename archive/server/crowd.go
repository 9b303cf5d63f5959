package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// bodiesAtOnce is how many requests with a body one device may have under way: one for
// each lane, and as many whose answers it has given up on.
const bodiesAtOnce = 4

// mostConns is how many connections a server holds open at most.
const mostConns = 8192

// atOnce counts what is under way for each name.
type atOnce struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *atOnce) enter(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n[name] >= bodiesAtOnce {
		return false
	}
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[name]++
	return true
}

func (a *atOnce) leave(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n[name]--; a.n[name] == 0 {
		delete(a.n, name)
	}
}

// crowd bounds the connections of a server. Its methods are those that http.Server calls.
type crowd struct {
	most int

	mu       sync.Mutex
	members  map[net.Conn]*member
	unproved *list.List // of members that have shown no good token, the oldest first
	idle     *list.List // of members that have, and that ask nothing now
}

// member is one connection.
type member struct {
	conn   net.Conn
	crowd  *crowd
	in     *list.List    // nil while it is proved and at work, or gone
	at     *list.Element // in that list
	proved bool
}

type memberKey struct{}

func newCrowd(most int) *crowd {
	return &crowd{most: most, members: map[net.Conn]*member{}, unproved: list.New(), idle: list.New()}
}

// enter takes a new connection in, and sends another away when that is one too many.
func (c *crowd) enter(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &member{conn: conn, crowd: c}
	if len(c.members) >= c.most {
		oldest := c.unproved.Front()
		if oldest == nil {
			oldest = c.idle.Front()
		}
		gone := m // all others are at work for a device
		if oldest != nil {
			gone = oldest.Value.(*member)
		}
		c.leave(gone)
		go gone.conn.Close() // TLS takes its time to say good-bye
		if gone == m {
			return ctx
		}
	}
	c.members[conn] = m
	m.move(c.unproved)
	return context.WithValue(ctx, memberKey{}, m)
}

func (c *crowd) leave(m *member) {
	delete(c.members, m.conn)
	m.move(nil)
}

// state follows what a connection does.
func (c *crowd) state(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[conn]
	switch {
	case m == nil:
	case s == http.StateClosed || s == http.StateHijacked:
		c.leave(m)
	case s == http.StateIdle && m.proved:
		m.move(c.idle)
	case s == http.StateActive && m.proved:
		m.move(nil)
	}
}

// known notes that the request's connection has shown a token that verifies.
func known(r *http.Request) {
	m, ok := r.Context().Value(memberKey{}).(*member)
	if !ok {
		return
	}
	m.crowd.mu.Lock()
	defer m.crowd.mu.Unlock()
	if m.crowd.members[m.conn] == m && !m.proved {
		m.proved = true
		m.move(nil)
	}
}

// move puts the member at the end of a list, or into none.
func (m *member) move(to *list.List) {
	if m.in != nil {
		m.in.Remove(m.at)
	}
	m.in, m.at = to, nil
	if to != nil {
		m.at = to.PushBack(m)
	}
}
