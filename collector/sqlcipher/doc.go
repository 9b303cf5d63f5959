// Package sqlcipher reads SQLCipher databases that another program is writing
// at this moment, without a lock, a copy or a trace.
//
// A [DB] stands for one database file. [DB.View] runs a function on one
// *snapshot*: the main file overlaid with the frames its WAL held, committed, at
// one instant. A real SQLite engine runs on it through a read-only VFS that
// decrypts each page as it is asked for and verifies its MAC first.
//
//	db, err := sqlcipher.Open(path, sqlcipher.Options{Keys: keys})
//	...
//	err = sqlcipher.Retry(ctx, 5, func() error {
//		rows = rows[:0] // what an earlier, moved attempt read is worth nothing
//		return db.View(ctx, func(v *sqlcipher.View) error {
//			stmt, err := v.Prepare("SELECT local_id FROM t WHERE local_id > ?")
//			...
//		})
//	})
//
// # Contract
//
// Snapshots are optimistic. When the function has returned, View checks that all
// it read belonged to one committed state; if that cannot be shown, it returns
// [ErrMoved] and whatever the function produced must be thrown away. It never
// runs the function twice by itself: only the caller knows how to undo it.
// When View returns nil, everything read was exactly the database as one commit
// left it, and no older than the newest commit found when View began.
//
// The rule, in full. Frames count up to the last commit whose salts equal the
// WAL header's and whose checksums chain from it. A page in one of these comes
// from the WAL; any other from the main file. The snapshot holds if, looking
// again after the last page was read, the WAL's header is the same (no restart),
// both files are still the ones behind their names, and no page taken from the
// main file appears in a frame committed since; or one does, but the
// nBackfillAttempted field of -shm, under the same salts, says that no
// checkpoint has begun on those frames. Without any valid WAL the main file's
// first page, size and time, the -shm header and a rollback journal's absence
// must be unchanged.
//
// # Awkward cases
//
//   - A page whose MAC fails is most often half written. It is read again a few
//     times; only a failure that stays, in a snapshot that did not move, is
//     [ErrCorrupt].
//   - A WAL header with no valid frame behind it, in front of thousands of stale
//     ones, is normal, and so are an empty WAL, a missing one, a torn tail, and a
//     main file of one page with everything else in the WAL.
//   - The file's own change counter means nothing under SQLCipher. SQLite is shown
//     a counter of this package's, so that each connection keeps its schema and
//     its page cache for as long as they are right and no longer. After a view that
//     moved, the pages are dropped and the schema stays, unless it was read in that
//     view: it may be a mix of states under the right version, and goes with the
//     connection. To read it costs much where there are thousands of tables.
//   - The usable page size is byte 20 of the header, the cipher's reserve is not.
//   - The lock-byte page at 1 GiB and pages of zeros have no MAC.
//   - A damaged page that makes the SQLite engine panic gives ErrCorrupt; a panic
//     of the caller's function goes through.
//
// # What it touches
//
// X, X-wal and, when needed, X-shm and the first bytes of X-journal are opened for
// reading, on Windows with share read, write and delete, and closed before View
// returns. No lock is taken (not even a shared one), nothing is mapped, written,
// truncated or renamed. -shm is read outside the lock bytes (120 to 127).
//
// # Trust
//
// Whoever can write the files but lacks the key can put back an older state or
// remove rows by putting back older pages, but cannot make a page of his own pass
// its MAC. WAL checksums and -shm are not secret and only steer what is looked at.
// Keys are in memory only; no error, log line or String method shows one.
package sqlcipher
