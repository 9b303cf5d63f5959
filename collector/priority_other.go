//go:build !linux && !windows

package collector

// lowPriority does nothing: macOS has a class of background threads, which also slows
// their reading of files down to what nobody else wants, locks held or not. The pace
// is what holds here.
func lowPriority() (done func()) { return func() {} }
