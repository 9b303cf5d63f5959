package server

// LimitConns sets how many connections the server holds open.
func (s *Server) LimitConns(n int) { s.crowd.most = n }

// Conns is how many it holds.
func (s *Server) Conns() int {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	return len(s.crowd.members)
}
