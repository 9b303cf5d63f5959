//go:build !faultclock

package main

import "time"

// clock is the agent's: the system's. Tests of jumps of the clock build the program with
// the tag faultclock, which no release is built with.
func clock() func() time.Time { return nil }
