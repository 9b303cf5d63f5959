// Package writer opens databases with real SQLCipher 4 and treats their
// write-ahead log the way the desktop client's database library does.
//
// A DB has two connections to one file: one that writes, one that checkpoints
// beside it. Automatic checkpoints are off, the journal size limit is 4 MiB, and
// no connection is ever closed: the -wal and -shm files stay when the process
// ends, as they do for the client, whether it ended well or by SIGKILL.
//
// # Checkpoints
//
// Never leaves everything in the WAL. Truncate empties the WAL all the time.
// Client is the client's own way: some time after the first commit since the
// last checkpoint, a passive checkpoint runs beside the writer; when it copied
// everything, the WAL is restarted at once, so that a new header stands in front
// of the old frames and none of them is valid; the next commit then cuts the file
// to the journal size limit. While commits come faster than the checkpoint
// copies, the WAL only grows.
//
// Stock SQLite restarts the WAL with the next write, or at once in a truncating
// checkpoint. Client therefore runs a truncating checkpoint whose ftruncate is
// left out (see keepwal.go) and writes the new header itself; the next commit
// writes those 32 bytes again, unchanged.
//
// # Keys
//
// The account key is a passphrase of 32 bytes: SQLCipher's whole KDF stands
// between it and the pages. The KDF is run here, in Go, and the result handed to
// SQLCipher with the salt, because its own takes four times as long; Connect lets
// SQLCipher do all of it, and opens the same files.
//
// The package needs a Unix: POSIX locks, and SQLite's unix VFS.
package writer
