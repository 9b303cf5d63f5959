//go:build unix

package installer

// Configure does nothing: the definitions for systemd and launchd say all.
func (s *Service) Configure() error { return nil }
