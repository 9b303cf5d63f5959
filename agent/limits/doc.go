// Package limits keeps what is in the agent's memory out of files that a crash would
// leave.
package limits
