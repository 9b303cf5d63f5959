//go:build !linux

package spool

import "go.etcd.io/bbolt"

// letGo leaves it to the system which pages of the mapped file stay in memory.
func letGo(*bbolt.Tx) {}
