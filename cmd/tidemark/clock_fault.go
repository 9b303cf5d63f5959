//go:build faultclock

package main

import (
	"os"
	"strings"
	"time"
)

// clock is the system's, set off by what the file that TIDEMARK_FAULT_CLOCK names says at
// that moment, as -87600h. Its times have no monotonic part, as after a wall clock was set.
func clock() func() time.Time {
	return func() time.Time {
		text, _ := os.ReadFile(os.Getenv("TIDEMARK_FAULT_CLOCK"))
		off, _ := time.ParseDuration(strings.TrimSpace(string(text)))
		return time.Now().Round(0).Add(off)
	}
}
