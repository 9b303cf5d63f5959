// Package tlog is the archive's transparency log: an append-only Merkle tree of
// entries in the tlog-tiles form (C2SP), kept by Tessera's POSIX driver.
//
// A [Log] appends. An index is returned only once the entry is on the disk and
// part of the tree; a signed checkpoint that covers it follows within
// [checkpointInterval], also after a crash. A [Reader] reads, on every operating
// system, while a Log is open or not, and trusts nothing it reads: [Reader.Check]
// recomputes the tree from the entries.
//
// # Trust
//
// Whoever writes the folder can destroy the log or put an older copy back, but
// can't alter, reorder or leave out an entry without Check reporting it, unless
// they hold the log's key. A receipt that names an index beyond the log's end
// shows an older copy.
//
// The log is not portable: the driver needs locks and folder syncs that Windows
// does not have. There, Create and Open return [ErrUnsupported].
package tlog

import (
	"errors"
	"log/slog"
	"time"

	"k8s.io/klog/v2"
)

// ErrUnsupported reports that this operating system can read a log and not
// append to one.
var ErrUnsupported = errors.New("this operating system can not keep the archive's log")

// ErrMissing reports that there is no log in the folder.
var ErrMissing = errors.New("log is missing")

// ErrDamaged reports a log whose state can't be read or whose checkpoint does not verify.
var ErrDamaged = errors.New("log is damaged")

// Appends wait at most batchAge for others to share the tree update with, and the
// tree's new state is signed and published within checkpointInterval.
const (
	batchSize          = 256
	batchAge           = 2 * time.Millisecond
	checkpointInterval = 200 * time.Millisecond
)

// LogTo sends what Tessera logs to l. Tessera logs through klog, which is one for
// the whole process, so a program calls this once when it starts.
func LogTo(l *slog.Logger) { klog.SetSlogLogger(l) }
